"""Metrics for rankings: evaluates the results of any search engine against relevance judgements.

A run is the result of a search engine for a set of queries: for each query a ranking, the ids of the documents found,
best first. Metrics are computed by ``ir_measures``, which uses the code of trec_eval. All are in [0, 1], higher is
better:

    nDCG@k    the sum of grade / log2(rank + 1) over the first k documents, divided by that of an ideal ranking
              (Järvelin & Kekäläinen 2002, ACM TOIS 20(4), with trec_eval's discount); negative grades count as 0
    RR@k      1 / rank of the first relevant document, or 0 if none is in the first k (Voorhees 1999, TREC-8)
    R@k       the share of all relevant documents that are in the first k

A report has the mean over queries, with an interval; see ``docsim.evaluation.significance``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from docsim import extras
from docsim.errors import UsageError
from docsim.evaluation import judgements
from docsim.evaluation.builtin_metrics import METRICS
from docsim.evaluation.judgements import Qrels
from docsim.evaluation.significance import Estimate, PerQuery, bootstrap

__all__ = ["DEFAULT_METRICS", "RunReport", "depth", "evaluate", "metrics_at"]

DEFAULT_METRICS = ("nDCG@10", "RR@10", "R@100")


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
    means = bootstrap(table, lambda rows: rows.mean(axis=1), seed)
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
