"""Neighbours: the nearest passages of every passage of an index, in batches.

Up to ``EXACT`` passages, every passage is compared with every other. Of more, FAISS sorts the embeddings into clusters
(inverted lists), and each passage is compared with those in the clusters nearest to it: first by short codes, which
stay in the processor's cache, where reading whole embeddings would take most of the time, and then the best exactly.
Near-duplicates have nearly equal embeddings, so they lie in the same cluster or in neighbouring ones.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "Nearest", "nearest"]

EXACT = 20_000
"""Up to this many rows, every row is compared with every other."""

_PROBES = 8
_TRAINED_ON = 40  # rows per cluster
_COMPARED = 8  # times k: passages whose codes are nearest, which are compared exactly
_STEPS = 8  # in which codes are trained; more make them hardly better
_TOGETHER = 4096


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest rows of each row, best first.

    Attributes:
        similarities: ``float32 (n, k)`` inner products.
        places: ``int64 (n, k)`` row numbers; -1 where the clusters searched held fewer than k rows.
    """

    similarities: NDArray[np.float32]
    places: NDArray[np.int64]


def nearest(
    rows: NDArray[np.float32], k: int, *, exact: int = EXACT, advance: Callable[[int], object] | None = None
) -> Nearest:
    """Return the ``k`` rows nearest to each row, best first. A row is usually its own nearest.

    Args:
        rows: ``float32 (n, dim)``, unit rows.
        k: At least 1.
        exact: Up to this many rows, every row is compared with every other.
        advance: Called with the number of rows done since the last call.
    """
    k = min(k, len(rows))
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index = _flat(rows) if len(rows) <= exact else _clustered(rows)
    similarities, places = np.zeros((len(rows), k), np.float32), np.zeros((len(rows), k), np.int64)
    for start in range(0, len(rows), _TOGETHER):
        batch = slice(start, start + _TOGETHER)
        similarities[batch], places[batch] = index.search(rows[batch], k)
        if advance:
            advance(len(rows[batch]))
    return Nearest(similarities, places)


def _flat(rows: NDArray[np.float32]) -> faiss.Index:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def _clustered(rows: NDArray[np.float32]) -> faiss.Index:
    count = int(math.sqrt(len(rows)))
    dim = rows.shape[1]
    codes = f"PQ{dim // 2}x4fs" if dim % 2 == 0 else "SQ8"
    cells = faiss.index_factory(dim, f"IVF{count},{codes}", faiss.METRIC_INNER_PRODUCT)
    if dim % 2 == 0:
        cells.pq.cp.niter = _STEPS
    sample = np.random.default_rng(0).permutation(len(rows))[: _TRAINED_ON * count]
    cells.train(rows[np.sort(sample)])
    cells.add(rows)
    cells.nprobe = _PROBES
    index = faiss.IndexRefine(cells, _flat(rows))
    index.k_factor = _COMPARED
    return index
