"""Diversity: maximal marginal relevance (MMR), which demotes candidates that are similar to earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.search.retrieval import Candidate

__all__ = ["diverse"]


def diverse(
    candidates: Sequence[Candidate],
    directions: NDArray[np.float32],
    diversity: float,
    before: list[NDArray[np.float32]],
) -> Iterator[Candidate]:
    """Yield all candidates, each time the one with the highest maximal marginal relevance (MMR).

    MMR = (1 - diversity) * relevance - diversity * (highest cosine between the centroids of the candidate and of an
    earlier one). ``relevance`` is scaled to [0, 1] over these candidates. From Carbonell & Goldstein 1998, The use of
    MMR, SIGIR, with lambda = 1 - diversity.

    Args:
        candidates: Best first; ties keep this order.
        directions: Their centroids, ``float32 (n, dim)``, unit rows.
        diversity: In [0, 1]; 0 ranks by relevance only, higher values demote candidates similar to earlier ones.
        before: The centroids of earlier candidates; those of yielded candidates are added.
    """
    scores = np.array([one.relevance for one in candidates], np.float32)
    extent = float(np.ptp(scores)) if len(scores) else 0.0
    relevance = (scores - scores.min()) / extent if extent > 0 else np.ones_like(scores)
    nearest = (directions @ np.array(before).T).max(axis=1) if before else None
    left = np.ones(len(candidates), bool)
    while left.any():
        marginal = relevance if nearest is None else (1 - diversity) * relevance - diversity * nearest
        best = int(np.argmax(np.where(left, marginal, -np.inf)))
        left[best] = False
        before.append(directions[best])
        similar = directions @ directions[best]
        nearest = similar if nearest is None else np.maximum(nearest, similar)
        yield candidates[best]
