"""Layout of embeddings in two dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from docsim.analysis.layout import lay_out, plane


def groups(count: int, each: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Unit rows around ``count`` directions, one group after another."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(count, 24)), each, axis=0)
    rows = centres + rng.normal(scale=0.25, size=centres.shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def share_of_neighbours_of_the_same_group(places: NDArray[np.float32], each: int) -> float:
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.mean(distances.argmin(axis=1) // each == np.arange(len(places)) // each))


def test_what_is_alike_lies_together() -> None:
    assert share_of_neighbours_of_the_same_group(lay_out(groups(5, 20)), 20) > 0.97


def test_rows_beyond_the_sample_lie_where_their_like_does() -> None:
    places = lay_out(groups(4, 60), sample=80)
    assert share_of_neighbours_of_the_same_group(places, 60) > 0.97


def test_the_same_rows_and_seed_give_the_same_places() -> None:
    rows = groups(3, 30)
    assert np.array_equal(lay_out(rows, sample=50), lay_out(rows, sample=50))
    assert not np.array_equal(lay_out(rows, sample=50), lay_out(rows, sample=50, seed=1))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 40])
def test_any_number_of_rows_lies_within_the_unit_square(count: int) -> None:
    places = lay_out(groups(1, count))
    assert places.shape == (count, 2)
    assert bool(np.all((places >= 0) & (places <= 1)))


def test_rows_that_are_all_equal_lie_in_the_middle() -> None:
    assert lay_out(np.repeat(groups(1, 1), 20, axis=0)).tolist() == [[0.5, 0.5]] * 20


def test_the_plane_keeps_distances_of_what_is_flat() -> None:
    flat = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 2)))[0].astype(np.float32)
    places = plane(flat @ directions.T)
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    assert np.linalg.norm(places[:, None] - places[None], axis=2) == pytest.approx(expected, abs=1e-5)
