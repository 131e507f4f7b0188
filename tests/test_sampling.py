"""Samples of documents: from all over an index, the same ones whenever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from docsim.engine.local.generations import View
from docsim.engine.local.sampling import sample
from docsim.engine.local.store import LocalGeneration
from docsim.engine.local.vectors import VectorIndex

MOST = 160


def view(count: int) -> View:
    """A view of documents of one passage each, numbered from 1 as their passages are."""
    generation = LocalGeneration(1, "live", "f" * 64, "tiny", 2, "", "", None, 0, 0)
    numbers = np.arange(1, count + 1)
    rows = np.tile(np.array([[1, 0]], np.float32), (count, 1))
    vectors = VectorIndex(2).with_added(numbers, rows) if count else VectorIndex(2)
    return View(1, generation, vectors, count, 0, np.stack([numbers, numbers], axis=1))


@pytest.mark.parametrize("n", [0, 1, 2, 2 * MOST, 2 * MOST + 1, 5000])
def test_documents_are_shuffled_whole_and_always_alike(n: int) -> None:
    whole, some = sample(view(n), max(n, 1)), sample(view(n), 2 * MOST)
    assert len(some) == min(n, 2 * MOST)
    np.testing.assert_array_equal(np.sort(whole), np.arange(1, n + 1))
    np.testing.assert_array_equal(some, whole[: 2 * MOST])
    np.testing.assert_array_equal(whole, sample(view(n), max(n, 1)))
    if n == 5000:  # from all over, in any order
        assert 1500 < some.mean() < 3500
        assert not (np.diff(some) > 0).all()


@pytest.mark.parametrize("left", [1, MOST, 2000])
def test_documents_that_were_deleted_since_are_not_drawn(left: int) -> None:
    before = view(5000)
    order = sample(before, 5000)
    gone = before.vectors.with_deleted([(int(number), 1) for number in order[:-left]])
    after = View(2, before.generation, gone, 5000, 1, before.documents)
    np.testing.assert_array_equal(sample(after, MOST), order[-left:][:MOST])
