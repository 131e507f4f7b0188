"""Re-ranking: which candidates become hits, and in which order.

The steps come in this order: candidates that are not similar enough are left out, of each group the best one stays, and
the rest is spread out. Each step looks only at the candidates before, so that pages neither overlap nor leave gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot
from docsim.models import Ranking
from docsim.search import scoring
from docsim.search.retrieval import Candidate

__all__ = ["chosen", "diverse"]


def chosen(snapshot: Snapshot, tiers: Iterable[list[Candidate]], ranking: Ranking) -> Iterator[Candidate]:
    """Yield the candidates that may become hits, in order; ``offset`` is left to the caller.

    Args:
        snapshot: Where their metadata and embeddings are.
        tiers: Candidates, best first.
        ranking: What leaves candidates out or demotes them.
    """
    groups: set[object] = set()
    before: list[NDArray[np.float32]] = []
    for tier in tiers:
        kept = [one for one in tier if ranking.min_similarity is None or one.similarity >= ranking.min_similarity]
        if ranking.group_by is not None:
            values = snapshot.metadata_values(ranking.group_by, [one.number for one in kept])
            kept = _best_of_each(kept, values, groups)
        if ranking.diversity:
            yield from diverse(kept, _centroids(snapshot, kept), ranking.diversity, before)
        else:
            yield from kept


def _best_of_each(
    candidates: Sequence[Candidate], values: Mapping[int, object], groups: set[object]
) -> list[Candidate]:
    """Return the candidates whose value did not come before, and add their values to ``groups``."""
    kept = []
    for one in candidates:
        value = values.get(one.number)
        if value is None or value not in groups:
            kept.append(one)
            groups.add(value)
    return kept


def _centroids(snapshot: Snapshot, candidates: Sequence[Candidate]) -> NDArray[np.float32]:
    """Return the centroids of candidates, ``float32 (n, dim)``, unit rows."""
    rows = snapshot.embeddings(np.array([one.number for one in candidates], np.int64))
    return np.array([scoring.centroid(one) for one in rows], np.float32).reshape(len(rows), snapshot.dim)


def diverse(
    candidates: Sequence[Candidate],
    directions: NDArray[np.float32],
    diversity: float,
    before: list[NDArray[np.float32]],
) -> Iterator[Candidate]:
    """Yield all candidates, each time the one of greatest maximal marginal relevance (MMR).

    MMR = (1 - diversity) * relevance - diversity * the greatest cosine with a document that came before, between the
    centroids of their passages; ``relevance`` is scaled to [0, 1] over these candidates. Carbonell & Goldstein
    1998, The use of MMR, SIGIR, with lambda = 1 - diversity.

    Args:
        candidates: Best first, which decides ties.
        directions: Their centroids, ``float32 (n, dim)``, unit rows.
        diversity: In [0, 1].
        before: Centroids of what came before; those of what is yielded are added.
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
