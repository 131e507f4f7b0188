"""The files of approximate search: an approximate index is stored beside the exact vectors of a snapshot.

    approximate.faiss          a FAISS index; its row i is row i of the snapshot
    approximate.DIGEST.lists   its inverted lists, if it has any; they are mapped into memory
    approximate.json           the snapshot that it belongs to, how it was tuned, and its checksums; written last

Opening reads everything but the lists and compares the checksum. The file of the lists is named after its own checksum,
so the lists of another index are never taken for it; on opening, all of a small file is compared, and samples of a
large one. Damage elsewhere can make the index propose the wrong vectors, but no similarity becomes wrong. ``docsim
verify`` reads all of the lists.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path

import faiss
import xxhash

from docsim.engine.local import checksums, inverted_lists, notices
from docsim.engine.local.ann import Approximate
from docsim.files import replacing

__all__ = ["ApproximateFacts", "damage", "forget", "load", "note", "save", "written"]

_FILE, _FACTS, _LISTS, _FORMAT = "approximate.faiss", "approximate.json", "approximate.lists", 2
_LOOKS = 5  # how often the files are opened while others replace them


@dataclass(frozen=True, slots=True)
class ApproximateFacts:
    """What is known about an approximate index; stored in ``approximate.json``.

    Attributes:
        snapshot: Identifies the snapshot that it belongs to, see ``ann_tuning.mark``.
        kind: The index type that the user chose.
        factory: Its FAISS factory string; empty if there is no index and search is exact.
        target: The recall that the user chose.
        recall: The recall@10 that was measured against exact search.
        passages: The number of passages in it.
        breadth: How many lists are probed, graph vertices kept as candidates, or vectors proposed by their codes, for
            each query.
        digest: Checksum of its file (128-bit XXH3).
        lists: Checksum of the file of its inverted lists; empty if it has none.
        sampled: Checksum of that file by samples, see ``checksums``; empty if written by an older docsim.
    """

    snapshot: str
    kind: str
    factory: str
    target: float
    recall: float
    passages: int
    breadth: int
    digest: str = ""
    lists: str = ""
    sampled: str = ""


def save(folder: Path, index: faiss.Index, facts: ApproximateFacts) -> None:
    """Write an index, and then the facts about it. If this is interrupted in between, there is no index.

    Raises:
        OSError: The files cannot be written.
    """
    forget(folder)
    with ExitStack() as stack:
        if isinstance(index, faiss.IndexIVF):
            with replacing(folder / _LISTS) as file:
                stack.enter_context(inverted_lists.elsewhere(index, file))
            named, sampled = checksums.of_file(folder / _LISTS), checksums.quick_of(folder / _LISTS)
            (folder / _LISTS).replace(_lists(folder, named))
            facts = replace(facts, lists=named, sampled=sampled)
        with replacing(folder / _FILE) as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
    _note(folder, replace(facts, digest=checksums.of_file(folder / _FILE)))


def note(folder: Path, facts: ApproximateFacts) -> None:
    """Record, without an index, that search is exact and why; replaces what was in the folder."""
    forget(folder)
    _note(folder, facts)


def forget(folder: Path) -> None:
    """Remove all files of an approximate index from a folder, leftovers of an interrupted run included.

    Processes that have the files mapped keep what they have.
    """
    (folder / _FACTS).unlink(missing_ok=True)
    for path in folder.glob("approximate.*"):
        path.unlink(missing_ok=True)


def load(folder: Path, snapshot: str) -> Approximate | None:
    """Return the approximate index of a snapshot; None if there is none or its files are damaged (which is noted).

    Files that are replaced while they are read, and the facts about them with them, are read again.
    """
    for _ in range(_LOOKS):
        noted, found, problem = _noted(folder), None, ""
        facts = _facts(noted)
        if noted is not None and facts is None:
            problem = f"{folder / _FACTS} is damaged; searching exactly until the index is repaired"
        elif facts is not None and facts.snapshot == snapshot and facts.factory:
            found, problem = _read(folder, facts)
        if not problem or _noted(folder) == noted:
            notices.note("approximate", problem)
            return found
    return None


def _read(folder: Path, facts: ApproximateFacts) -> tuple[Approximate | None, str]:
    """Return an approximate index, or None and what is wrong with its files."""
    try:
        content = (folder / _FILE).read_bytes()
        if xxhash.xxh3_128(content).hexdigest() != facts.digest:
            raise ValueError("its checksum does not match")
        index = faiss.read_index(faiss.PyCallbackIOReader(BytesIO(content).read), faiss.IO_FLAG_SKIP_IVF_DATA)
        if facts.lists:
            lists = _lists(folder, facts.lists)
            inverted_lists.mapped(index, lists)
            if facts.sampled and checksums.quick_of(lists) != facts.sampled:
                raise ValueError("the checksum of its lists does not match")
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"could not read {folder / _FILE} ({error}); searching exactly until the index is repaired"
    return Approximate(index, facts.breadth), ""


def damage(folder: Path) -> str:
    """Read all files in a folder and return what is wrong with them, as one sentence; empty if nothing is."""
    for _ in range(_LOOKS):
        noted = _noted(folder)
        wrong = None if noted is None else _wrong(folder, noted)
        if wrong is None:
            return ""
        if _noted(folder) == noted:
            return f"{wrong} is missing or its content has changed; repair the index to rebuild it"
    return ""


def _wrong(folder: Path, noted: bytes) -> Path | None:
    """Return the first file of an approximate index that is missing or damaged."""
    facts = _facts(noted)
    if facts is None:
        return folder / _FACTS
    files = ((folder / _FILE, facts.digest), (_lists(folder, facts.lists), facts.lists)) if facts.factory else ()
    return next((path for path, digest in files if digest and not _is_whole(path, digest)), None)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return checksums.of_file(path) == digest
    except OSError:
        return False


def written(folder: Path) -> ApproximateFacts | None:
    """Return the facts about the approximate index in a folder; None if there are none or they cannot be read."""
    return _facts(_noted(folder))


def _noted(folder: Path) -> bytes | None:
    """Return the file of the facts about the approximate index in a folder; None if there is none."""
    try:
        return (folder / _FACTS).read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _facts(noted: bytes | None) -> ApproximateFacts | None:
    try:
        content = json.loads(noted or b"")
        is_whole = content.get("checksum", "") in ("", checksums.of_json(content["facts"]))  # older files have none
        return ApproximateFacts(**content["facts"]) if is_whole and content["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _lists(folder: Path, digest: str) -> Path:
    return folder / f"approximate.{digest}.lists"


def _note(folder: Path, facts: ApproximateFacts) -> None:
    content = {"format": _FORMAT, "facts": asdict(facts), "checksum": checksums.of_json(asdict(facts))}
    with replacing(folder / _FACTS) as file:
        file.write(json.dumps(content, indent=2).encode())
