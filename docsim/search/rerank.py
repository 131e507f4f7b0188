"""Re-ranking: chooses which candidates become hits, and in which order.

Three steps follow one another: candidates below the similarity threshold are dropped, only the best candidate of each
group is kept, and the rest is diversified. Each step looks only at earlier candidates, so successive pages of hits
neither overlap nor leave gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot
from docsim.models import Ranking
from docsim.search import scoring
from docsim.search.diversity import diverse
from docsim.search.retrieval import Candidate

__all__ = ["chosen"]


def chosen(snapshot: Snapshot, tiers: Iterable[Sequence[Candidate]], ranking: Ranking) -> Iterator[Candidate]:
    """Yield the candidates that may become hits, in order. Skipping the first ``ranking.offset`` is up to the caller.

    Args:
        snapshot: Where their metadata and embeddings are.
        tiers: Candidates, best first.
        ranking: Says which candidates to drop or demote.
    """
    groups: set[object] = set()
    before: list[NDArray[np.float32]] = []
    for tier in tiers:
        kept, least = tier, ranking.min_similarity
        if least is not None:
            kept = [one for one in tier if one.similarity >= least]
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
    """Return the candidates whose value has not occurred yet, and add their values to ``groups``."""
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
