"""Clicks: what they say about documents once the bias of position is taken out.

People look at the first hits more often than at later ones. In the position-based model a hit is opened when it is
looked at, with a probability that depends on its rank only, the propensity, and worth opening. A document that answers
a question is worth opening more often than one that does not:

    P(opened) = propensity(rank) * (appeal if it answers the question, else temptation)

Propensities, appeal, temptation, how often a hit at each rank is an answer, and the probability that each document is
one, are estimated together by expectation maximisation (Chuklin, Markov and de Rijke, "Click Models for Web Search",
2015, section 3.3, with two classes of documents). If people open anything, appeal and temptation come out alike, and
clicks say little.

Where neighbours were swapped at random, how often each rank of a pair was opened tells the ratio of their propensities
directly (Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", WSDM 2017, section 5).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.use.records import MOST_SHOWN
from docsim.use.sittings import Sitting

__all__ = ["ClickEvidence", "Clicks", "read_clicks"]

_ROUNDS = 60
_FALL = 0.8  # expected: the propensity of a rank is the rank to the power of minus this
_APPEAL, _TEMPTATION, _ANSWERS = 0.6, 0.1, 0.2  # expected, too
_LOOKS = 20.0  # what is expected counts as much as so many looks
_SWAP_CLICKS = 10.0  # and, for the ratio of two propensities, as so many clicks on a swapped pair
_UNRANKED = MOST_SHOWN  # the place of documents that were opened at a rank that is not known: surely looked at

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClickEvidence:
    """What clicks say about one document as the answer to one question.

    Attributes:
        clicks: How often it was opened, weighted.
        looks: How often it was looked at, as far as can be told, weighted.
        answers: The probability that it answers the question, in [0, 1].
        people: How many different people opened it; all that are not known count as one.
    """

    clicks: float
    looks: float
    answers: float
    people: int


@dataclass(frozen=True, slots=True)
class Clicks:
    """What all clicks say.

    Attributes:
        propensities: How likely each rank is looked at, compared with the first, ``float64 (20,)`` in (0, 1].
        appeal: How likely an answer is opened when it is looked at.
        temptation: How likely something else is.
        evidence: What is known by question and document, of all that was shown or opened.
    """

    propensities: Floats
    appeal: float
    temptation: float
    evidence: dict[tuple[str, str], ClickEvidence]


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often documents were shown and opened, by question and document and rank.

    Attributes:
        pairs: The questions and documents.
        pair: The number of the pair of each count, int64 ``(n,)``.
        rank: The rank, from 0, or ``_UNRANKED``, int64 ``(n,)``.
        clicks: How often it was opened there, weighted, float64 ``(n,)``.
        misses: How often it was not, float64 ``(n,)``.
    """

    pairs: tuple[tuple[str, str], ...]
    pair: Numbers
    rank: Numbers
    clicks: Floats
    misses: Floats


@dataclass(frozen=True, slots=True)
class _Model:
    """What is estimated.

    Attributes:
        propensity: float64 ``(21,)``; the last, of ranks that are not known, is 1.
        worth: Temptation and appeal, float64 ``(2,)``.
        prior: How often a hit at each rank is an answer, float64 ``(21,)``.
        answers: The probability that each pair is an answer, float64 ``(pairs,)``.
    """

    propensity: Floats
    worth: Floats
    prior: Floats
    answers: Floats


def read_clicks(sittings: Sequence[Sitting]) -> Clicks:
    """Return what the clicks of all sittings say; their order makes no difference."""
    counts = _counted(sittings)
    model = _fitted(counts, None)
    if any(one.pair is not None for one in sittings):
        model = _fitted(counts, _by_swaps(sittings, model.propensity))
    looks = _looks(counts, model)
    people = defaultdict[tuple[str, str], set[str | None]](set)
    for one in sittings:
        for document in one.opened:
            people[one.key, document].add(one.person)
    clicks, looked = (np.bincount(counts.pair, each, len(counts.pairs)).tolist() for each in (counts.clicks, looks))
    found = {
        pair: ClickEvidence(clicks[place], looked[place], float(model.answers[place]), len(people[pair]))
        for place, pair in enumerate(counts.pairs)
    }
    return Clicks(model.propensity[:-1], float(model.worth[1]), float(model.worth[0]), found)


def _counted(sittings: Sequence[Sitting]) -> _Counts:
    """Return how often what was shown was opened. Weights are summed exactly, in any order."""
    shown, opened = (
        defaultdict[tuple[str, str, int], list[float]](list),
        defaultdict[tuple[str, str, int], list[float]](list),
    )
    for one in sittings:
        for document in {*one.shown, *one.opened}:
            place = (one.key, document, min(one.shown.get(document, _UNRANKED + 1) - 1, _UNRANKED))
            shown[place].append(one.weight)
            if document in one.opened:
                opened[place].append(one.weight)
    places = sorted(shown)
    pairs = tuple(dict.fromkeys(place[:2] for place in places))
    numbers = {pair: number for number, pair in enumerate(pairs)}
    all_, clicks = (np.array([math.fsum(held[place]) for place in places]) for held in (shown, opened))
    pair = np.array([numbers[place[:2]] for place in places], np.int64)
    rank = np.array([place[2] for place in places], np.int64)
    return _Counts(pairs, pair, rank, clicks, np.maximum(0.0, all_ - clicks))


