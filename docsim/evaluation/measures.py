"""How good rankings are: any searcher and qrels make a report.

A ranking is the ids of the documents found, best first. Metrics come from ``ir_measures``, which hands them to
trec_eval's code, or where the extra ``eval`` is not installed from ``metrics``; all are in [0, 1], higher is better:

    nDCG@k    sum of grade / log2(rank + 1) over the first k, divided by that of the best possible ranking
              (Järvelin & Kekäläinen 2002, ACM TOIS 20(4), with trec_eval's discount); grades below 0 count as 0
    RR@k      1 / rank of the first relevant document, 0 if there is none in the first k (Voorhees 1999, TREC-8)
    R@k       the share of all relevant documents that are in the first k

Reports give a mean over queries with a 95 % percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13; queries
are resampled as in Sakai 2006, SIGIR). Everything is seeded: the same input gives the same numbers.
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
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.metrics import METRICS

__all__ = [
    "DEFAULT_METRICS",
    "Comparison",
    "Correlations",
    "Estimate",
    "PerQuery",
    "Report",
    "compare",
    "correlate",
    "depth",
    "evaluate",
    "metrics_at",
]

PerQuery = Mapping[str, Mapping[str, float]]
"""The value of each metric, by its name, for each query, by its id."""

Values = NDArray[np.float64]

DEFAULT_METRICS = ("nDCG@10", "RR@10", "R@100")

RESAMPLES = 2000
"""Bootstrap resamples behind an interval."""

PERMUTATIONS = 10_000
"""Random sign changes behind a p-value, where there are too many queries to try all."""

SIGNIFICANT = 0.05
"""A difference is called significant when its p-value is below this."""

_ALL_SIGNS = 13  # queries, at most, for which all 2 ** n sign changes are tried
_CELLS = 1 << 22  # numbers drawn at a time: bounds memory to some 100 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Report:
    """How good one run is.

    Attributes:
        queries: Queries that the means are over: those with a relevant document.
        unanswered: Those of them without a ranking; each counts as 0.
        metrics: The mean of each metric over the queries, by its name.
        per_query: The values behind the means.
    """

    queries: int
    unanswered: int
    metrics: Mapping[str, Estimate]
    per_query: PerQuery


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether one run is better than another by one metric.

    Attributes:
        queries: Queries that both runs have a value for.
        difference: Mean of the first minus mean of the second over these queries, in [-1, 1].
        p: How likely a difference as great is, either way, if the two runs are equally good; in (0, 1].
        significant: Whether ``p`` is below 0.05.
    """

    queries: int
    difference: Estimate
    p: float
    significant: bool


@dataclass(frozen=True, slots=True)
class Correlations:
    """How well similarities agree with what people said, each in [-1, 1]."""

    spearman: Estimate
    pearson: Estimate


def metrics_at(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the default metrics and of all three metrics at each cutoff, which is at least 1."""
    defaults = (name.split("@") for name in DEFAULT_METRICS)
    return tuple(f"{metric}@{cutoff}" for metric, default in defaults for cutoff in sorted({int(default), *cutoffs}))


def depth(metrics: Sequence[str]) -> int:
    """Return how long rankings must be for these metrics: their greatest cutoff."""
    return max(int(name.split("@")[1]) for name in metrics)


def evaluate(
    run: Mapping[str, Sequence[str]], qrels: Qrels, *, metrics: Sequence[str] = DEFAULT_METRICS, seed: int = 0
) -> Report:
    """Judge rankings.

    A judged query without a ranking counts as 0 by every metric. One without a relevant document says nothing and is
    left out; so is a ranking whose query is not judged. A document that is not judged is not relevant.

    Args:
        run: For each query id the ids of the documents found, best first, each once.
        qrels: The judgements; a grade of 1 or more is relevant.
        metrics: Names, as ``nDCG@10``, ``RR@10`` or ``R@100``, with any cutoff of at least 1.
        seed: Of the bootstrap.

    Raises:
        UsageError: No query has a relevant document, a metric is not known, or a ranking holds a document twice.
    """
    judged = judgements.relevant(qrels)
    if not judged:
        raise UsageError("expected a query with a document of grade 1 or more in the judgements, found none")
    answered = {query: run[query] for query in judged if run.get(query)}
    for query, ranking in answered.items():
        if len(set(ranking)) < len(ranking):
            raise UsageError(f"expected each document once in a ranking, got one again for query {query}")
    per_query = _values(answered, judged, metrics)
    table = np.array([[values[name] for name in metrics] for values in per_query.values()])
    means = _bootstrap(table, lambda rows: rows.mean(axis=1), seed)
    return Report(len(judged), len(judged) - len(answered), dict(zip(metrics, means, strict=True)), per_query)


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


def compare(a: PerQuery, b: PerQuery, *, seed: int = 0) -> dict[str, Comparison]:
    """Compare two runs over the queries that both have, by each metric that both have.

    The p-value is that of the two-sided paired randomisation test on the difference of the means (Smucker, Allan &
    Carterette 2007, CIKM): under the null hypothesis either run could have made either value, so the sign of each
    query's difference is as good the other way round. All sign changes are tried for up to 13 queries, else 10,000
    random ones. Tests of several metrics are not corrected for their number.

    Args:
        a: The run in question; a positive difference says that it is better.
        b: The run to compare it with, under the same judgements.
        seed: Of bootstrap and permutations.

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
        name: Comparison(len(queries), mean, p, p < SIGNIFICANT)
        for name, mean, p in zip(shared, means, p_values, strict=True)
    }


