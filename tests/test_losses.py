"""Losses against worked examples, and the gradients they give."""

from __future__ import annotations

import math
import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from docsim.training.loop.losses import (
    cosent,
    cosine_mse,
    in_batch_softmax,
    matryoshka,
    triplet,
    unit_rows,
    with_teacher,
)

pytestmark = pytest.mark.training

Floats = NDArray[np.float32]


def rows(*angles: float) -> Floats:
    """Unit rows at these angles in degrees: cosines are those of differences."""
    radians = np.radians(np.array(angles, dtype=np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def value(loss: Any) -> float:
    return float(keras.ops.convert_to_numpy(loss))


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_cosine_mse_is_the_mean_squared_difference_between_cosine_and_score() -> None:
    found = cosine_mse(rows(0, 0), rows(60, 90), scores=np.array([1.0, 0.25], dtype=np.float32))
    assert value(found) == pytest.approx(((0.5 - 1) ** 2 + (0 - 0.25) ** 2) / 2, abs=1e-6)


def test_cosine_mse_is_zero_when_every_cosine_is_the_score() -> None:
    assert value(cosine_mse(rows(0, 10), rows(60, 10), scores=np.array([0.5, 1.0], np.float32))) == pytest.approx(0)


def test_cosent_adds_a_term_for_every_pair_of_pairs_that_should_be_in_order() -> None:
    cosines = [cosine(60), cosine(90), cosine(0)]
    scores = [0.8, 0.2, 0.8]  # the second should be below the first and the third; those two are equal
    expected = math.log(1 + math.exp(5 * (cosines[1] - cosines[0])) + math.exp(5 * (cosines[1] - cosines[2])))
    found = cosent(rows(0, 0, 0), rows(60, 90, 0), scores=np.array(scores, np.float32), scale=5)
    assert value(found) == pytest.approx(expected, abs=1e-6)


def test_cosent_is_zero_when_all_scores_are_equal() -> None:
    assert value(cosent(rows(0, 0), rows(10, 90), scores=np.array([1, 1], np.float32))) == pytest.approx(0, abs=1e-6)


def test_cosent_reads_only_the_order_of_the_scores() -> None:
    low, high = (np.array(scores, np.float32) for scores in ([0, 0.1, 0.2], [1, 50, 900]))
    assert value(cosent(rows(0, 9, 30), rows(5, 50, 1), scores=low)) == pytest.approx(
        value(cosent(rows(0, 9, 30), rows(5, 50, 1), scores=high))
    )


def softmax_by_hand(logits: list[list[float]]) -> float:
    return sum(-math.log(math.exp(row[i]) / sum(map(math.exp, row))) for i, row in enumerate(logits)) / len(logits)


def test_in_batch_softmax_is_the_mean_cross_entropy_in_both_directions() -> None:
    logits = [[cosine(30) / 0.5, cosine(90) / 0.5], [cosine(10) / 0.5, cosine(70) / 0.5]]
    transposed = [list(column) for column in zip(*logits, strict=True)]
    expected = (softmax_by_hand(logits) + softmax_by_hand(transposed)) / 2
    found = in_batch_softmax(rows(0, 20), rows(30, 90), temperature=0.5)
    assert value(found) == pytest.approx(expected, abs=1e-6)


def test_hard_negatives_are_more_columns_for_the_anchors_alone() -> None:
    logits = [[cosine(30), cosine(90)], [cosine(10), cosine(70)]]
    transposed = [list(column) for column in zip(*logits, strict=True)]
    longer = [[*logits[0], cosine(45)], [*logits[1], cosine(25)]]
    found = in_batch_softmax(rows(0, 20), rows(30, 90), rows(45), temperature=1)
    assert value(found) == pytest.approx((softmax_by_hand(longer) + softmax_by_hand(transposed)) / 2, abs=1e-6)


def test_an_excluded_pair_counts_as_no_negative_and_the_diagonal_cannot_be_excluded() -> None:
    found = in_batch_softmax(rows(0, 20), rows(30, 90), excluded=np.ones((2, 2), dtype=bool))
    assert value(found) == pytest.approx(0, abs=1e-6)


def test_a_single_pair_has_nothing_to_choose_from() -> None:
    assert value(in_batch_softmax(rows(0), rows(90))) == pytest.approx(0)


def test_triplet_is_what_is_missing_to_the_margin() -> None:
    found = triplet(rows(0, 0), rows(60, 0), rows(90, 90), margin=0.6)
    assert value(found) == pytest.approx(((0 - 0.5 + 0.6) + 0) / 2, abs=1e-6)


def test_matryoshka_is_the_mean_over_leading_components_scaled_to_length_one() -> None:
    first = np.array([[0.6, 0.0, 0.8]], np.float32)
    second = np.array([[0.6, 0.8, 0.0]], np.float32)
    scores = np.array([1.0], np.float32)
    expected = ((0.6 - 1) ** 2 + (0.36 - 1) ** 2) / 2  # of two components the cosine is 0.6, of three 0.36
    assert value(matryoshka(cosine_mse, [2, 3])(first, second, scores=scores)) == pytest.approx(expected, abs=1e-6)


def test_matryoshka_of_all_components_is_the_loss_itself() -> None:
    wrapped = matryoshka(in_batch_softmax, [2])
    assert value(wrapped(rows(0, 20), rows(30, 90), temperature=0.1)) == pytest.approx(
        value(in_batch_softmax(rows(0, 20), rows(30, 90), temperature=0.1)), abs=1e-6
    )


@pytest.mark.parametrize("dims", [[], [0], [-1, 2]])
def test_matryoshka_refuses_numbers_of_components_that_cannot_be(dims: list[int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        matryoshka(triplet, dims)


def test_a_row_of_zeros_stays_one() -> None:
    found = keras.ops.convert_to_numpy(unit_rows(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)))
    np.testing.assert_allclose(found, np.array([[0, 0], [0.6, 0.8]]), atol=1e-6)


@pytest.mark.parametrize("loss", [cosine_mse, cosent, in_batch_softmax, triplet])
def test_every_gradient_is_finite_even_where_two_embeddings_are_the_same(loss: Any) -> None:
    import tensorflow as tf

    labels = {"scores": np.array([0.1, 0.9], np.float32)} if loss in (cosine_mse, cosent) else {}
    others = (rows(5, 20),) if loss is triplet else ()
    table = tf.Variable(rows(0, 20))
    with tf.GradientTape() as tape:
        found = loss(unit_rows(table), rows(0, 20), *others, **labels)
    gradient = tape.gradient(found, table)
    assert np.isfinite(gradient.numpy()).all()


def test_guidance_is_the_divergence_of_similarities_from_those_of_the_teacher() -> None:
    own, wanted = rows(0, 60, 90), rows(0, 0, 90)
    loss = with_teacher(lambda: 1.0, weight=2.0, temperature=0.5)
    expected = []
    for this, others in enumerate([(1, 2), (0, 2), (0, 1)]):
        shares = []
        for texts in (wanted, own):
            weights = [math.exp(float(texts[this] @ texts[other]) / 0.5) for other in others]
            shares.append([weight / sum(weights) for weight in weights])
        expected.append(sum(t * math.log(t / s) for t, s in zip(*shares, strict=True)))
    assert value(loss(own, taught=wanted)) == pytest.approx(1 + 2 * sum(expected) / 3, abs=1e-5)


def test_guidance_adds_nothing_where_texts_are_alike_as_the_teacher_finds_them() -> None:
    turned = with_teacher(in_batch_softmax, weight=3.0)(
        rows(0, 90), rows(10, 80), rows(5, 50, 90), taught=rows(15, 60, 100)
    )
    assert value(turned) == pytest.approx(value(in_batch_softmax(rows(0, 90), rows(10, 80))), abs=1e-5)
