"""Metrics for rankings: evaluates the results of any search engine against relevance judgements.

A run is the result of a search engine for a set of queries: for each query a ranking, the ids of the documents found,
best first. Metrics are computed by ``ir_measures``, which uses the code of trec_eval. All are in [0, 1], higher is
better:

    nDCG@k    the sum of grade / log2(rank + 1) over the first k documents, divided by that of an ideal ranking
              (Järvelin & Kekäläinen 2002, ACM TOIS 20(4), with trec_eval's discount); negative grades count as 0
    RR@k      1 / rank of the first relevant document, or 0 if none is in the first k (Voorhees 1999, TREC-8)
    R@k       the share of all relevant documents that are in the first k

A report has the mean over queries, with a 95 % percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13; queries
are resampled as in Sakai 2006, SIGIR). All random choices are seeded, so the same input gives the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim import extras
from docsim.errors import UsageError
from docsim.evaluation import judgements
from docsim.evaluation.builtin_metrics import METRICS
from docsim.evaluation.judgements import Qrels

__all__ = [
    "DEFAULT_METRICS",
    "Correlations",
    "Estimate",
    "PerQuery",
    "RunComparison",
    "RunReport",
    "compare",
    "correlate",
    "depth",
    "evaluate",
    "metrics_at",
]

PerQuery = Mapping[str, Mapping[str, float]]
"""For each query id, the value of each metric by its name."""

Values = NDArray[np.float64]

DEFAULT_METRICS = ("nDCG@10", "RR@10", "R@100")

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
class RunReport:
    """The metrics of one run.

    Attributes:
        queries: The number of queries that count: those with a relevant document.
        unanswered: The number of these without a ranking; each counts as 0.
        metrics: The mean over these queries by the name of the metric.
        per_query: The values that the means are computed from.
    """

    queries: int
    unanswered: int
    metrics: Mapping[str, Estimate]
    per_query: PerQuery


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


def metrics_at(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Return the names of nDCG, RR and R at their default cutoffs and at further ones.

    Args:
        cutoffs: The further cutoffs, each at least 1.
    """
    defaults = (name.split("@") for name in DEFAULT_METRICS)
    return tuple(f"{metric}@{cutoff}" for metric, default in defaults for cutoff in sorted({int(default), *cutoffs}))


def depth(metrics: Sequence[str]) -> int:
    """Return the length that rankings must have for these metrics: their largest cutoff."""
    return max(int(name.split("@")[1]) for name in metrics)


def evaluate(
    run: Mapping[str, Sequence[str]], qrels: Qrels, *, metrics: Sequence[str] = DEFAULT_METRICS, seed: int = 0
) -> RunReport:
    """Evaluate a run against relevance judgements.

    A judged query without a ranking counts as 0. Queries without a relevant document are ignored, and so are rankings
    for queries that are not judged. A document that is not judged counts as not relevant.

    Args:
        run: For each query id the ids of the documents found, best first, each once.
        qrels: The judgements; a grade of 1 or more means relevant.
        metrics: Names such as ``nDCG@10``, ``RR@10`` or ``R@100``, with any cutoff of at least 1.
        seed: Seed of the bootstrap.

    Raises:
        UsageError: No query has a relevant document, a metric is unknown, or a ranking contains a document twice.
    """
    judged = judgements.relevant(qrels)
    if not judged:
        raise UsageError("expected judgements with a document of grade 1 or more for some query, found none")
    answered = {query: run[query] for query in judged if run.get(query)}
    for query, ranking in answered.items():
        if len(set(ranking)) < len(ranking):
            raise UsageError(f"expected each document once in a ranking, got one twice for query {query}")
    per_query = _values(answered, judged, metrics)
    table = np.array([[values[name] for name in metrics] for values in per_query.values()])
    means = _bootstrap(table, lambda rows: rows.mean(axis=1), seed)
    return RunReport(len(judged), len(judged) - len(answered), dict(zip(metrics, means, strict=True)), per_query)


def _values(run: Mapping[str, Sequence[str]], qrels: Qrels, names: Sequence[str]) -> dict[str, dict[str, float]]:
    for name in names:
        metric, _, cutoff = name.partition("@")
        if metric not in METRICS or not cutoff.isdecimal() or int(cutoff) < 1:
            raise UsageError(f"expected a metric like {', '.join(DEFAULT_METRICS)}, got {name!r}")
    if extras.available("eval"):
        return _by_trec_eval(run, qrels, names)
    split = {name: name.split("@") for name in names}
    return {
        query: {name: METRICS[metric](run.get(query, ()), judged, int(at)) for name, (metric, at) in split.items()}
        for query, judged in qrels.items()
    }


def _by_trec_eval(run: Mapping[str, Sequence[str]], qrels: Qrels, names: Sequence[str]) -> dict[str, dict[str, float]]:
    import ir_measures

    measures = {}
    for name in names:
        metric, _, cutoff = name.partition("@")
        measures[getattr(ir_measures, metric) @ int(cutoff)] = name
    # trec_eval breaks ties by id, so scores must differ; its code takes no negative grades.
    scores = {query: {id: float(-rank) for rank, id in enumerate(ids)} for query, ids in run.items()}
    grades = {query: {id: max(grade, 0) for id, grade in judged.items()} for query, judged in qrels.items()}
    values = {query: dict.fromkeys(names, 0.0) for query in qrels}
    for one in ir_measures.iter_calc(list(measures), grades, scores):
        values[one.query_id][measures[one.measure]] = float(one.value)
    return values


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
    means = _bootstrap(differences, lambda rows: rows.mean(axis=1), seed)
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
    spearman = _bootstrap(columns, lambda rows: _pearson(rankdata(rows, axis=1)), seed)
    pearson = _bootstrap(columns, _pearson, seed)
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


def _bootstrap(sample: Values, statistic: Callable[[Values], Values], seed: int) -> list[Estimate]:
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
