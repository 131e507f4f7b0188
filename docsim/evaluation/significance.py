"""Significance: how far a mean, a difference or a correlation may be from what more queries would give.

Intervals are 95 % percentile bootstrap intervals (Efron & Tibshirani 1993, ch. 13; queries are resampled as in Sakai
2006, SIGIR), and p-values come from a paired randomisation test. All random choices are seeded, so the same input gives
the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim import extras
from docsim.errors import UsageError

__all__ = ["Correlations", "Estimate", "PerQuery", "RunComparison", "Values", "bootstrap", "compare", "correlate"]

PerQuery = Mapping[str, Mapping[str, float]]
"""For each query id, the value of each metric by its name."""

Values = NDArray[np.float64]

RESAMPLES = 2000
"""The number of bootstrap resamples for an interval."""

PERMUTATIONS = 10_000
"""The number of random sign changes for a p-value, when there are too many queries to try all."""

SIGNIFICANT = 0.05
"""A difference is called significant when its p-value is below this."""

_ALL_SIGNS = 13  # up to this many queries, all 2 ** n sign changes are tried
_CELLS = 1 << 22  # random numbers drawn at a time, which bounds memory to about 100 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its 95 % confidence interval.

    Attributes:
        value: The estimate.
        low: The lower end of the interval.
        high: The upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The difference between two runs by one metric.

    Attributes:
        queries: The number of queries that both runs have a value for.
        difference: The mean of the first run minus the mean of the second over these queries, in [-1, 1].
        p: The two-sided p-value, in (0, 1]: the probability of a difference at least as large if the two runs are
            equally good.
        significant: Whether ``p`` is below 0.05.
    """

    queries: int
    difference: Estimate
    p: float
    significant: bool


@dataclass(frozen=True, slots=True)
class Correlations:
    """The correlations between an encoder's similarities and the scores that people gave, each in [-1, 1].

    Attributes:
        spearman: Spearman's rank correlation.
        pearson: Pearson's correlation.
    """

    spearman: Estimate
    pearson: Estimate


def compare(a: PerQuery, b: PerQuery, *, seed: int = 0) -> dict[str, RunComparison]:
    """Compare two runs by each metric that both have, over the queries that both have.

    The p-value is that of the two-sided paired randomisation test on the difference of the means (Smucker, Allan &
    Carterette 2007, CIKM). Under the null hypothesis, either run could have produced either value, so changing the sign
    of a query's difference is equally likely. All sign changes are tried for up to 13 queries, otherwise 10,000 random
    ones. There is no correction for testing several metrics.

    Args:
        a: The run in question; a positive difference means that it is better.
        b: The run to compare it with, evaluated with the same judgements.
        seed: Seed of the bootstrap and of the sign changes.

    Returns:
        A comparison for each metric by its name.

    Raises:
        UsageError: The runs have no query or no metric in common.
    """
    queries = [query for query in a if query in b]
    if not queries:
        raise UsageError("expected two runs over the same queries, got runs that have none in common")
    shared = [name for name in a[queries[0]] if all(name in run[query] for run in (a, b) for query in queries)]
    if not shared:
        raise UsageError("expected two runs judged by the same metrics, got runs that have none in common")
    differences = np.array([[a[query][name] - b[query][name] for name in shared] for query in queries])
    means = bootstrap(differences, lambda rows: rows.mean(axis=1), seed)
    p_values = [_p_value(column, seed) for column in differences.T]
    return {
        name: RunComparison(len(queries), mean, p, p < SIGNIFICANT)
        for name, mean, p in zip(shared, means, p_values, strict=True)
    }


def correlate(similarities: Values, scores: Values, *, seed: int = 0) -> Correlations:
    """Return the correlations between similarities and scores. Ties get their mean rank.

    Args:
        similarities: What the encoder says, float64 ``(n,)``.
        scores: What people say, float64 ``(n,)``, on any scale.
        seed: Seed of the bootstrap, which resamples pairs.

    Raises:
        MissingExtra: The extra ``eval`` is not installed.
        UsageError: All similarities or all scores are the same, so that there is no correlation.
    """
    extras.require("eval", "rank correlation")
    from scipy.stats import rankdata

    for name, values in (("similarities", similarities), ("scores", scores)):
        if len(np.unique(values)) < 2:
            raise UsageError(f"expected {name} that differ, got {len(values)} that are all equal")
    columns = np.stack([similarities, scores], axis=1).astype(np.float64)
    spearman = bootstrap(columns, lambda rows: _pearson(rankdata(rows, axis=1)), seed)
    pearson = bootstrap(columns, _pearson, seed)
    return Correlations(spearman[0], pearson[0])


def _pearson(rows: Values) -> Values:
    """Return the correlation of the two columns of each of ``s`` samples ``(s, n, 2)``: ``(s, 1)``, NaN if constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    products = (centred[:, :, 0] * centred[:, :, 1]).sum(axis=1)
    norms = np.sqrt((centred**2).sum(axis=1).prod(axis=1))
    defined = (rows != rows[:, :1]).any(axis=1).all(axis=1)
    correlations = np.full(len(rows), np.nan)
    np.divide(products, norms, out=correlations, where=defined)
    return correlations[:, None]


def bootstrap(sample: Values, statistic: Callable[[Values], Values], seed: int) -> list[Estimate]:
    """Estimate statistics and their intervals by resampling the rows of a sample.

    Args:
        sample: One row for each query or pair, ``(n, m)``.
        statistic: Maps ``s`` samples, ``(s, n, m)``, to their statistics, ``(s, q)``; NaN values are left out.
        seed: Seed of the resampling.
    """
    generator = np.random.default_rng(seed)
    together = max(1, _CELLS // sample.size)
    drawn = []
    for start in range(0, RESAMPLES, together):
        size = (min(together, RESAMPLES - start), len(sample))
        drawn.append(statistic(sample[generator.integers(0, len(sample), size=size)]))
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5], axis=0)
    values = statistic(sample[None])[0]
    return [Estimate(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]


def _p_value(differences: Values, seed: int) -> float:
    """Return the p-value of differences ``(n,)``.

    It is the share of all sign changes whose sum is at least as far from 0 as the observed one.
    """
    n = len(differences)
    least = abs(differences.sum()) - 1e-12 * abs(differences).sum()  # so that rounding does not break ties
    if n <= _ALL_SIGNS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        return float((abs(signs @ differences) >= least).mean())
    generator = np.random.default_rng(seed)
    together = max(1, _CELLS // n)
    extreme = 1  # the observed signs count as one of the changes, so that p is never 0
    for start in range(0, PERMUTATIONS, together):
        size = (min(together, PERMUTATIONS - start), n)
        flipped = generator.integers(0, 2, size=size, dtype=np.int8) * 2.0 - 1.0
        extreme += int((abs(flipped @ differences) >= least).sum())
    return extreme / (PERMUTATIONS + 1)
