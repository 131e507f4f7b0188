from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from docsim.encoding import alignment
from docsim.encoding.alignment import Alignment, agreement, fitted, learned, procrustes
from docsim.errors import StoreError

Floats = NDArray[np.float32]


def unit_rows(count: int, dim: int, *, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def rotation(dim: int, *, seed: int = 1) -> Floats:
    return np.asarray(np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0], dtype=np.float32)


def alignment_of(rotation: Floats, count: int = 3) -> Alignment:
    source, target = rotation.shape
    return Alignment("old", "new", rotation, unit_rows(count, source), unit_rows(count, target, seed=2), 0.9, 0.5)


def saved(directory: Path, **parts: NDArray[np.generic]) -> Path:
    """Write an adapter some of whose arrays are others."""
    path = directory / "adapter.npz"
    alignment_of(rotation(4)).save(path)
    with np.load(path) as found:
        np.savez(path, **(dict(found) | parts))
    return path


def bent(rows: Floats, *, seed: int = 3) -> Floats:
    """Return what no rotation gives: rows whose directions were changed by something not linear."""
    random = np.random.default_rng(seed)
    dim = rows.shape[1]
    changed = rows + 1.5 * np.tanh(3 * rows @ random.normal(size=(dim, dim))) @ random.normal(size=(dim, dim)) / dim
    return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), dtype=np.float32)


def test_a_space_that_was_only_turned_is_turned_too() -> None:
    old = unit_rows(300, 16)
    found = learned(old, old @ rotation(16), source="old", target="new")
    np.testing.assert_allclose(
        found.apply(unit_rows(9, 16, seed=5)), unit_rows(9, 16, seed=5) @ rotation(16), atol=1e-3
    )
    assert (found.source, found.target, found.dims, found.agreement) == ("old", "new", (16, 16), 1)


def test_a_space_is_brought_into_one_of_more_dimensions() -> None:
    old = unit_rows(300, 8)
    new = np.concatenate([old, np.zeros((300, 4), np.float32)], axis=1) @ rotation(12)
    found = learned(old, new, source="old", target="new")
    assert found.dims == (8, 12)
    np.testing.assert_allclose(found.apply(old), new, atol=1e-3)


def test_a_space_is_brought_into_one_of_fewer_dimensions() -> None:
    new = unit_rows(300, 8)
    old = np.concatenate([new, np.zeros((300, 4), np.float32)], axis=1) @ rotation(12)
    np.testing.assert_allclose(learned(old, new, source="old", target="new").apply(old), new, atol=1e-3)


def test_what_few_passages_say_nothing_about_stays_as_it_is() -> None:
    rows = unit_rows(2, 16)
    np.testing.assert_allclose(procrustes(rows, rows), np.eye(16), atol=1e-4)


def test_the_correction_brings_unseen_passages_nearer_than_the_rotation() -> None:
    old, unseen = unit_rows(1500, 8), unit_rows(200, 8, seed=9)
    turned, landmarks, weights = fitted(old, bent(old))
    mapped = Alignment("old", "new", turned, landmarks, weights).apply(unseen)
    by_rotation = (unseen @ turned * bent(unseen)).sum(1).mean()
    assert (mapped * bent(unseen)).sum(1).mean() > by_rotation + 0.5 * (1 - by_rotation)


def test_its_agreement_is_what_passages_find_that_it_was_not_learned_from() -> None:
    old = unit_rows(500, 16)
    unlike = unit_rows(500, 16, seed=4)  # nothing of which follows from the old embeddings
    found = learned(old, unlike, source="old", target="new")
    assert found.agreement == pytest.approx(10 / 99, abs=0.06)  # 10 of 99 by chance
    assert found.before == pytest.approx(10 / 99, abs=0.06)


def test_many_embeddings_are_mapped_as_few_are() -> None:
    one = alignment_of(rotation(4))
    rows = unit_rows(5000, 4)
    np.testing.assert_allclose(one.apply(rows)[4090:4100], one.apply(rows[4090:4100]), atol=1e-6)


