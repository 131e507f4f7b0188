"""Clicks: what they say about documents once the bias of position is taken out.

People look at the first hits more often than at later ones. In the position-based model a hit is opened when it is
looked at, with a probability that depends on its rank only, the propensity, and worth opening, with one that depends on
question and document: ``P(opened) = propensity(rank) * worth(question, document)``.

Both are estimated together by expectation maximisation (Chuklin, Markov and de Rijke, "Click Models for Web Search",
2015, section 3.3). Where neighbours were swapped at random, how often each rank of a pair was opened tells the ratio of
their propensities directly (Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", WSDM
2017, section 5).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.use.records import MOST_SHOWN
from docsim.use.sittings import Sitting

__all__ = ["Evidence", "evidence", "propensities"]

_ROUNDS = 50
_PRIOR_CLICKS = 20.0  # the expected propensity of a rank counts as much as so many looks
_PRIOR_FALL = 0.8  # expected: rank to the power of minus this
_WORTH_PRIOR = 1.0  # the mean worth counts as much as so many looks
_SWAP_PRIOR = 10.0  # clicks that the model's ratio counts beside those on swapped pairs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What clicks say about one document as the answer to one question.

    Attributes:
        clicks: How often it was opened, weighted.
        looks: How often it was looked at, weighted by propensity; at least ``clicks`` times the propensity.
        worth: The probability that somebody who looks at it opens it, in [0, 1].
        people: How many different people opened it.
    """

    clicks: float
    looks: float
    worth: float
    people: int


def propensities(sittings: Sequence[Sitting]) -> Floats:
    """Return how likely each rank is looked at, compared with the first, ``float64 (20,)`` in (0, 1], never rising."""
    keys, ranks, looks, clicks = _counted(sittings)
    model = _by_model(keys, ranks, looks, clicks)
    ratios = np.minimum(1.0, model[1:] / model[:-1])
    pairs = np.zeros((MOST_SHOWN - 1, 2))
    for one in sittings:
        if one.pair is not None and one.pair < MOST_SHOWN:
            opened = {one.shown[document] for document in one.opened if document in one.shown}
            pairs[one.pair - 1] += one.weight * np.array([one.pair in opened, one.pair + 1 in opened])
    measured = (pairs[:, 1] + _SWAP_PRIOR * ratios) / (pairs[:, 0] + _SWAP_PRIOR)
    return np.concatenate([[1.0], np.cumprod(np.minimum(1.0, measured))])


def evidence(sittings: Sequence[Sitting], propensity: Floats) -> dict[tuple[str, str], Evidence]:
    """Return what clicks say, by question and document; for all that was shown or opened."""
    clicks, looks = defaultdict[tuple[str, str], list[float]](list), defaultdict[tuple[str, str], list[float]](list)
    people = defaultdict[tuple[str, str], set[str | None]](set)
    for one in sittings:
        for document in {*one.shown, *one.opened}:
            rank = one.shown.get(document)
            seen = 1.0 if rank is None else float(propensity[min(rank, MOST_SHOWN) - 1])
            pair = (one.key, document)
            looks[pair].append(one.weight * seen)
            if document in one.opened:
                clicks[pair].append(one.weight)
                people[pair].add(one.person)
    total = {pair: (math.fsum(clicks[pair]), math.fsum(looks[pair])) for pair in looks}  # in any order the same
    mean = _mean_worth(total.values())
    return {
        pair: Evidence(opened, seen, _worth(opened, seen, mean), len(people[pair]))
        for pair, (opened, seen) in sorted(total.items())
    }


def _mean_worth(totals: Collection[tuple[float, float]]) -> float:
    opened, seen = (math.fsum(side) for side in zip(*totals, strict=True)) if totals else (0.0, 0.0)
    return min(0.5, opened / seen) if seen else 0.0


def _worth(opened: float, seen: float, mean: float) -> float:
    return min(1.0, (opened + _WORTH_PRIOR * mean) / (max(seen, 1e-9) + _WORTH_PRIOR))


def _counted(sittings: Sequence[Sitting]) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Return looks and clicks of each question, document and rank: number of the pair, rank from 0, and counts."""
    held = defaultdict[tuple[str, str, int], list[tuple[float, float]]](list)
    for one in sittings:
        for document, rank in one.shown.items():
            if rank <= MOST_SHOWN:
                held[one.key, document, rank].append((one.weight, one.weight * (document in one.opened)))
    triples = sorted(held)
    numbers = {pair: place for place, pair in enumerate(dict.fromkeys(triple[:2] for triple in triples))}
    keys = np.array([numbers[triple[:2]] for triple in triples], np.int64)
    ranks = np.array([triple[2] - 1 for triple in triples], np.int64)
    looks, clicks = (np.array([math.fsum(one[side] for one in held[each]) for each in triples]) for side in range(2))
    return keys, ranks, looks, clicks


def _by_model(keys: NDArray[np.int64], ranks: NDArray[np.int64], looks: Floats, clicks: Floats) -> Floats:
    """Return the propensity of each rank by expectation maximisation, ``float64 (20,)``, the first 1."""
    prior = np.arange(1, MOST_SHOWN + 1) ** -_PRIOR_FALL
    propensity = prior.copy()
    if not len(keys):
        return prior.astype(np.float64)
    count = int(keys.max()) + 1
    mean = min(0.5, float(clicks.sum() / (looks * prior[ranks]).sum()) or 0.01)
    worth = np.full(count, mean)
    missed = looks - clicks
    for _ in range(_ROUNDS):
        seen, good = propensity[ranks], worth[keys]
        neither = np.maximum(1e-12, 1 - seen * good)
        looked = clicks + missed * seen * (1 - good) / neither
        liked = clicks + missed * (1 - seen) * good / neither
        worth = _shares(keys, count, liked, looks, prior=np.full(count, mean), weight=_WORTH_PRIOR)
        propensity = _shares(ranks, MOST_SHOWN, looked, looks, prior=prior * propensity[0], weight=_PRIOR_CLICKS)
    return np.array(np.minimum(1.0, propensity / propensity[0]), np.float64)


def _shares(
    groups: NDArray[np.int64], count: int, part: Floats, whole: Floats, *, prior: Floats, weight: float
) -> Floats:
    """Return the share of ``part`` in ``whole`` for each group, drawn towards what is expected."""
    parts, wholes = (np.bincount(groups, values, minlength=count) for values in (part, whole))
    return np.array((parts + weight * prior) / (wholes + weight), np.float64)
