from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from docsim.search.scoring import CENTROID_WEIGHT, centroid, rank


def unit(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 16))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_the_score_blends_the_best_pair_and_the_centroids() -> None:
    query = rows([1, 0])
    document = rows([1, 0], [0, 1])  # its centroid lies at 45 degrees
    expected = (1 - CENTROID_WEIGHT) * 1 + CENTROID_WEIGHT * np.sqrt(0.5)
    assert rank(query, [document])[0].score == pytest.approx(expected, abs=1e-6)


def test_the_similarities_are_those_of_each_passage_with_its_best_match_in_the_query() -> None:
    query = rows([1, 0], [0, 1])
    found = rank(query, [rows([0.6, 0.8], [-1, 0])])[0]
    np.testing.assert_allclose(found.similarities, [0.8, 0.0], atol=1e-6)


def test_equal_documents_rank_in_the_order_given() -> None:
    same = rows([0.6, 0.8])
    assert [one.position for one in rank(rows([1, 0]), [same, same, same])] == [0, 1, 2]


def test_a_document_scores_one_against_itself() -> None:
    document = unit(7, 0)
    assert rank(document, [unit(3, 1), document])[0].position == 1
    assert rank(document, [document])[0].score == pytest.approx(1, abs=1e-5)


def test_no_documents_give_no_ranking() -> None:
    assert rank(rows([1, 0]), []) == []


def test_passages_that_cancel_out_score_zero_for_their_centroid() -> None:
    found = rank(rows([1, 0]), [rows([1, 0], [-1, 0])])[0]
    assert found.score == pytest.approx(1 - CENTROID_WEIGHT, abs=1e-6)


def test_the_centroid_is_a_unit_vector_even_where_passages_cancel_out() -> None:
    np.testing.assert_allclose(centroid(rows([1, 0], [0, 1])), [np.sqrt(0.5), np.sqrt(0.5)], atol=1e-6)
    np.testing.assert_array_equal(centroid(rows([1, 0], [-1, 0])), [1, 0])


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=12), passages=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_a_ranking_equals_scoring_each_document_by_itself(counts: list[int], passages: int, seed: int) -> None:
    query = unit(passages, seed)
    documents = [unit(count, seed + 100 + i) for i, count in enumerate(counts)]
    ranked = rank(query, documents)
    assert sorted(one.position for one in ranked) == list(range(len(counts)))
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    for one in ranked:
        document = documents[one.position]
        best = float((query @ document.T).max(axis=1).mean())
        shared = float(centroid(query) @ centroid(document))
        assert one.score == pytest.approx((1 - CENTROID_WEIGHT) * best + CENTROID_WEIGHT * shared, abs=1e-5)
        assert -1.00001 <= one.score <= 1.00001
