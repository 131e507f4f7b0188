from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.search.smoothing import NEIGHBOURS, SHARE, smoothed


def directions(n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_a_document_among_good_answers_overtakes_one_by_itself() -> None:
    good = directions(1).repeat(NEIGHBOURS + 1, axis=0)
    alone, bad = -good[:1], -good[:1].repeat(NEIGHBOURS, axis=0)
    scores = np.array([3, 3, 3, 3.1, 1.9, 2, *[-1] * NEIGHBOURS], np.float32)
    drawn = smoothed(scores, np.concatenate([good, alone, bad]))
    assert scores[4] < scores[5]
    assert drawn[4] > drawn[5]


def test_scores_are_drawn_towards_the_mean_of_the_nearest_others() -> None:
    rows = np.eye(6, dtype=np.float32)  # nobody is like anybody, so any four others count alike
    scores = np.array([1, 0, 0, 0, 0, 0], np.float32)
    drawn = smoothed(scores, rows)
    assert drawn[0] == 1
    assert set(np.round(drawn[1:], 6)) <= {0, np.round(np.float32(SHARE / NEIGHBOURS), 6)}


@given(n=st.integers(2, 30), seed=st.integers(0, 100), copies=st.integers(1, 8))
def test_the_best_stays_the_best(n: int, seed: int, copies: int) -> None:
    rows = directions(n, seed).repeat(copies, axis=0)
    scores = np.random.default_rng(seed).standard_normal(n * copies).astype(np.float32)
    drawn = smoothed(scores, rows)
    assert drawn.argmax() == scores.argmax()
    assert drawn.max() == scores.max()


@pytest.mark.parametrize("n", [0, 1])
def test_without_others_nothing_changes(n: int) -> None:
    scores = np.arange(n, dtype=np.float32)
    np.testing.assert_array_equal(smoothed(scores, directions(n)), scores)


@given(n=st.integers(2, 30), seed=st.integers(0, 100), copies=st.integers(1, 8))
def test_scores_stay_within_those_given_also_among_copies(n: int, seed: int, copies: int) -> None:
    rows = directions(n, seed).repeat(copies, axis=0)
    scores = np.random.default_rng(seed).standard_normal(n * copies).astype(np.float32)
    drawn = smoothed(scores, rows)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert scores.min() - 1e-5 <= drawn.min()
    assert drawn.max() <= scores.max() + 1e-5


@given(n=st.integers(2, NEIGHBOURS + 1), seed=st.integers(0, 100))
def test_few_candidates_that_are_all_alike_keep_their_order(n: int, seed: int) -> None:
    scores = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    drawn = smoothed(scores, directions(1, seed).repeat(n, axis=0))
    np.testing.assert_array_equal(np.argsort(drawn), np.argsort(scores))
