from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from docsim.search.fusion import MOST, MOST_UNKNOWN, Circumstances, Fusion

SCORES = arrays(np.float32, 6, elements=st.floats(-1, 1, width=32))


def test_scores_are_weighted_sums_of_deviations_from_the_mean() -> None:
    dense, lexical = np.array([0.2, 0.4], np.float32), np.array([0, 10], np.float32)
    fused = Fusion.fitted(dense, lexical, share=0.3).scores(dense, lexical)
    np.testing.assert_allclose(fused, [-1, 1], atol=1e-5)
    only_dense = Fusion.fitted(dense, lexical, share=0.3).scores(dense, np.array([5, 5], np.float32))
    np.testing.assert_allclose(only_dense, [-0.7, 0.7], atol=1e-5)


def test_a_side_on_which_all_are_equal_says_nothing() -> None:
    dense, none = np.array([0.1, 0.3, 0.2], np.float32), np.zeros(3, np.float32)
    fused = Fusion.fitted(dense, none, share=0.5).scores(dense, none)
    assert np.argsort(fused).tolist() == [0, 2, 1]


def test_no_candidates_fit_without_a_warning() -> None:
    nothing = np.zeros(0, np.float32)
    assert Fusion.fitted(nothing, nothing, share=0.5).scores(nothing, nothing).shape == (0,)


@given(dense=SCORES, lexical=SCORES, scale=st.sampled_from([0.5, 4, 1000]), shift=st.integers(-5, 5))
def test_the_order_does_not_depend_on_the_unit_of_the_lexical_scores(
    dense: np.ndarray, lexical: np.ndarray, scale: float, shift: int
) -> None:
    lexical = np.round(lexical, 2)
    moved = (lexical * scale + shift).astype(np.float32)
    first = Fusion.fitted(dense, lexical, share=0.3).scores(dense, lexical)
    second = Fusion.fitted(dense, moved, share=0.3).scores(dense, moved)
    assert second == pytest.approx(first, abs=1e-2)


@pytest.mark.parametrize(
    ("known", "share"),
    [
        (Circumstances(), 0.5),
        (Circumstances(sentence=True), 0.4),
        (Circumstances(sentence=True, contextual=True), 0.3),
        (Circumstances(long=True, sentence=True, contextual=True), 0.5),
        (Circumstances(long=True, adapted=True), 0.3),
        (Circumstances(unknown=MOST_UNKNOWN), MOST),
        (Circumstances(unknown=MOST_UNKNOWN / 2), (0.5 + MOST) / 2),
        (Circumstances(sentence=True, unknown=1.0, unasked=0.2), MOST),
        (Circumstances(unasked=1.0), MOST),
    ],
)
def test_words_count_as_much_as_embeddings_are_known_to_tell_less(known: Circumstances, share: float) -> None:
    assert known.share == pytest.approx(share)
