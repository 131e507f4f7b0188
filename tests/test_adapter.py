from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from docsim import adapter
from docsim.adapter import Adapter, agreement, learnt, procrustes, refined
from docsim.errors import StoreError

Floats = NDArray[np.float32]


def unit_rows(count: int, dim: int, *, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def rotation(dim: int, *, seed: int = 1) -> Floats:
    return np.asarray(np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0], dtype=np.float32)


def saved(directory: Path, matrix: Floats) -> Path:
    Adapter("new", "old", matrix, 0.9, 0.5).save(directory / "adapter.npz")
    return directory / "adapter.npz"


def test_a_space_that_was_only_turned_is_turned_back() -> None:
    old = unit_rows(300, 16)
    found = learnt(old @ rotation(16), old, source="new", target="old")
    np.testing.assert_allclose(found.apply(old @ rotation(16)), old, atol=1e-3)
    assert found.agreement == 1


def test_a_space_of_more_dimensions_is_brought_back_to_fewer() -> None:
    old = unit_rows(300, 8)
    new = np.concatenate([old, np.zeros((300, 4), np.float32)], axis=1) @ rotation(12)
    found = learnt(new, old, source="new", target="old")
    assert found.matrix.shape == (12, 8)
    np.testing.assert_allclose(found.apply(new), old, atol=1e-3)


def test_a_space_of_fewer_dimensions_is_brought_into_more() -> None:
    new = unit_rows(300, 8)
    old = np.concatenate([new, np.zeros((300, 4), np.float32)], axis=1) @ rotation(12)
    np.testing.assert_allclose(learnt(new, old, source="new", target="old").apply(new), old, atol=1e-3)


def test_what_few_passages_say_nothing_about_stays_as_it_is() -> None:
    rows = unit_rows(2, 16)
    np.testing.assert_allclose(procrustes(rows, rows), np.eye(16), atol=1e-4)


def test_refining_finds_more_of_the_new_neighbours_than_the_rotation() -> None:
    old = unit_rows(400, 16)
    stretched = (old * np.linspace(0.2, 2, 16, dtype=np.float32)) @ rotation(16)
    new = np.asarray(stretched / np.linalg.norm(stretched, axis=1, keepdims=True), dtype=np.float32)
    every = np.arange(400)
    turned = procrustes(new, old)
    before = agreement(new @ turned, old, new, every)
    *_, last = refined(new, old, turned)
    assert agreement(new @ last, old, new, every) > before + 0.02


def test_the_slope_is_that_of_the_divergence() -> None:
    new, old = unit_rows(12, 5).astype(np.float64), unit_rows(12, 4, seed=1).astype(np.float64)
    matrix = np.random.default_rng(2).normal(size=(5, 4))

    def divergence(at: NDArray[np.float64]) -> float:
        mapped = new @ at
        mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
        wanted, found = (softmax(similarities) for similarities in (new @ new.T, mapped @ old.T))
        off = ~np.eye(12, dtype=bool)
        return float((wanted[off] * np.log(wanted[off] / found[off])).sum() / 12)

    def softmax(similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        raised = np.exp(similarities / adapter.TEMPERATURE) * (1 - np.eye(12))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    step = 1e-5 * np.random.default_rng(3).normal(size=matrix.shape)
    rise = divergence(matrix + step) - divergence(matrix - step)
    slope = adapter._slope(new.astype(np.float32), old.astype(np.float32), matrix.astype(np.float32))
    assert rise == pytest.approx(2 * float((slope * step).sum()), rel=1e-3)


def test_agreement_counts_the_neighbours_that_are_found() -> None:
    line = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    swapped = line[[0, 2, 1, 3]]
    which = np.array([0])
    assert agreement(line, line, line, which) == 1
    assert agreement(line[:3], swapped[:3], line[:3], which) == 1  # both others are among the nearest two


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(0, 4), st.just(3)), elements=st.floats(-1, 1, width=16)),
    arrays(np.float32, (3, 2), elements=st.floats(-4, 4, width=16)),
)
def test_whatever_is_mapped_has_norm_one(rows: Floats, matrix: Floats) -> None:
    mapped = Adapter("new", "old", matrix, 1, 1).apply(rows)
    assert mapped.shape == (len(rows), 2)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-3)


def test_an_adapter_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Adapter("new", "old", rotation(4), 0.9, 0.5)
    digest = written.save(tmp_path / "adapter.npz")
    read = Adapter.load(tmp_path / "adapter.npz", digest=digest)
    np.testing.assert_array_equal(read.matrix, written.matrix)
    assert (read.source, read.target, read.agreement, read.before) == ("new", "old", 0.9, 0.5)
    assert [one.name for one in tmp_path.iterdir()] == ["adapter.npz"]


def test_a_file_with_one_bit_flipped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.npz"
    digest = Adapter("new", "old", rotation(4), 0.9, 0.5).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="reindex --adapter"):
        Adapter.load(path, digest=digest)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "adapter.npz").write_bytes(content)
    with pytest.raises(StoreError, match="expected an adapter of format 1"):
        Adapter.load(tmp_path / "adapter.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected an adapter"):
        Adapter.load(tmp_path / "adapter.npz")


@pytest.mark.parametrize(
    "matrix",
    [
        np.full((2, 2), np.nan, np.float32),
        np.zeros((2, 2), np.float64),
        np.zeros(4, np.float32),
        np.zeros((0, 2), np.float32),
    ],
)
def test_a_matrix_that_maps_nothing_is_refused(tmp_path: Path, matrix: Floats) -> None:
    with pytest.raises(StoreError, match="numbers of shape"):
        Adapter.load(saved(tmp_path, matrix))


def test_a_file_of_a_later_format_is_refused_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "FORMAT", 2)
    path = saved(tmp_path, rotation(4))
    monkeypatch.setattr(adapter, "FORMAT", 1)
    with pytest.raises(StoreError, match="format 2"):
        Adapter.load(path)


def test_a_pickled_object_is_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path, rotation(4))
    with np.load(path) as found:
        parts = dict(found)
    np.savez(path, **(parts | {"matrix": np.array([{"a": 1}], dtype=object)}))
    with pytest.raises(StoreError, match="allow_pickle=False"):
        Adapter.load(path)


def test_passages_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 and 4"):
        learnt(unit_rows(3, 4), unit_rows(4, 4), source="new", target="old")


def test_embeddings_that_are_not_finite_are_refused() -> None:
    rows = unit_rows(4, 4)
    with pytest.raises(ValueError, match="finite"):
        learnt(np.where(rows > 0, np.nan, rows).astype(np.float32), rows, source="new", target="old")
