"""Smoothing: a document that resembles other good candidates gets a better score.

Documents on one subject tend to answer the same question (the cluster hypothesis, van Rijsbergen 1979), so each score
is moved towards the scores of the most similar other candidates. This is one step of score regularisation (Diaz 2005,
Regularizing ad hoc retrieval scores, CIKM). Its effect is measured in docs/research/ranking.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEIGHBOURS", "SHARE", "smoothed"]

NEIGHBOURS = 4
"""How many of the most similar candidates influence a score; measured, see docs/research/ranking.md."""

SHARE = 0.25
"""The weight of the neighbours' scores; a candidate's own score has the rest. Measured, see
docs/research/ranking.md."""


def smoothed(scores: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move each score towards the mean of its neighbours' scores, weighted by their cosines; return ``float32 (n,)``.

    The highest score does not change, and stays the highest: a page with exactly the title or number that was asked for
    naturally scores above everything that resembles it.

    Args:
        scores: The scores of one query's candidates, ``float32 (n,)``.
        directions: The candidates' centroids, ``float32 (n, dim)``, unit rows.
    """
    count = min(NEIGHBOURS, len(scores) - 1)
    if count < 1:
        return scores
    cosines, own = directions @ directions.T, np.arange(len(scores))
    np.fill_diagonal(cosines, -np.inf)
    around, total = np.zeros(len(scores), np.float32), np.zeros(len(scores), np.float32)
    for _ in range(count):
        nearest = cosines.argmax(axis=1)
        weights = np.maximum(cosines[own, nearest], np.float32(1e-6))
        around += weights * scores[nearest]
        total += weights
        cosines[own, nearest] = -np.inf
    drawn: NDArray[np.float32] = (1 - SHARE) * scores + SHARE * around / total
    return np.where(scores == scores.max(), scores, drawn).astype(np.float32)
