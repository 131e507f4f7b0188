"""Generations: the embeddings of every passage under one encoder, on disk and in memory.

    generations/0001/encoder/      the encoder the generation was made with
    generations/0001/index.faiss   its snapshot: a faster way to read its embeddings

A snapshot covers passages and deletions up to the numbers in the generation's row. What came later is read from the
store, so a stale, torn or missing snapshot costs time and never gives a wrong answer.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.encoder import MANIFEST_FILE, Encoder, fingerprint_of, read_manifest
from docsim.errors import EncoderError, FingerprintMismatch, StoreError
from docsim.store import Generation, Store, StoredAdapter
from docsim.vectors import VectorIndex

if TYPE_CHECKING:
    from docsim.filters import Filter

__all__ = [
    "Allowed",
    "Known",
    "View",
    "base",
    "begin",
    "check_kept",
    "check_same",
    "directory",
    "explained",
    "load_encoder",
    "refreshed",
    "restore",
    "snapshot",
    "snapshot_path",
    "unseen",
]

logger = logging.getLogger(__name__)

STALE = 0.1
"""A snapshot is written anew when this share of its passages is missing from it or gone."""

_DOCUMENTS_A_SEGMENT = 20_000


MAX_FILTERS = 16
"""Filters whose documents a view remembers."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The documents that may be found.

    Attributes:
        numbers: Their numbers, ``int64 (n,)``; None for all of a view's documents.
        vectors: The embeddings of their passages.
    """

    numbers: NDArray[np.int64] | None
    vectors: VectorIndex


@dataclass(slots=True)
class Known:
    """What was found out about one committed state while answering, kept for the next answer.

    Attributes:
        counts: How many documents hold a term.
        background: Similarities of documents taken at random, sorted, by whether the query was one passage.
        allowed: The documents that meet a filter.
    """

    counts: dict[str, int] = field(default_factory=dict)
    background: dict[bool, NDArray[np.float32]] = field(default_factory=dict)
    allowed: dict[Filter, Allowed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """The vectors of one committed state.

    Attributes:
        revision: The state's number.
        generation: The live generation.
        vectors: Its embeddings: passages up to ``passage`` without deletions up to ``deletion``.
        passage: Last passage number.
        deletion: Last deletion's sequence number.
        documents: First passage number and document number of each document, ``int64 (n, 2)``, ascending; those that
            were deleted since may still be listed.
        known: What was found out about this state.
        adapter: What maps the queries of another encoder to these embeddings; None when there is none.
    """

    revision: int
    generation: Generation
    vectors: VectorIndex
    passage: int
    deletion: int
    documents: NDArray[np.int64]
    known: Known = field(default_factory=Known)
    adapter: StoredAdapter | None = None

    def allowed(self, store: Store, condition: Filter | None) -> Allowed:
        """Return the documents that meet a condition, all when there is none.

        To be called inside ``store.reading()``, which has to see the state that this is the view of.
        """
        if condition is None:
            return Allowed(None, self.vectors)
        found = self.known.allowed.get(condition)
        if found is None:
            places = np.flatnonzero(np.isin(self.documents[:, 0], store.meeting(condition)))
            found = Allowed(self.documents[places, 1], self.vectors.restricted(self._ranges(places)))
            if len(self.known.allowed) >= MAX_FILTERS:
                self.known.allowed.clear()
            self.known.allowed[condition] = found
        return found

    def documents_of(self, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in ``documents`` of the documents that hold some passages, ascending, each once."""
        places = np.searchsorted(self.documents[:, 0], passages.ravel(), side="right") - 1
        return np.array(sorted(set(places.tolist())), dtype=np.int64)

    def rows(self, places: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        """Return the embeddings of the documents at some places, ``float16 (passages, dim)`` each."""
        return self.vectors.rows(self._ranges(places))

    def _ranges(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first passage number, and one past the last, of the documents at some places."""
        ends = np.append(self.documents[1:, 0], self.passage + 1)
        return np.stack([self.documents[places, 0], ends[places]], axis=1)


def directory(index: Path, number: int) -> Path:
    """Return the directory of generation ``number``."""
    return index / "generations" / f"{number:04}"


def snapshot_path(index: Path, generation: Generation) -> Path:
    """Return where a generation's FAISS file is."""
    return directory(index, generation.number) / "index.faiss"


def begin(store: Store, index: Path, encoder: Encoder, *, state: str = "live", base: Encoder | None = None) -> int:
    """Make a generation without embeddings: the encoder's files first, then the row that makes them count.

    Args:
        store: Writable.
        index: The index's directory.
        encoder: What it is to be encoded with.
        state: ``live`` for a new index's first generation, else ``building``.
        base: What ``encoder`` was adapted from, to be kept beside it.

    Returns:
        Its number.

    Raises:
        StoreError: The files cannot be written.
    """
    with store.writing(visible=state == "live"):
        number = store.add_generation(
            fingerprint=encoder.fingerprint, encoder=encoder.name, dim=encoder.dim, state=state
        )
        with explained(index):
            folder = directory(index, number)
            shutil.rmtree(folder, ignore_errors=True)  # of one that was not committed
            _copy_encoder(encoder, folder / "encoder")
            if base is not None:
                _copy_encoder(base, folder / "base")
    return number


def base(index: Path, generation: Generation) -> Path:
    """Return the directory of the encoder that a generation's encoder was adapted from; its own, when it was not."""
    kept = directory(index, generation.number) / "base"
    return kept if kept.is_dir() else kept.with_name("encoder")


def restore(index: Path, generation: Generation, encoder: Encoder) -> None:
    """Put an encoder with the right fingerprint in the place of the one kept in a generation, if that is damaged."""
    try:
        check_kept(index, generation)
    except EncoderError:
        with explained(index):
            _copy_encoder(encoder, directory(index, generation.number) / "encoder")


def unseen(index: Path, generation: Generation) -> list[str]:
    """Return the ids of the documents that a generation's encoder was not trained on, as far as it tells."""
    lineage = read_manifest(directory(index, generation.number) / "encoder").get("lineage", {})
    return [str(id) for id in lineage.get("held_out", ())]


def _copy_encoder(encoder: Encoder, target: Path) -> None:
    """Copy an encoder's files so that they are on the disk, whole, when this returns."""
    temporary = target.with_name(f"{target.name}.tmp")
    for leftover in (temporary, target):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in encoder.path.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            shutil.copyfile(path, temporary / path.name)
            if path.name == MANIFEST_FILE:  # of an encoder loaded with fewer components, another
                content = json.dumps(dict(encoder.manifest), indent=2, ensure_ascii=False)
                (temporary / path.name).write_text(content + "\n", encoding="utf-8")
            _flush(temporary / path.name)
    temporary.rename(target)
    _flush(target.parent)


def load_encoder(index: Path, generation: Generation) -> Encoder:
    """Load the encoder kept in a generation.

    Raises:
        FingerprintMismatch: It is not the one that the generation's embeddings were made with.
        EncoderError: It is missing or damaged.
    """
    path = directory(index, generation.number) / "encoder"
    try:
        encoder = Encoder.load(path)
    except EncoderError as error:
        raise EncoderError(f"{error}. {_way_out(index, generation)}") from error
    _check_kept(encoder.fingerprint, index, generation)
    return encoder


def check_kept(index: Path, generation: Generation) -> None:
    """Check the files of the encoder kept in a generation, without loading it.

    Raises:
        FingerprintMismatch: It is not the one that the generation's embeddings were made with.
        EncoderError: It is missing or damaged.
    """
    _check_kept(fingerprint_of(directory(index, generation.number) / "encoder"), index, generation)


def _check_kept(found: str, index: Path, generation: Generation) -> None:
    if found != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {index} answers only with its own encoder; found one with the fingerprint {found[:12]} at "
            f"{directory(index, generation.number) / 'encoder'}. {_way_out(index, generation)}"
        )


def _way_out(index: Path, generation: Generation) -> str:
    return (
        f"Put back the encoder {generation.encoder} (fingerprint {generation.fingerprint[:12]}), or change to another "
        f"with: docsim reindex --encoder DIR --index {index}"
    )


def check_same(encoder: Encoder, generation: Generation, index: Path) -> None:
    """Raise ``FingerprintMismatch`` unless ``encoder`` made the embeddings of ``generation``."""
    if encoder.fingerprint != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {index} answers only with its own encoder, {generation.encoder} "
            f"(fingerprint {generation.fingerprint[:12]}); found {encoder.name} (fingerprint "
            f"{encoder.fingerprint[:12]}) at {encoder.path}. To change to that one, run: "
            f"docsim reindex --index {index} --encoder {encoder.path}"
        )


