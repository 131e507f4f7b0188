"""Vectors: exact inner-product search in FAISS over the embeddings of one generation.

Everything here is derived from the store and can be rebuilt from it. On disk, vectors are a plain FAISS file whose ids
are passage numbers. Passages written later are added as further segments, and passages deleted later are masked. A
``VectorIndex`` never changes once it is made, so any number of threads can search it while a newer one is prepared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from docsim import cores
from docsim.engine.local import checksums
from docsim.engine.records import Stacked
from docsim.errors import StoreError
from docsim.files import replacing

if TYPE_CHECKING:
    from docsim.engine.local.ann import Approximate

__all__ = ["NearestPassages", "VectorIndex"]

MAPPED = 64_000_000
"""A file of more bytes than this is mapped into memory, not read, and its checksum covers samples only: reading all of
it would take longer than many queries. ``docsim verify`` compares all of it with the stored embeddings."""

MAX_SEGMENTS = 8
"""If there are more segments than this, all but the first are merged into one."""

_CHUNK = 8_192


@dataclass(frozen=True, slots=True)
class NearestPassages:
    """The nearest passages of each query, best first.

    Attributes:
        similarities: ``float32 (queries, k)`` inner products.
        ids: ``int64 (queries, k)`` passage numbers.
    """

    similarities: NDArray[np.float32]
    ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A FAISS index whose row i is passage ``ids[i]``.

    Attributes:
        index: Stores the embeddings as float16.
        ids: Passage numbers, ascending, ``int64 (n,)``.
        alive: Which rows have not been deleted, ``bool (n,)``; None if no row has been.
        owner: The FAISS object that frees ``index`` when it is collected, and so has to be kept.
        approximate: Proposes rows to compare; None if every row is compared.
    """

    index: faiss.Index
    ids: NDArray[np.int64]
    alive: NDArray[np.bool_] | None = None
    owner: faiss.Index | None = None
    approximate: Approximate | None = None

    @property
    def rows(self) -> NDArray[np.float16]:
        """The embeddings, ``float16 (n, dim)``, in FAISS's memory or a mapped file: read-only, and not to be kept."""
        codes: NDArray[np.uint8] = faiss.rev_swig_ptr(self.index.codes.data(), self.index.codes.size())
        codes.flags.writeable = False
        return codes.view(np.float16).reshape(len(self.ids), self.index.d)

    @property
    def count(self) -> int:
        return len(self.ids) if self.alive is None else int(self.alive.sum())


