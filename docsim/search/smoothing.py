"""Smoothing: what is like other good answers is a better answer.

Documents on one subject tend to answer the same question (the cluster hypothesis, van Rijsbergen 1979), so each score
is drawn towards those of the nearest other candidates. This is score regularisation (Diaz 2005, Regularizing ad hoc
retrieval scores, CIKM) in one step; see docs/research/ranking.md for what it brings.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

__all__ = ["NEIGHBOURS", "SHARE", "smoothed"]

NEIGHBOURS = 4
"""Candidates that each one is compared with, its nearest; measured, see docs/research/ranking.md."""

SHARE = 0.25
"""What their scores count; a candidate's own counts the rest; measured, see docs/research/ranking.md."""


def smoothed(scores: NDArray[np.float32], directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores, each drawn towards its neighbours' mean, weighted by their cosines with it, ``float32 (n,)``.

    The highest score stays, and so stays the highest: the page that has the very title or number that was asked for is
    by nature above all that is like it.

    Args:
        scores: Of one query's candidates, ``float32 (n,)``.
        directions: The candidates' centroids, ``float32 (n, dim)``, unit rows.
    """
    count = min(NEIGHBOURS, len(scores) - 1)
    if count < 1:
        return scores
    faiss.omp_set_num_threads(1)  # threads that are waited for are slow on a busy machine
    cosines, nearest = faiss.knn(directions, directions, count + 1, metric=faiss.METRIC_INNER_PRODUCT)
    weights = np.maximum(cosines, np.float32(1e-6))
    weights[nearest == np.arange(len(scores))[:, None]] = 0  # most likely each is the nearest to itself ...
    weights[weights.all(axis=1), -1] = 0  # ... but not always among copies
    around = (weights * scores[nearest]).sum(axis=1) / weights.sum(axis=1)
    drawn: NDArray[np.float32] = (1 - SHARE) * scores + SHARE * around
    return np.where(scores == scores.max(), scores, drawn).astype(np.float32)
