"""Approximate search: a FAISS index of short codes that proposes which vectors to compare exactly.

It lies beside the exact vectors of a snapshot and only decides what is looked at, so similarities are always exact, and
whatever it cannot propose well - a filter that leaves little, very many neighbours - is searched exactly instead.

    approximate.faiss          a FAISS index, whose row i is row i of the snapshot
    approximate.DIGEST.lists   its inverted lists, if it has any, which are mapped into memory
    approximate.json           which snapshot it belongs to, how it was tuned, and its checksums; written last

Opening reads all but the lists and compares their checksum; the lists are named after theirs, so that those of another
index are never taken for them, and only their size is compared: what is wrong in them may propose badly, and proposals
are compared exactly anyhow. ``docsim verify`` reads them too.

Inverted lists follow Sivic & Zisserman 2003, the codes within them André et al. 2017 (product quantisation in 4 bits,
scanned in registers), graphs Malkov & Yashunin 2018 (HNSW).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path

import faiss
import numpy as np
import xxhash
from numpy.typing import NDArray

from docsim.engine.local import inverted_lists
from docsim.errors import UsageError
from docsim.files import replacing

__all__ = [
    "KINDS",
    "Approximate",
    "Facts",
    "Settings",
    "build",
    "damage",
    "factory",
    "forget",
    "load",
    "note",
    "save",
    "written",
]

logger = logging.getLogger(__name__)

KINDS = ("auto", "flat", "ivf", "hnsw")

AUTO_FROM = 200_000
"""From so many passages on, ``auto`` searches approximately: exact search takes 5 ms there, as measured by
benchmarks/scale.py, and 2.6 ms more for each 100,000 beyond."""

LEAST = 1_000
"""Fewer passages are always searched exactly."""

PROPOSED = 200
"""Vectors that are proposed for each query, at least, and compared exactly."""

TUNED_NEIGHBOURS = 100
"""Tuning holds for so many neighbours; for more, the search is broadened in proportion."""

BROADEST = 0.25
"""Where more than this share of the lists would be searched, or of the vectors proposed, exact search is as fast."""

SELECTIVE = 0.1
"""Where a filter or deletions leave less than this share of the vectors, search is exact, so that none is missed."""

_FILE, _FACTS, _LISTS, _FORMAT = "approximate.faiss", "approximate.json", "approximate.lists", 2
_CHUNK = 65_536
_SAMPLE_PER_LIST = 64
_FEWEST_PER_LIST = 39  # FAISS warns below
_SAMPLE = 50_000
_ANY_DIM = 7_680  # divisible by all that codes of usual encoders are made of
_LARGEST_NUMBER = 2**20
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """How an index is to be searched.

    Attributes:
        kind: One of ``KINDS``, or the factory string of a FAISS index of inverted lists or an HNSW graph.
        recall: Share of the ten nearest passages that has to be found, above 0 and at most 1.

    Raises:
        UsageError: There is no such index type, or no such recall.
    """

    kind: str = "auto"
    recall: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise UsageError(f"expected a recall above 0 and at most 1, got {self.recall}")
        if self.kind not in KINDS:
            _empty(self.kind, dim=_ANY_DIM)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an approximate index.

    Attributes:
        snapshot: The snapshot that it belongs to.
        kind: The index type that was asked for.
        factory: Its FAISS factory string; empty when all is searched exactly.
        target: The recall that was asked for.
        recall: The recall@10 that was measured against exact search.
        passages: How many it holds.
        breadth: Lists probed, or vertices kept in sight, for each query.
        digest: Checksum of its file (128-bit XXH3).
        lists: Checksum of the file of its inverted lists; empty where it has none.
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


@dataclass(frozen=True, slots=True)
class Approximate:
    """An approximate index, and how broadly it is searched."""

    index: faiss.Index
    breadth: int

    @property
    def broadest(self) -> int:
        """The largest breadth that is worth while."""
        most = self.index.nlist if isinstance(self.index, faiss.IndexIVF) else self.index.ntotal
        return max(1, int(BROADEST * most))

    def proposed(
        self, queries: NDArray[np.float32], k: int, *, alive: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64] | None:
        """Return rows worth comparing exactly to find the ``k`` nearest; None where exact search is as fast.

        Args:
            queries: ``float32 (n, dim)``, unit rows.
            k: Neighbours wanted of each.
            alive: ``bool (rows,)``, the rows that may be found; all when not given.

        Returns:
            ``int64 (n, proposed)``, -1 where there are not so many.
        """
        rows = self.index.ntotal if alive is None else int(np.count_nonzero(alive))
        wanted = max(PROPOSED, 2 * k)
        if wanted > BROADEST * rows or rows < SELECTIVE * self.index.ntotal:
            return None
        breadth = math.ceil(self.breadth * max(1.0, k / TUNED_NEIGHBOURS) * self.index.ntotal / rows)
        if breadth > self.broadest:
            return None
        selector = None if alive is None else faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
        found: NDArray[np.int64] = self.index.search(
            queries, wanted, params=_parameters(self.index, breadth, selector)
        )[1]
        found[found >= self.index.ntotal] = -1  # of a damaged file
        return found

    def suffices(self, queries: NDArray[np.float32]) -> bool:
        """Return whether as many rows are proposed for each query as tuning holds for."""
        found = self.proposed(queries, TUNED_NEIGHBOURS)
        return found is not None and bool((found[:, TUNED_NEIGHBOURS - 1] >= 0).all())


def factory(kind: str, *, count: int, dim: int) -> str:
    """Return the FAISS factory string for ``count`` vectors; empty for exact search."""
    if count < LEAST or kind == "flat" or (kind == "auto" and count < AUTO_FROM):
        return ""
    if kind == "hnsw":
        return f"HNSW16,{'SQ8' if dim % 2 == 0 else 'Flat'}"
    if kind in ("auto", "ivf"):
        fewest = min(2 ** round(math.log2(2 * math.sqrt(count))), count // _FEWEST_PER_LIST)
        return f"IVF{fewest},{f'PQ{dim // 2}x4fs' if dim % 2 == 0 else 'SQ8'}"
    return kind


def build(factory: str, rows: NDArray[np.float16]) -> faiss.Index:
    """Return a FAISS index of all rows, trained on a sample of them.

    Args:
        factory: Its factory string.
        rows: ``float16 (n, dim)``, unit rows; read in chunks.

    Raises:
        UsageError: There are too few vectors to train it on.
    """
    index = _empty(factory, dim=rows.shape[1])
    count = min(len(rows), max(_SAMPLE, _SAMPLE_PER_LIST * getattr(index, "nlist", 0)))
    sample = np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    try:
        index.train(rows[sample].astype(np.float32))
        for start in range(0, len(rows), _CHUNK):
            index.add(rows[start : start + _CHUNK].astype(np.float32))
    except RuntimeError as error:
        raise UsageError(f"expected passages enough to train {factory}, got {len(rows):,}") from error
    return index


def save(folder: Path, index: faiss.Index, facts: Facts) -> None:
    """Write an index, then what is known of it; killed in between, it is as if there were none.

    Raises:
        OSError: It cannot be written.
    """
    forget(folder)
    with ExitStack() as stack:
        if isinstance(index, faiss.IndexIVF):
            with replacing(folder / _LISTS) as file:
                stack.enter_context(inverted_lists.elsewhere(index, file))
            named = _digest(folder / _LISTS)
            (folder / _LISTS).replace(_lists(folder, named))
            facts = replace(facts, lists=named)
        with replacing(folder / _FILE) as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
    _note(folder, replace(facts, digest=_digest(folder / _FILE)))


def note(folder: Path, facts: Facts) -> None:
    """Write that all is searched exactly, and what for."""
    forget(folder)
    _note(folder, facts)


def forget(folder: Path) -> None:
    """Remove what is in a folder, and what a kill left behind; who has it open keeps what is mapped."""
    (folder / _FACTS).unlink(missing_ok=True)
    for path in folder.glob("approximate.*"):
        path.unlink(missing_ok=True)


def load(folder: Path, snapshot: str) -> Approximate | None:
    """Return the approximate index that belongs to a snapshot; None when there is none, or none that can be trusted."""
    facts = written(folder)
    if facts is None or facts.snapshot != snapshot or not facts.factory:
        return None
    try:
        content = (folder / _FILE).read_bytes()
        if xxhash.xxh3_128(content).hexdigest() != facts.digest:
            raise ValueError("it is not what was written")
        index = faiss.read_index(faiss.PyCallbackIOReader(BytesIO(content).read), faiss.IO_FLAG_SKIP_IVF_DATA)
        if facts.lists:
            inverted_lists.mapped(index, _lists(folder, facts.lists))
    except (OSError, ValueError, RuntimeError) as error:
        logger.warning("could not read %s (%s); searching exactly; repair the index", folder / _FILE, error)
        return None
    return Approximate(index, facts.breadth)


def damage(folder: Path) -> str:
    """Return what is wrong with the files in a folder, all of them read; nothing when they are what was written."""
    facts = written(folder)
    if facts is None or not facts.factory:
        return ""
    for path, digest in ((folder / _FILE, facts.digest), (_lists(folder, facts.lists), facts.lists)):
        if digest and (not path.is_file() or _digest(path) != digest):
            return f"expected {path} as it was written, found other content; repair the index"
    return ""


def written(folder: Path) -> Facts | None:
    """Return what is known of the approximate index in a folder; None when nothing is."""
    try:
        content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return Facts(**content["facts"]) if content["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lists(folder: Path, digest: str) -> Path:
    return folder / f"approximate.{digest}.lists"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def _note(folder: Path, facts: Facts) -> None:
    content = {"format": _FORMAT, "facts": asdict(facts)}
    with replacing(folder / _FACTS) as file:
        file.write(json.dumps(content, indent=2).encode())


def _empty(factory: str, *, dim: int) -> faiss.Index:
    """Return an untrained index for inner products.

    Raises:
        UsageError: It is neither one of inverted lists nor a graph, or FAISS does not know it.
    """
    numbers = [int(number) for number in re.findall(r"[0-9]+", factory[:_LONGEST])]
    index = None
    if (
        factory.startswith(("IVF", "HNSW"))
        and len(factory) <= _LONGEST
        and all(1 <= number <= _LARGEST_NUMBER for number in numbers)  # FAISS divides by 0 and ends the process
        and not re.search("HNSW1(?![0-9])", factory)  # and cannot make a graph of one link a vertex
    ):
        with suppress(RuntimeError):
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not isinstance(index, faiss.IndexIVF | faiss.IndexHNSW):
        raise UsageError(
            f"expected an index type of {', '.join(KINDS)}, or a FAISS factory string that begins with IVF or HNSW, "
            f"has no number below 1 and fits {dim} dimensions, got {factory[:_LONGEST]!r}"
        )
    return index


def _parameters(index: faiss.Index, breadth: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=breadth, sel=selector)
    return faiss.SearchParametersHNSW(efSearch=breadth, sel=selector)
