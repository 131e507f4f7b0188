"""Ranking: from the similarities of passages to the score of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTROID_WEIGHT", "Ranked", "centroid", "rank"]

CENTROID_WEIGHT = 0.5
"""Share of the centroids' cosine in a document's score; measured, see docs/ranking.md."""


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
    """Score documents against a query by all passages of both; best first, ties in the order given.

    The score blends two similarities: how near each passage of the query is to its best match in the document, on
    average (does the document cover it?), and how near the centroids are (are both about the same as a whole?). For a
    query of one passage the first is the similarity of the document's best passage.

    Args:
        query: ``float32 (query passages, dim)``, unit rows.
        documents: Per document ``(its passages, dim)``, unit rows, at least one each.
        k: Documents to return, the best; all when not given.
    """
    if not documents:
        return []
    counts = np.array([len(vectors) for vectors in documents])
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    stacked = np.concatenate(documents).astype(np.float32)
    similarities = np.clip(query @ stacked.T, -1, 1)  # float16 rows are of unit norm but for rounding
    each = similarities.max(axis=0)
    best = np.maximum.reduceat(similarities, starts, axis=1).mean(axis=0)
    sums = np.add.reduceat(stacked, starts, axis=0)
    norms = np.sqrt(np.maximum(np.einsum("ij,ij->i", sums, sums), np.finfo(np.float32).tiny))
    shared = (sums @ centroid(query)) / norms
    scores = (1 - CENTROID_WEIGHT) * best + CENTROID_WEIGHT * shared
    order = np.argsort(-scores, kind="stable")[:k]
    return [Ranked(int(i), float(scores[i]), each[starts[i] : starts[i] + counts[i]]) for i in order]
