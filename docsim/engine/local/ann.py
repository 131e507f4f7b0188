"""Approximate search: a FAISS index of short codes proposes vectors, which are then compared exactly.

The approximate index only decides which vectors are looked at, so
similarities are always exact. Where it cannot propose enough (a filter that leaves few vectors, very many neighbours),
every vector is compared instead.

Its files are in ``ann_files``.

Inverted lists follow Sivic & Zisserman 2003. Codes follow André et al. 2017 (4-bit product quantisation, scanned in
registers), and graphs follow Malkov & Yashunin 2018 (HNSW). Without lists, all codes are scanned, which is a fifth of
the work of comparing all vectors, and needs no training of lists, which takes most of the time.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from docsim.errors import UsageError

__all__ = [
    "KINDS",
    "Approximate",
    "SearchChoice",
    "build",
    "factory",
    "is_codes",
]

KINDS = ("auto", "flat", "ivf", "hnsw")

AUTO_FROM = 100_000
"""From this many passages on, ``auto`` scans the codes of all passages, if that reaches ``AUTO_RECALL``. It takes a
fifth of the time of exact search (measured by benchmarks/hybrid_latency.py)."""

AUTO_RECALL = 0.99
"""The least recall at which ``auto`` scans codes, however little is asked for: it need give up nothing for speed."""

LISTS_FROM = 200_000
"""From this many passages on, ``auto`` uses inverted lists. Exact search takes 5 ms at this size, and 2.6 ms more for
each further 100,000 passages (measured by benchmarks/scale.py)."""

LEAST = 1_000
"""With fewer passages than this, search is always exact."""

PROPOSED = 200
"""The least number of vectors that are proposed for each query and compared exactly."""

TUNED_NEIGHBOURS = 100
"""The number of neighbours that tuning is for. A search for more is broadened in proportion."""

BROADEST = 0.25
"""If more than this share of the lists would be probed, or of the vectors proposed, exact search is as fast."""

SELECTIVE = 0.1
"""If a filter or deletions leave less than this share of the vectors, search is exact, so that none is missed."""

_CHUNK = 8_192
_SAMPLE_PER_LIST = 64
_FEWEST_PER_LIST = 39  # FAISS warns about fewer training vectors per list
_SAMPLE = 50_000
_ANY_DIM = 7_680  # stands in for an unknown dimension: divisible by all usual code sizes
_LARGEST_NUMBER = 2**20
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """The index type and recall that a user has chosen for an index.

    Attributes:
        kind: One of ``KINDS``, or the factory string of a FAISS index of inverted lists, an HNSW graph or 4-bit codes.
        recall: The share of the ten nearest passages that a search has to find, above 0 and at most 1.

    Raises:
        UsageError: There is no such index type, or the recall is out of range.
    """

    kind: str = "auto"
    recall: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise UsageError(f"expected a recall above 0 and at most 1, got {self.recall}")
        if self.kind not in KINDS:
            _empty(self.kind, dim=_ANY_DIM)


@dataclass(frozen=True, slots=True)
class Approximate:
    """An approximate index, and how broadly it is searched (``breadth``, see ``ApproximateFacts``)."""

    index: faiss.Index
    breadth: int

    @property
    def broadest(self) -> int:
        """The largest breadth at which approximate search is still faster than exact search."""
        most = self.index.nlist if isinstance(self.index, faiss.IndexIVF) else self.index.ntotal
        return max(1, int(BROADEST * most))

    def proposed(
        self, queries: NDArray[np.float32], k: int, *, alive: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64] | None:
        """Propose rows among which to look for the ``k`` nearest; None if exact search is as fast.

        What is proposed for a query does not depend on the other queries.

        Args:
            queries: ``float32 (n, dim)``, unit rows.
            k: How many neighbours are wanted for each query.
            alive: ``bool (rows,)``: which rows may be found; all of them by default.

        Returns:
            Row numbers, ``int64 (n, proposed)``; -1 stands where fewer are proposed.
        """
        rows = self.index.ntotal if alive is None else int(np.count_nonzero(alive))
        wanted = max(PROPOSED, 2 * k)
        if wanted > BROADEST * rows or rows < SELECTIVE * self.index.ntotal:
            return None
        share = rows / self.index.ntotal
        breadth = math.ceil(self.breadth * max(1.0, k / TUNED_NEIGHBOURS) / share)
        if breadth > self.broadest:
            return None
        if is_codes(self.index):
            found = self._nearest_codes(queries, max(breadth, math.ceil(wanted / share)), alive=alive, share=share)
        else:
            selector = None if alive is None else faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
            found = self.index.search(queries, wanted, params=_parameters(self.index, breadth, selector))[1]
        found[found >= self.index.ntotal] = -1  # a damaged file can name rows that do not exist
        return found

    def _nearest_codes(
        self, queries: NDArray[np.float32], wanted: int, *, alive: NDArray[np.bool_] | None, share: float
    ) -> NDArray[np.int64]:
        """Return the rows of the nearest codes; none for a query near which too few may be found.

        FAISS cannot leave rows out of this scan, so they are dropped afterwards.
        """
        found: NDArray[np.int64] = self.index.search(queries, wanted)[1]
        if alive is not None:
            known = (found >= 0) & (found < len(alive))
            found[~known | ~alive[np.where(known, found, 0)]] = -1
            found[(found >= 0).sum(axis=1) < share * wanted / 2] = -1
        return found

    def refined(
        self, exact: faiss.Index, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Return the ``k`` nearest of what is proposed, compared inside FAISS; None where that cannot be done.

        It can for codes of all vectors, as long as none was deleted or left out by a filter.

        Args:
            exact: The vectors whose rows are proposed.
            queries: ``float32 (n, dim)``, unit rows.
            k: How many neighbours are wanted for each query.

        Returns:
            Similarities, ``float32 (n, k)``, best first, and rows, ``int64 (n, k)``.
        """
        wanted = math.ceil(max(PROPOSED, 2 * k, self.breadth * max(1.0, k / TUNED_NEIGHBOURS)))
        if not is_codes(self.index) or wanted > self.broadest:
            return None
        together = faiss.IndexRefine(self.index, exact)
        factor = np.nextafter(np.float32(wanted / k), np.float32(np.inf))  # FAISS rounds the product down
        found: tuple[NDArray[np.float32], NDArray[np.int64]] = together.search(
            queries, k, params=faiss.IndexRefineSearchParameters(k_factor=float(factor))
        )
        return found

    def suffices(self, queries: NDArray[np.float32]) -> bool:
        """Return whether at least ``TUNED_NEIGHBOURS`` rows are proposed for each query."""
        asked = queries[:1] if is_codes(self.index) else queries  # codes propose as many for each query
        found = self.proposed(asked, TUNED_NEIGHBOURS)
        return found is not None and bool(((found >= 0).sum(axis=1) >= TUNED_NEIGHBOURS).all())


