"""Ranking: from the similarities of passages to the score of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTROID_WEIGHT", "Ranked", "Scored", "centroid", "rank", "scored"]

CENTROID_WEIGHT = 0.5
"""Share of the centroids' cosine in a document's score; measured, see docs/research/ranking.md."""


@dataclass(frozen=True, slots=True)
class Scored:
    """How well documents match a query, in the order they were given.

    Attributes:
        scores: ``float32 (n,)``, higher is better, in [-1, 1].
        directions: ``float32 (n, dim)``: their centroids, unit rows.
        similarities: Of each, ``float32 (its passages,)``: each passage's inner product with its best match in the
            query.
    """

    scores: NDArray[np.float32]
    directions: NDArray[np.float32]
    similarities: list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document's place among the candidates.

    Attributes:
        position: Index of the document in the list that was ranked.
        score: What ranks it, higher is better, in [-1, 1].
        similarities: ``float32 (passages,)``: each passage's inner product with its best match in the query.
    """

    position: int
    score: float
    similarities: NDArray[np.float32]


def centroid(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the direction that a text's passages share, ``float32 (dim,)``, unit norm.

    Args:
        vectors: ``(passages, dim)``, unit rows, at least one.
    """
    mean = vectors.astype(np.float32).sum(axis=0)
    norm = float(np.linalg.norm(mean))
    direction: NDArray[np.float32] = mean / norm if norm > 0 else vectors[0].astype(np.float32)
    return direction


def rank(query: NDArray[np.float32], documents: Sequence[NDArray[np.floating]], k: int | None = None) -> list[Ranked]:
    """Score documents as ``scored`` does; best first, ties in the order given.

    Args:
        query: ``float32 (query passages, dim)``, unit rows.
        documents: Per document ``(its passages, dim)``, unit rows, at least one each.
        k: Documents to return, the best; all when not given.
    """
    found = scored(query, documents)
    order = np.argsort(-found.scores, kind="stable")[:k]
    return [Ranked(int(i), float(found.scores[i]), found.similarities[i]) for i in order]


def scored(query: NDArray[np.float32], documents: Sequence[NDArray[np.floating]]) -> Scored:
    """Score documents against a query by all passages of both.

    The score blends two similarities: how near each passage of the query is to its best match in the document, on
    average (does the document cover it?), and how near the centroids are (are both about the same as a whole?). For a
    query of one passage the first is the similarity of the document's best passage.

    Args:
        query: ``float32 (query passages, dim)``, unit rows.
        documents: Per document ``(its passages, dim)``, unit rows, at least one each.
    """
    if not documents:
        return Scored(np.zeros(0, np.float32), np.zeros((0, query.shape[1]), np.float32), [])
    ends = np.cumsum([len(vectors) for vectors in documents])
    starts = np.concatenate(([0], ends[:-1]))
    stacked = np.concatenate(documents).astype(np.float32)
    similarities = np.clip(query @ stacked.T, -1, 1)  # float16 rows are of unit norm but for rounding
    best = np.maximum.reduceat(similarities, starts, axis=1).mean(axis=0)
    sums = np.add.reduceat(stacked, starts, axis=0)
    norms = np.sqrt(np.maximum(np.einsum("ij,ij->i", sums, sums), np.finfo(np.float32).tiny))
    directions = sums / norms[:, None]
    scores = (1 - CENTROID_WEIGHT) * best + CENTROID_WEIGHT * (directions @ centroid(query))
    each = similarities.max(axis=0)
    apart = [each[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return Scored(scores.astype(np.float32), directions, apart)