def refreshed(store: Store, index: Path, view: View | None, *, number: int | None = None) -> View:
    """Return a view of the state that ``store`` sees now, which is ``view`` when nothing was written since.

    To be called inside ``store.reading()``. The view is of the live generation, or of generation ``number``.

    Raises:
        StoreError: No generation is live, or stored embeddings are damaged.
    """
    revision = store.revision()
    if view is not None and view.revision == revision:
        return view
    generation = store.generation(number)
    if generation is None:
        raise StoreError(
            f"the index at {index} was never finished; finish it with: docsim index SOURCE --index {index}"
        )
    if view is None or view.generation.number != generation.number:
        view = _from_snapshot(index, generation, revision)
    adapter = None if number else store.adapter()
    state = replace(view, revision=revision, generation=generation, known=Known(), adapter=adapter)
    return _caught_up(store, state)


def _from_snapshot(index: Path, generation: Generation, revision: int) -> View:
    """Return what the generation's snapshot holds; nothing when there is none that can be trusted."""
    nothing = np.zeros((0, 2), np.int64)
    empty = View(revision, generation, VectorIndex(generation.dim), 0, 0, nothing)
    if generation.snapshot_digest is None:
        return empty
    path = snapshot_path(index, generation)
    try:
        vectors = VectorIndex.load(path, digest=generation.snapshot_digest, dim=generation.dim)
    except StoreError as error:
        logger.warning("%s; answering from the stored embeddings", error)
        return empty
    if any(path.parent.glob("approximate.*")):  # else there is no need to load what reads it
        from docsim import approximate, tuning

        vectors = vectors.with_approximate(approximate.load(path.parent, tuning.mark(generation)))
    return View(revision, generation, vectors, generation.snapshot_passage, generation.snapshot_deletion, nothing)