def factory(kind: str, *, count: int, dim: int) -> str:
    """Return the FAISS factory string of an index type for ``count`` vectors; empty if search is to be exact."""
    if count < LEAST or kind == "flat" or (kind == "auto" and count < AUTO_FROM):
        return ""
    if kind == "auto" and count < LISTS_FROM:
        return f"PQ{dim // 2}x4fs" if dim % 2 == 0 else ""
    if kind == "hnsw":
        return f"HNSW16,{'SQ8' if dim % 2 == 0 else 'Flat'}"
    if kind in ("auto", "ivf"):
        fewest = min(2 ** round(math.log2(2 * math.sqrt(count))), count // _FEWEST_PER_LIST)
        return f"IVF{fewest},{f'PQ{dim // 2}x4fs' if dim % 2 == 0 else 'SQ8'}"
    return kind


def build(factory: str, rows: NDArray[np.float16]) -> faiss.Index:
    """Train a FAISS index on a sample of the rows, add all rows to it, and return it.

    Args:
        factory: Its factory string.
        rows: ``float16 (n, dim)``, unit rows; read in chunks.

    Raises:
        UsageError: There are too few vectors to train it.
    """
    index = _empty(factory, dim=rows.shape[1])
    count = min(len(rows), max(_SAMPLE, _SAMPLE_PER_LIST * getattr(index, "nlist", 0)))
    sample = np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
    # Codes are trained in thousands of small steps, at whose ends threads would wait for one another.
    faiss.omp_set_num_threads(1 if is_codes(index) else os.cpu_count() or 1)
    try:
        index.train(_widened(rows, sample))
        for start in range(0, len(rows), _CHUNK):
            index.add(rows[start : start + _CHUNK].astype(np.float32))
    except RuntimeError as error:
        raise UsageError(f"expected enough passages to train {factory}, got {len(rows):,}") from error
    return index


def _widened(rows: NDArray[np.float16], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return some rows as float32, without a copy of all of them in between."""
    wide = np.empty((len(chosen), rows.shape[1]), np.float32)
    for start in range(0, len(chosen), _CHUNK):
        here = slice(start, start + _CHUNK)
        wide[here] = rows[chosen[here]]
    return wide


def _empty(factory: str, *, dim: int) -> faiss.Index:
    """Return an untrained index for inner products.

    Raises:
        UsageError: The factory string is none of inverted lists, an HNSW graph or 4-bit codes, or FAISS rejects it.
    """
    numbers = [int(number) for number in re.findall(r"[0-9]+", factory[:_LONGEST])]
    index = None
    if (
        factory.startswith(("IVF", "HNSW", "PQ"))
        and len(factory) <= _LONGEST
        and all(1 <= number <= _LARGEST_NUMBER for number in numbers)  # a 0 makes FAISS crash the process
        and not re.search("HNSW1(?![0-9])", factory)  # a graph with one link per vertex fails in FAISS
    ):
        with suppress(RuntimeError):
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    if not isinstance(index, faiss.IndexIVF | faiss.IndexHNSW) and not is_codes(index):
        raise UsageError(
            f"expected an index type of {', '.join(KINDS)}, or a FAISS factory string that begins with IVF or HNSW or "
            f"is like PQ64x4fs, has no number below 1 and fits {dim} dimensions, got {factory[:_LONGEST]!r}"
        )
    return index


def is_codes(index: faiss.Index | None) -> bool:
    """Return whether an index scans 4-bit codes of all its vectors."""
    return isinstance(index, faiss.IndexPQFastScan)


def _parameters(index: faiss.Index, breadth: int, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=breadth, sel=selector)
    return faiss.SearchParametersHNSW(efSearch=breadth, sel=selector)
