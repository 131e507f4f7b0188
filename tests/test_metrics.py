"""The metrics computed without trec_eval have the values that trec_eval gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim import extras
from docsim.errors import MissingExtra
from docsim.evaluation import metrics, significance
from docsim.evaluation.builtin_metrics import ndcg, recall, reciprocal_rank

IDS = st.integers(0, 30).map(str)
NAMES = ["nDCG@1", "nDCG@5", "nDCG@10", "RR@1", "RR@10", "R@3", "R@100"]


@settings(max_examples=100, deadline=None)
@given(
    run=st.dictionaries(IDS, st.lists(IDS, unique=True, max_size=25), max_size=4),
    qrels=st.dictionaries(
        IDS, st.dictionaries(IDS, st.integers(-1, 3), min_size=1, max_size=12), min_size=1, max_size=4
    ),
)
def test_any_rankings_are_worth_what_trec_eval_says(
    run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]
) -> None:
    qrels = {query: {**judged, "relevant": 1} for query, judged in qrels.items()}
    with pytest.MonkeyPatch.context() as patch:
        theirs = metrics.evaluate(run, qrels, metrics=NAMES).per_query
        patch.setattr(extras, "available", lambda extra: False)
        ours = metrics.evaluate(run, qrels, metrics=NAMES).per_query
    assert ours.keys() == theirs.keys()
    for query in theirs:
        assert ours[query] == pytest.approx(theirs[query], abs=1e-12)


def test_known_values() -> None:
    grades = {"a": 2, "b": 1, "c": 0, "d": -1}
    assert ndcg(["b", "a"], grades, 10) == pytest.approx((1 + 2 / 1.584962500721156) / (2 + 1 / 1.584962500721156))
    assert ndcg(["c"], {"c": 0}, 10) == 0
    assert [reciprocal_rank(["c", "d", "b"], grades, cutoff) for cutoff in (2, 3)] == [0, 1 / 3]
    assert recall(["b", "c"], grades, 2) == 0.5


def test_rank_correlation_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(extras, "available", lambda extra: False)
    with pytest.raises(MissingExtra, match=r'rank correlation needs the extra "eval": pip install "docsim\[eval\]"'):
        significance.correlate(np.array([0.1, 0.2]), np.array([1.0, 2.0]))