def test_agreement_counts_the_neighbours_that_are_found() -> None:
    rows = unit_rows(41, 4)
    assert agreement(rows, rows, rows) == 1
    assert agreement(rows, rows, unit_rows(41, 4, seed=7)) == pytest.approx(10 / 40, abs=0.1)  # by chance
    assert agreement(rows[:4], rows[:4], rows[:4]) == 0  # too few to tell


def test_agreement_counts_the_neighbours_that_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "K", 1)
    truth = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [-0.9, 0.1]], np.float32)
    other = truth[[0, 2, 4, 1, 3, 5]]  # where none's nearest is the one that it was
    assert agreement(other, other, truth) == 0


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(0, 4), st.just(3)), elements=st.floats(-1, 1, width=16)),
    arrays(np.float32, (3, 2), elements=st.floats(-4, 4, width=16)),
    arrays(np.float32, (5, 2), elements=st.floats(-4, 4, width=16)),
)
def test_whatever_is_mapped_has_norm_one(rows: Floats, matrix: Floats, weights: Floats) -> None:
    mapped = Alignment("old", "new", matrix, unit_rows(5, 3), weights).apply(rows)
    assert mapped.shape == (len(rows), 2)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-3)


def test_an_adapter_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = alignment_of(rotation(4))
    digest = written.save(tmp_path / "adapter.npz")
    read = Alignment.load(tmp_path / "adapter.npz", digest=digest)
    np.testing.assert_array_equal(read.apply(unit_rows(7, 4)), written.apply(unit_rows(7, 4)))
    assert (read.source, read.target, read.agreement, read.before) == ("old", "new", 0.9, 0.5)
    assert [one.name for one in tmp_path.iterdir()] == ["adapter.npz"]


def test_a_file_with_one_bit_flipped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter.npz"
    digest = alignment_of(rotation(4)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="expected an alignment of format 2"):
        Alignment.load(path, digest=digest)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "adapter.npz").write_bytes(content)
    with pytest.raises(StoreError, match="expected an alignment of format 2"):
        Alignment.load(tmp_path / "adapter.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected an alignment"):
        Alignment.load(tmp_path / "adapter.npz")


@pytest.mark.parametrize("name", ["rotation", "landmarks", "weights"])
@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 4), np.nan, np.float32),
        np.zeros((4, 4), np.float64),
        np.zeros(4, np.float32),
    ],
)
def test_an_array_that_maps_nothing_is_refused(tmp_path: Path, name: str, array: NDArray[np.generic]) -> None:
    with pytest.raises(StoreError, match="instead of a finite float32 matrix"):
        Alignment.load(saved(tmp_path, **{name: array}))


@pytest.mark.parametrize("name", ["rotation", "landmarks", "weights"])
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4, 5), (5, 3)])
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, name: str, shape: tuple[int, int]) -> None:
    with pytest.raises(StoreError, match="matrices of shapes"):
        Alignment.load(saved(tmp_path, **{name: np.zeros(shape, np.float32)}))


@pytest.mark.parametrize("version", [1, 3])
def test_a_file_of_another_format_is_refused_by_its_number(tmp_path: Path, version: int) -> None:
    with pytest.raises(StoreError, match=f"format {version}"):
        Alignment.load(saved(tmp_path, format=np.array(version)))


def test_a_pickled_object_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="allow_pickle=False"):
        Alignment.load(saved(tmp_path, rotation=np.array([{"a": 1}], dtype=object)))


def test_passages_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 and 4"):
        learned(unit_rows(3, 4), unit_rows(4, 4), source="old", target="new")


def test_embeddings_that_are_not_finite_are_refused() -> None:
    rows = unit_rows(4, 4)
    with pytest.raises(ValueError, match="finite"):
        learned(np.where(rows > 0, np.nan, rows).astype(np.float32), rows, source="old", target="new")