def correlate(similarities: Values, scores: Values, *, seed: int = 0) -> Correlations:
    """Return Spearman's rank correlation, ties at their mean rank, and Pearson's correlation, with intervals.

    Args:
        similarities: ``(n,)``, what the encoder says.
        scores: ``(n,)``, what people say, in any unit.
        seed: Of the bootstrap, which resamples pairs.

    Raises:
        MissingExtra: The extra ``eval`` is not installed.
        UsageError: All similarities or all scores are the same, so that there is no correlation.
    """
    extras.require("eval", "rank correlation")
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    for name, values in (("similarities", similarities), ("scores", scores)):
        if len(np.unique(values)) < 2:
            raise UsageError(f"expected {name} that differ, got {len(values)} that are all the same")
    columns = np.stack([similarities, scores], axis=1).astype(np.float64)
    spearman = _bootstrap(columns, lambda rows: _pearson(rankdata(rows, axis=1)), seed)
    pearson = _bootstrap(columns, _pearson, seed)
    return Correlations(spearman[0], pearson[0])


def _pearson(rows: Values) -> Values:
    """Return ``(s, 1)``, the correlation of the two columns of each of ``s`` samples ``(s, n, 2)``; NaN if constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    products = (centred[:, :, 0] * centred[:, :, 1]).sum(axis=1)
    norms = np.sqrt((centred**2).sum(axis=1).prod(axis=1))
    defined = (rows != rows[:, :1]).any(axis=1).all(axis=1)
    correlations = np.full(len(rows), np.nan)
    np.divide(products, norms, out=correlations, where=defined)
    return correlations[:, None]


def _bootstrap(sample: Values, statistic: Callable[[Values], Values], seed: int) -> list[Estimate]:
    """Estimate statistics of a sample whose rows are drawn anew.

    Args:
        sample: ``(n, m)``, one row for each query or pair.
        statistic: Maps ``(s, n, m)``, ``s`` samples, to ``(s, q)``; a resample where it is NaN is left out.
        seed: Of the draws.
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
    """Return the share of sign changes of ``(n,)`` differences whose sum is as far from 0 as the one observed."""
    n = len(differences)
    least = abs(differences.sum()) - 1e-12 * abs(differences).sum()  # rounding must not break a tie
    if n <= _ALL_SIGNS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        return float((abs(signs @ differences) >= least).mean())
    generator = np.random.default_rng(seed)
    together = max(1, _CELLS // n)
    extreme = 1  # the observed signs are one of the permutations, so that p is never 0
    for start in range(0, PERMUTATIONS, together):
        size = (min(together, PERMUTATIONS - start), n)
        flipped = generator.integers(0, 2, size=size, dtype=np.int8) * 2.0 - 1.0
        extreme += int((abs(flipped @ differences) >= least).sum())
    return extreme / (PERMUTATIONS + 1)