def _caught_up(store: Store, view: View) -> View:
    """Return the view with what the store holds beyond it."""
    vectors, passage, deletion = view.vectors, view.passage, view.deletion
    rows = store.vectors_after(view.generation.number, passage)
    while batch := list(islice(rows, _DOCUMENTS_A_SEGMENT)):
        ids = np.concatenate([np.arange(first, first + len(one), dtype=np.int64) for first, one in batch])
        vectors = vectors.with_added(ids, np.concatenate([one for _, one in batch]))
        passage = int(ids[-1])
    deletions = store.deletions_after(deletion)
    if deletions:
        vectors = vectors.with_deleted((first, count) for _, first, count in deletions)
        deletion = deletions[-1][0]
    known = int(view.documents[-1, 0]) if len(view.documents) else 0
    documents = np.concatenate([view.documents, store.documents_after(view.generation.number, known)])
    return replace(view, vectors=vectors, passage=passage, deletion=deletion, documents=documents)


def snapshot(store: Store, index: Path, *, force: bool = False, number: int | None = None) -> bool:
    """Write a generation's snapshot when it is stale; to be called by whoever alone writes to that generation.

    The new file is complete before it takes the old one's place. Its row is committed after, and says before that there
    is none, so that whoever looks in between uses the stored embeddings.

    Args:
        store: Writable.
        index: The index's directory.
        force: Write it even when it is fresh, and trust nothing of the one that is there.
        number: The generation, which has to lack no document; the live one when not given.

    Returns:
        Whether it was written.

    Raises:
        StoreError: It cannot be written; what was committed is safe.
    """
    with store.reading():
        generation = store.generation(number)
        if generation is None:
            return False
        trusted = replace(generation, snapshot_digest=None) if force else generation
        old = _from_snapshot(index, trusted, store.revision())
        view = _caught_up(store, old)
        is_read = generation.snapshot_digest is not None and old.passage == generation.snapshot_passage
        fresh = is_read and _pending(store, generation) <= STALE * len(view.vectors)
    if force or not fresh:
        _write(store, index, view)
    count = len(view.vectors)
    del old, view  # so that they are not in memory beside what is made of the snapshot
    written = store.generation(generation.number)
    assert written is not None
    from docsim import tuning  # here, because searching does without

    with explained(index):
        path = snapshot_path(index, written)
        made = tuning.refresh(
            store, path, written, count=count, encoder=partial(load_encoder, index, written), force=force
        )
    return made or force or not fresh


def _write(store: Store, index: Path, view: View) -> None:
    """Write the snapshot of a view."""
    number = view.generation.number
    with store.writing(visible=False):
        store.execute("UPDATE generations SET snapshot_digest = NULL WHERE number = ?", number)
    with explained(index):
        digest = view.vectors.save(snapshot_path(index, view.generation))
    with store.writing(visible=False):
        store.execute(
            "UPDATE generations SET snapshot_digest = ?, snapshot_passage = ?, snapshot_deletion = ? WHERE number = ?",
            digest, view.passage, view.deletion, number,
        )  # fmt: skip


def _pending(store: Store, generation: Generation) -> int:
    """Return how many passages were added or deleted since the generation's snapshot."""
    added = store.value("SELECT count(*) FROM passages WHERE number > ?", generation.snapshot_passage)
    deleted = store.value(
        "SELECT coalesce(sum(passages), 0) FROM deletions WHERE sequence > ?", generation.snapshot_deletion
    )
    return int(added) + int(deleted)


@contextmanager
def explained(index: Path) -> Iterator[None]:
    """Turn a file that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"could not write to {index}: {reason}; what was committed before is safe") from error


def _flush(path: Path) -> None:
    """Make a file, or what is listed in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
