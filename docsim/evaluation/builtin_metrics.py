"""The three metrics, computed here: nDCG, reciprocal rank and recall, as trec_eval defines them.

For where the extra ``eval`` is not installed: re-indexing compares two generations by them. With the extra they come
from trec_eval's own code; the tests hold both to the same values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

__all__ = ["METRICS", "ndcg", "recall", "reciprocal_rank"]


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], cutoff: int) -> float:
    """Return the normalised discounted cumulated gain of a ranking's first documents, in [0, 1].

    Args:
        ranking: Ids of documents, best first, each once.
        grades: The grade of each judged document; 0 and less, and not judged, count as no gain.
        cutoff: How many documents count, at least 1.
    """
    ideal = _gain(sorted(grades.values(), reverse=True)[:cutoff])
    return _gain([grades.get(id, 0) for id in ranking[:cutoff]]) / ideal if ideal else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], cutoff: int) -> float:
    """Return 1 / rank of the first document of grade 1 or more; 0 where the first ``cutoff`` hold none."""
    ranks = (rank for rank, id in enumerate(ranking[:cutoff], 1) if grades.get(id, 0) >= 1)
    return 1 / next(ranks, math.inf)


def recall(ranking: Sequence[str], grades: Mapping[str, int], cutoff: int) -> float:
    """Return the share of the documents of grade 1 or more that the first ``cutoff`` hold, in [0, 1]."""
    relevant = {id for id, grade in grades.items() if grade >= 1}
    return len(relevant.intersection(ranking[:cutoff])) / len(relevant) if relevant else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


METRICS: Mapping[str, Callable[[Sequence[str], Mapping[str, int], int], float]] = {
    "nDCG": ndcg,
    "RR": reciprocal_rank,
    "R": recall,
}
"""Each metric by the part of its name before ``@``."""