@dataclass(frozen=True, slots=True)
class VectorIndex:
    """Embeddings of passages that can be searched by inner product. A new one is empty."""

    dim: int
    segments: tuple[_Segment, ...] = ()

    def __len__(self) -> int:
        """Return the number of passages that can be found."""
        return sum(segment.count for segment in self.segments)

    def search(self, queries: NDArray[np.float32], k: int) -> NearestPassages:
        """Return the ``k`` passages nearest to each query, or all if there are fewer.

        Args:
            queries: ``float32 (n, dim)``, unit rows.
            k: At least 1.

        Returns:
            ``(n, min(k, len(self)))`` similarities in [-1, 1] and passage numbers, best first; equally similar passages
            come by ascending number. If the last places are contested by equally similar passages, it is not defined
            which of them are returned.
        """
        k = min(k, len(self))
        found = [_search(segment, queries, min(k, segment.count)) for segment in self.segments if segment.count]
        if not found:
            return NearestPassages(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
        similarities = np.concatenate([one.similarities for one in found], axis=1)
        ids = np.concatenate([one.ids for one in found], axis=1)
        best = np.lexsort((ids, -similarities), axis=1)[:, :k]
        return NearestPassages(np.take_along_axis(similarities, best, 1), np.take_along_axis(ids, best, 1))

    def rows(self, ranges: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        """Return the embeddings of the passages in each range of numbers, ``float16 (passages, dim)``.

        They are read-only and not to be kept, as they may be FAISS's memory or a mapped file.

        Args:
            ranges: The first number and one past the last, ``int64 (n, 2)``. Each range lies in one segment.
        """
        found: list[NDArray[np.float16]] = [np.zeros((0, self.dim), np.float16)] * len(ranges)
        for segment in self.segments:
            rows = segment.rows
            for position, (start, stop) in enumerate(np.searchsorted(segment.ids, ranges).tolist()):
                if stop > start:
                    here = rows[start:stop]
                    found[position] = here if segment.alive is None else here[segment.alive[start:stop]]
        return found

    def stacked(self, ranges: NDArray[np.int64]) -> Stacked:
        """Return copies of the embeddings of the passages in each range of numbers; see ``rows``."""
        if len(self.segments) == 1 and self.segments[0].alive is None:
            only = self.segments[0]
            starts, stops = np.searchsorted(only.ids, ranges.T)
            counts = stops - starts
            ends = np.cumsum(counts)
            places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
            return Stacked(only.rows.take(places, axis=0), counts)
        found = self.rows(ranges)
        stacked = np.concatenate([np.zeros((0, self.dim), np.float16), *found])
        return Stacked(stacked, np.array([len(one) for one in found], np.int64))

    def holds(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some passage numbers can be found, ``bool (n,)``."""
        held = [one.ids if one.alive is None else one.ids[one.alive] for one in self.segments]
        return np.isin(ids, np.concatenate(held)) if held else np.zeros(len(ids), bool)

    def with_added(self, ids: NDArray[np.int64], vectors: NDArray[np.floating]) -> VectorIndex:
        """Return an index that holds further passages too.

        Args:
            ids: ``int64 (n,)`` passage numbers, ascending, all above those already held.
            vectors: ``(n, dim)``, unit rows; stored as float16.
        """
        if not len(ids):
            return self
        index = _flat(self.dim)
        _add(index, vectors)
        segments = (*self.segments, _Segment(index, ids))
        if len(segments) > MAX_SEGMENTS:
            segments = (segments[0], _merged(segments[1:], _unchanged, self.dim))
        return VectorIndex(self.dim, segments)

    def with_deleted(self, ranges: Iterable[tuple[int, int]]) -> VectorIndex:
        """Return an index without the passages of each ``(first number, count)``; unknown numbers are ignored."""
        ranges = list(ranges)
        if not ranges:
            return self
        return VectorIndex(self.dim, tuple(_without(segment, ranges) for segment in self.segments))

    def restricted(self, ranges: NDArray[np.int64]) -> VectorIndex:
        """Return an index that finds only the passages in some ranges of numbers.

        Args:
            ranges: The first number and one past the last, ``int64 (n, 2)``; ranges do not overlap.
        """
        return VectorIndex(self.dim, tuple(_restricted(segment, ranges) for segment in self.segments))

    def mapped(self, change: Callable[[NDArray[np.float16]], NDArray[np.float32]], dim: int) -> VectorIndex:
        """Return an index of the same passages with other embeddings.

        Args:
            change: Maps a batch of embeddings, ``float16 (n, self.dim)``, to new ones, ``float32 (n, dim)``, unit rows.
            dim: The dimension of the new embeddings.
        """
        return VectorIndex(dim, (_merged(self.segments, change, dim),) if len(self) else ())

    def exact(self) -> VectorIndex:
        """Return an index of the same embeddings that is always searched exactly."""
        return self.with_approximate(None)

    def with_approximate(self, approximate: Approximate | None) -> VectorIndex:
        """Return an index whose first segment, the one that comes from a FAISS file, is searched approximately.

        Args:
            approximate: Proposes the rows of the segment to compare; ignored if it has another number of rows. With
                None, search is exact.
        """
        if not self.segments or (approximate and approximate.index.ntotal != len(self.segments[0].ids)):
            return self
        return replace(self, segments=(replace(self.segments[0], approximate=approximate), *self.segments[1:]))

    def save(self, path: Path) -> str:
        """Write all passages to one FAISS file, atomically; return its checksum (128-bit XXH3, 32 hex digits).

        Raises:
            OSError: It cannot be written; no partial file is left.
        """
        is_one = len(self.segments) == 1 and self.segments[0].alive is None
        whole = self.segments[0] if is_one else _merged(self.segments, _unchanged, self.dim)
        wrapped = faiss.IndexIDMap(_flat(self.dim))
        wrapped.index, wrapped.ntotal = whole.index, len(whole.ids)
        faiss.copy_array_to_vector(np.ascontiguousarray(whole.ids, np.int64), wrapped.id_map)
        with replacing(path) as file:
            faiss.write_index(wrapped, faiss.PyCallbackIOWriter(file.write))
        with path.open("rb") as written:
            return checksums.quick(written, whole=MAPPED)

    @classmethod
    def load(cls, path: Path, *, digest: str, dim: int) -> VectorIndex:
        """Read a file written by ``save``.

        Args:
            path: The file.
            digest: The checksum that ``save`` returned.
            dim: The dimension of the embeddings.

        Raises:
            StoreError: The file is missing or damaged.
        """
        try:
            with path.open("rb") as file:  # stays the same file even if it is replaced meanwhile
                if checksums.quick(file, whole=MAPPED) != digest:
                    raise StoreError(
                        f"{path} is damaged: its checksum does not match; repair the index", hint="docsim repair"
                    )
                wrapped = _read(file)
        except (OSError, RuntimeError) as error:
            raise StoreError(
                f"expected a FAISS index at {path}, could not read it; repair the index", hint="docsim repair"
            ) from error
        ids = faiss.rev_swig_ptr(wrapped.id_map.data(), wrapped.ntotal) if wrapped.ntotal else np.zeros(0, np.int64)
        inner = faiss.downcast_index(wrapped.index)
        return cls(dim, (_Segment(inner, ids, owner=wrapped),) if len(ids) else ())

    def reconstruct(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return all passage numbers ``(n,)``, ascending, and embeddings ``float32 (n, dim)``; for checks."""
        parts = [_alive(segment) for segment in self.segments]
        ids = np.concatenate([ids for ids, _ in parts]) if parts else np.zeros(0, np.int64)
        vectors = np.concatenate([rows for _, rows in parts]) if parts else np.zeros((0, self.dim), np.float32)
        return ids, vectors


def _flat(dim: int) -> faiss.Index:
    """Return an empty exact index that stores float16, which halves both memory and time."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _search(segment: _Segment, queries: NDArray[np.float32], k: int) -> NearestPassages:
    """Search one segment: among what is proposed, and exactly for queries for which too little is proposed."""
    queries = np.ascontiguousarray(queries, np.float32)
    # FAISS gives each thread some queries; threads without any only wait, which is slow on a busy machine.
    faiss.omp_set_num_threads(max(1, min(len(queries), cores.available())))
    if segment.approximate is None:
        return _exact(segment, queries, k)
    if segment.alive is None and (refined := segment.approximate.refined(segment.index, queries, k)):
        return NearestPassages(refined[0], segment.ids[refined[1]])
    proposed = segment.approximate.proposed(queries, k, alive=segment.alive)
    if proposed is None:
        return _exact(segment, queries, k)
    short = np.count_nonzero(proposed >= 0, axis=1) < k
    if short.all():
        return _exact(segment, queries, k)
    found = NearestPassages(np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64))
    for number in np.flatnonzero(~short).tolist():
        found.similarities[number], found.ids[number] = _nearest(segment, queries[number], proposed[number], k=k)
    if short.any():
        exact = _exact(segment, queries[short], k)
        found.similarities[short], found.ids[short] = exact.similarities, exact.ids
    return found


def _exact(segment: _Segment, queries: NDArray[np.float32], k: int) -> NearestPassages:
    parameters = None
    if segment.alive is not None:
        bitmap = np.packbits(segment.alive, bitorder="little")
        selector = faiss.IDSelectorBitmap(bitmap)
        parameters = faiss.SearchParameters(sel=selector)
    similarities, rows = segment.index.search(queries, k, params=parameters)
    return NearestPassages(similarities, segment.ids[rows])


def _nearest(
    segment: _Segment, query: NDArray[np.float32], proposed: NDArray[np.int64], *, k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the similarities and numbers of the ``k`` nearest of the rows that were proposed for a query."""
    rows = np.sort(proposed[proposed >= 0])  # in the order in which they lie in memory
    similarities = segment.rows[rows].astype(np.float32) @ query
    best = np.argsort(-similarities, kind="stable")[:k]
    return similarities[best], segment.ids[rows[best]]


def _without(segment: _Segment, ranges: list[tuple[int, int]]) -> _Segment:
    alive = np.ones(len(segment.ids), bool) if segment.alive is None else segment.alive.copy()
    for first, count in ranges:
        start, stop = np.searchsorted(segment.ids, (first, first + count))
        alive[start:stop] = False
    return segment if alive.all() else replace(segment, alive=alive)


def _restricted(segment: _Segment, ranges: NDArray[np.int64]) -> _Segment:
    edges = np.zeros(len(segment.ids) + 1, np.int32)
    np.add.at(edges, np.searchsorted(segment.ids, ranges[:, 0]), 1)
    np.add.at(edges, np.searchsorted(segment.ids, ranges[:, 1]), -1)
    inside = np.cumsum(edges[:-1], dtype=np.int32) > 0
    alive = inside if segment.alive is None else inside & segment.alive
    return replace(segment, alive=alive)


def _alive(segment: _Segment) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows = segment.rows.astype(np.float32)
    return (segment.ids, rows) if segment.alive is None else (segment.ids[segment.alive], rows[segment.alive])


def _chunks(segment: _Segment) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Yield the numbers and embeddings of the passages that are alive, in chunks."""
    for start in range(0, len(segment.ids), _CHUNK):
        here = slice(start, start + _CHUNK)
        chosen = slice(None) if segment.alive is None else segment.alive[here]
        yield segment.ids[here][chosen], segment.rows[here][chosen]


def _merged(
    segments: tuple[_Segment, ...], change: Callable[[NDArray[np.float16]], NDArray[np.floating]], dim: int
) -> _Segment:
    """Return one segment with the passages of several that are alive, their embeddings changed by ``change``."""
    index = _flat(dim)
    parts = []
    for ids, rows in chain.from_iterable(map(_chunks, segments)):
        _add(index, change(rows))
        parts.append(ids)
    return _Segment(index, np.concatenate([np.zeros(0, np.int64), *parts]))


def _unchanged(rows: NDArray[np.float16]) -> NDArray[np.float16]:
    return rows


def _add(index: faiss.Index, rows: NDArray[np.floating]) -> None:
    """Add embeddings to an index; those that are float16 already as they are, without a copy of twice the size."""
    if rows.dtype == np.float16:
        index.add_sa_codes(np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), 2 * index.d))
    else:
        index.add(rows.astype(np.float32, copy=False))


def _read(file: BufferedReader) -> faiss.Index:
    """Read a FAISS index, or map it into memory if it is large, so that only the parts in use are read."""
    file.seek(0)
    if os.fstat(file.fileno()).st_size <= MAPPED:
        return faiss.read_index(faiss.PyCallbackIOReader(file.read))
    # Opened by its descriptor, it is the file that was checked. Windows has no such names, but there an open file
    # cannot be replaced.
    name = file.name if os.name == "nt" else f"/dev/fd/{file.fileno()}"
    return faiss.read_index(name, faiss.IO_FLAG_MMAP_IFC)
