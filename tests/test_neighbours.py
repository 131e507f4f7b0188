"""Nearest passages of all passages, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from docsim.analysis.neighbours import nearest


def unit_rows(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_all_are_compared_with_all_while_they_are_few() -> None:
    rows = unit_rows(300)
    found = nearest(rows, 5)
    products = rows @ rows.T
    assert found.places.tolist() == np.argsort(-products, axis=1)[:, :5].tolist()
    assert found.similarities == pytest.approx(-np.sort(-products, axis=1)[:, :5], abs=1e-5)


def test_in_cells_near_duplicates_find_each_other() -> None:
    rows = unit_rows(5000)
    noise = np.random.default_rng(1).normal(scale=0.02, size=rows.shape).astype(np.float32)
    twins = rows + noise
    both = np.concatenate([rows, twins / np.linalg.norm(twins, axis=1, keepdims=True)])
    found = nearest(both, 3, exact=1000)
    place = np.arange(len(rows))
    assert (found.places[:5000] == (place + 5000)[:, None]).any(axis=1).mean() > 0.995


def test_fewer_rows_than_asked_for_all_come() -> None:
    assert nearest(unit_rows(2), 16).places.shape == (2, 2)
    assert nearest(unit_rows(0), 16).places.shape == (0, 0)


def test_progress_adds_up_to_the_rows() -> None:
    done: list[int] = []
    nearest(unit_rows(5000), 2, exact=1000, advance=done.append)
    assert sum(done) == 5000
