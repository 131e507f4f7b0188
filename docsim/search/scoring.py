"""Scoring: turns the similarities of passages into scores of documents, and ranks the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import Stacked

__all__ = ["CENTROID_WEIGHT", "Ranked", "Scored", "centroid", "rank", "scored", "scored_stacked"]

CENTROID_WEIGHT = 0.5
"""The weight of the centroids' cosine in a document's score; measured, see docs/research/ranking.md."""

_FEW = 8  # rows of a document that are added while those of others are

_SAME = 0.9995  # the inner product of two embeddings that differ by rounding only


@dataclass(frozen=True, slots=True)
class Scored:
    """How well documents match a query, in the order in which they were given.

    Attributes:
        scores: ``float32 (n,)``, in [-1, 1], higher is better.
        directions: The centroids of the documents, ``float32 (n, dim)``, unit rows.
        similarities: For each document ``float32 (its passages,)``: each passage's inner product with its best match in
            the query.
    """

    scores: NDArray[np.float32]
    directions: NDArray[np.float32]
    similarities: Sequence[NDArray[np.float32]]


class _Cut(Sequence[NDArray[np.float32]]):
    """An array of the values of all documents, which is cut when those of one are asked for: few are."""

    def __init__(self, values: NDArray[np.float32], ends: NDArray[np.int64]) -> None:
        self._values, self._ends = values, ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> NDArray[np.float32]: ...

    @overload
    def __getitem__(self, place: slice) -> list[NDArray[np.float32]]: ...

    def __getitem__(self, place: int | slice) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        i = range(len(self))[place]
        return self._values[self._ends[i - 1] if i else 0 : self._ends[i]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document in a ranking.

    Attributes:
        position: The document's position in the list that was given.
        score: In [-1, 1], higher is better.
        similarities: ``float32 (passages,)``: each passage's inner product with its best match in the query.
    """

    position: int
    score: float
    similarities: NDArray[np.float32]


def centroid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the normalised mean of a text's passages, ``float32 (dim,)``, unit norm.

    Args:
        vectors: ``(passages, dim)``, unit rows, at least one.
    """
    mean = vectors.astype(np.float32).sum(axis=0)
    norm = float(np.linalg.norm(mean))
    direction: NDArray[np.float32] = mean / norm if norm > 0 else vectors[0].astype(np.float32)
    return direction


def rank(
    query: NDArray[np.float32],
    documents: Sequence[NDArray[np.floating]],
    k: int | None = None,
    *,
    nothing: NDArray[np.float32] | None = None,
) -> list[Ranked]:
    """Score documents against a query as ``scored`` does, and rank them: best first, ties in the order given.

    Args:
        query: ``float32 (query passages, dim)``, unit rows.
        documents: For each document ``(its passages, dim)``, unit rows, at least one.
        k: How many documents to return; all by default.
        nothing: As of ``scored``.
    """
    found = scored(query, documents, nothing=nothing)
    order = np.argsort(-found.scores, kind="stable")[:k]
    return [Ranked(int(i), float(found.scores[i]), found.similarities[i]) for i in order]


def scored(
    query: NDArray[np.float32],
    documents: Sequence[NDArray[np.floating]],
    *,
    nothing: NDArray[np.float32] | None = None,
) -> Scored:
    """Score documents against a query by all passages of both.

    The score is a weighted sum of two similarities. The first asks whether the document covers the query: the
    similarity of each query passage to its best match in the document, averaged. The second asks whether both are about
    the same as a whole: the cosine of their centroids. For a query of one passage, the first is the similarity of the
    document's best passage.

    Args:
        query: ``float32 (query passages, dim)``, unit rows.
        documents: For each document ``(its passages, dim)``, unit rows, at least one.
        nothing: The embedding of a text of which the encoder knows no token, ``float32 (dim,)``. Passages that have it
            are treated as similar to nothing.
    """
    if not documents:
        return scored_stacked(query, Stacked(np.zeros((0, query.shape[1]), np.float32), np.zeros(0, np.int64)))
    counts = np.array([len(vectors) for vectors in documents])
    return scored_stacked(query, Stacked(np.concatenate(documents), counts), nothing=nothing)


def scored_stacked(
    query: NDArray[np.float32], documents: Stacked, *, nothing: NDArray[np.float32] | None = None
) -> Scored:
    """Score documents as ``scored`` does, given their embeddings one after the other."""
    counts = documents.counts
    if not len(counts):
        return Scored(np.zeros(0, np.float32), np.zeros((0, query.shape[1]), np.float32), [])
    ends = np.cumsum(counts)
    starts = ends - counts
    rows = _widened(documents.rows)
    if nothing is not None:
        query, rows = _known(query, nothing), _known(rows, nothing)
    similarities = np.clip(query @ rows.T, -1, 1)  # rounding to float16 can make a norm slightly greater than 1
    best = np.maximum.reduceat(similarities, starts, axis=1)
    sums = _sums(rows, starts, counts)
    norms = np.sqrt(np.maximum(np.einsum("ij,ij->i", sums, sums), np.finfo(np.float32).tiny))
    directions = sums / norms[:, None]
    covered = best[0] if len(query) == 1 else best.mean(axis=0)
    scores = (1 - CENTROID_WEIGHT) * covered + CENTROID_WEIGHT * (directions @ centroid(query))
    best_matches = similarities[0] if len(query) == 1 else similarities.max(axis=0)
    return Scored(scores.astype(np.float32), directions, _Cut(best_matches, ends))


def _widened(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return embeddings as float32; float16 is looked up, which takes half as long as to convert it."""
    return _every_half().take(rows.view(np.uint16)) if rows.dtype == np.float16 else rows.astype(np.float32)


@cache
def _every_half() -> NDArray[np.float32]:
    """Return every number that float16 has, by its bits, ``float32 (65536,)``."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def _known(rows: NDArray[np.float32], nothing: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows with zeros for those that are the embedding of nothing, up to rounding."""
    empty = rows @ nothing > _SAME
    return np.where(empty[:, None], np.float32(0), rows) if empty.any() else rows


def _sums(rows: NDArray[np.float32], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the sum of each document's rows: the second rows of all are added to the first, and so on.

    ``np.add.reduceat`` goes down one column after the other instead, which takes several times as long.
    """
    sums = rows[starts]
    for place in range(1, min(int(counts.max()), _FEW)):
        more = np.flatnonzero(counts > place)
        sums[more] += rows[starts[more] + place]
    for many in np.flatnonzero(counts > _FEW).tolist():
        sums[many] += rows[starts[many] + _FEW : starts[many] + counts[many]].sum(axis=0)
    return sums