def _fitted(counts: _Counts, propensity: Floats | None) -> _Model:
    """Return the model by expectation maximisation; propensities are estimated, too, if they are not given."""
    fixed = propensity is not None
    expected = np.append(np.arange(1, MOST_SHOWN + 1) ** -_FALL, 1.0)
    seen = expected if propensity is None else propensity
    worth, prior = np.array([_TEMPTATION, _APPEAL]), np.full(len(expected), _ANSWERS)
    model = _Model(seen, worth, prior, np.zeros(len(counts.pairs)))
    for _ in range(_ROUNDS if len(counts.pairs) else 0):
        model = _improved(counts, model, expected, fixed=fixed)
    return model


def _improved(counts: _Counts, model: _Model, expected: Floats, *, fixed: bool) -> _Model:
    """Return the model after one more round."""
    answers = _answers(counts, model)
    share = np.stack([1 - answers, answers])[:, counts.pair]  # (2, n): is it none, is it one
    looked = counts.clicks + counts.misses * _missed(counts, model)  # (2, n): looks, if it is none or one
    opened, looks = (share * counts.clicks).sum(axis=1), (share * looked).sum(axis=1)
    worth = (opened + _LOOKS * np.array([_TEMPTATION, _APPEAL])) / (looks + _LOOKS)
    worth = np.array([min(worth), max(worth)])
    shown = counts.clicks + counts.misses
    by_rank = np.bincount(counts.rank, share[1] * shown, len(expected))
    total = np.bincount(counts.rank, shown, len(expected))
    mean = (by_rank.sum() + _LOOKS * _ANSWERS) / (total.sum() + _LOOKS)
    prior = (by_rank + _LOOKS * mean) / (total + _LOOKS)
    propensity = model.propensity
    if not fixed:
        seen = np.bincount(counts.rank, (share * looked).sum(axis=0), len(expected))
        propensity = (seen + _LOOKS * expected * propensity[0]) / (total + _LOOKS)
        propensity = np.minimum(1.0, propensity / propensity[0])
        propensity[_UNRANKED] = 1.0
    return _Model(propensity, worth, prior, answers)


def _answers(counts: _Counts, model: _Model) -> Floats:
    """Return the probability that each pair is an answer, by all that happened to it."""
    seen = model.propensity[counts.rank]
    tempting, appealing = (np.log1p(-np.minimum(seen * worth, 1 - 1e-9)) for worth in model.worth)
    telling = counts.clicks * np.log(model.worth[1] / model.worth[0]) + counts.misses * (appealing - tempting)
    shown = counts.clicks + counts.misses
    rank_odds = np.log(model.prior[counts.rank] / (1 - model.prior[counts.rank]))
    size = len(counts.pairs)
    prior = np.bincount(counts.pair, shown * rank_odds, size) / np.bincount(counts.pair, shown, size)
    odds = prior + np.bincount(counts.pair, telling, size)
    return np.array(1 / (1 + np.exp(-np.clip(odds, -30, 30))), np.float64)


def _missed(counts: _Counts, model: _Model) -> Floats:
    """Return how likely what was not opened was looked at, if it is no answer or one, float64 ``(2, n)``."""
    seen, worth = model.propensity[counts.rank][None, :], model.worth[:, None]
    return np.array(seen * (1 - worth) / np.maximum(1e-9, 1 - seen * worth), np.float64)


def _looks(counts: _Counts, model: _Model) -> Floats:
    """Return how often each was looked at, as far as can be told, float64 ``(n,)``."""
    share = np.stack([1 - model.answers, model.answers])[:, counts.pair]
    return np.array((share * (counts.clicks + counts.misses * _missed(counts, model))).sum(axis=0), np.float64)


def _by_swaps(sittings: Sequence[Sitting], model: Floats) -> Floats:
    """Return propensities measured by what was opened of pairs that were swapped or not, at random."""
    opened = defaultdict[tuple[int, int], list[float]](list)
    for one in sittings:
        if one.pair is not None and one.pair < MOST_SHOWN:
            ranks = {one.shown[document] for document in one.opened if document in one.shown}
            for side in {0, 1} & {rank - one.pair for rank in ranks}:
                opened[one.pair - 1, side].append(one.weight)
    pairs = np.array([[math.fsum(opened[place, side]) for side in range(2)] for place in range(MOST_SHOWN - 1)])
    ratios = np.minimum(1.0, model[1:MOST_SHOWN] / model[: MOST_SHOWN - 1])
    measured = (pairs[:, 1] + _SWAP_CLICKS * ratios) / (pairs[:, 0] + _SWAP_CLICKS)
    return np.concatenate([[1.0], np.cumprod(np.minimum(1.0, measured)), [1.0]])
