from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import xxhash
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from docsim.engine.local import checksums
from docsim.engine.local.vectors import MAX_SEGMENTS, VectorIndex
from docsim.errors import StoreError

DIM = 8


@dataclass
class Model:
    """What a ``VectorIndex`` should hold, as a dict that numpy searches."""

    rows: dict[int, NDArray[np.float16]] = field(default_factory=dict)

    def nearest(self, query: NDArray[np.float32], k: int) -> tuple[list[float], set[int]]:
        """Return the k best similarities, and every passage that is at least as near as the last of them."""
        similarities = {number: float(row.astype(np.float32) @ query) for number, row in self.rows.items()}
        best = sorted(similarities.values(), reverse=True)[:k]
        return best, {number for number, one in similarities.items() if best and one >= best[-1] - 1e-5}


def unit(count: int, seed: int, dim: int = DIM) -> NDArray[np.float16]:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float16)


def filled(count: int, dim: int = DIM) -> VectorIndex:
    return VectorIndex(dim).with_added(np.arange(1, count + 1), unit(count, 0, dim))


def assert_agrees(index: VectorIndex, model: Model, k: int) -> None:
    queries = unit(3, 99).astype(np.float32)
    found = index.search(queries, k)
    assert found.ids.shape == (3, min(k, len(model.rows)))
    for query, similarities, ids in zip(queries, found.similarities, found.ids, strict=True):
        best, possible = model.nearest(query, k)
        np.testing.assert_allclose(similarities, best, atol=1e-5)
        assert len(set(ids.tolist())) == len(ids)
        assert set(ids.tolist()) <= possible


@given(
    batches=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 60), st.integers(0, 9)), max_size=14),
    k=st.integers(1, 40),
)
@settings(max_examples=examples(20, 60), deadline=None)
@pytest.mark.properties
def test_search_equals_brute_force_after_any_additions_and_deletions(
    batches: list[tuple[int, int, int]], k: int
) -> None:
    index, model, number = VectorIndex(DIM), Model(), 0
    for seed, (added, first, count) in enumerate(batches):
        rows = unit(added, seed)
        ids = np.arange(number + 1, number + 1 + added)
        index = index.with_added(ids, rows).with_deleted([(first, count)] if count else [])
        model.rows.update(zip(ids.tolist(), rows, strict=True))
        model.rows = {n: row for n, row in model.rows.items() if not first <= n < first + count}
        number += added + seed % 3  # numbers have gaps, as those of removed documents have
        assert len(index) == len(model.rows)
    assert_agrees(index, model, k)


def test_search_equals_brute_force_on_thousands_of_passages() -> None:
    rows = unit(5000, 1, 64)
    index = VectorIndex(64).with_added(np.arange(1, 5001), rows).with_deleted([(100, 900), (4000, 17)])
    alive = np.setdiff1d(np.arange(1, 5001), np.concatenate([np.arange(100, 1000), np.arange(4000, 4017)]))
    queries = unit(5, 2, 64).astype(np.float32)
    expected = queries @ rows[alive - 1].astype(np.float32).T
    found = index.search(queries, 50)
    np.testing.assert_allclose(found.similarities, -np.sort(-expected, axis=1)[:, :50], atol=1e-5)
    assert (found.ids[:, 0] == alive[expected.argmax(axis=1)]).all()


def test_an_empty_index_finds_nothing() -> None:
    found = VectorIndex(DIM).search(unit(2, 0).astype(np.float32), 5)
    assert found.ids.shape == (2, 0)
    assert found.similarities.shape == (2, 0)


def test_an_index_whose_every_passage_was_deleted_finds_nothing() -> None:
    index = filled(5).with_deleted([(1, 5)])
    assert len(index) == 0
    assert index.search(unit(1, 0).astype(np.float32), 5).ids.shape == (1, 0)


def test_asking_for_more_than_there_are_returns_all() -> None:
    found = filled(4).with_deleted([(2, 1)]).search(unit(1, 7).astype(np.float32), 100)
    assert sorted(found.ids[0].tolist()) == [1, 3, 4]


def test_results_are_sorted_and_ties_among_them_ascend_by_number() -> None:
    same = np.repeat(unit(1, 3), 6, axis=0)
    index = VectorIndex(DIM).with_added(np.arange(1, 4), same[:3]).with_added(np.arange(4, 7), same[3:])
    assert index.search(same[:1].astype(np.float32), 6).ids[0].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_passage_finds_itself_with_similarity_one() -> None:
    rows = unit(50, 4, 64)
    found = VectorIndex(64).with_added(np.arange(1, 51), rows).search(rows.astype(np.float32), 1)
    assert found.ids[:, 0].tolist() == list(range(1, 51))
    np.testing.assert_allclose(found.similarities[:, 0], 1, atol=2e-3)


def test_adding_leaves_the_index_it_was_added_to_unchanged() -> None:
    before = filled(3)
    after = before.with_added(np.array([4]), unit(1, 9)).with_deleted([(1, 1)])
    assert sorted(before.search(unit(1, 5).astype(np.float32), 9).ids[0].tolist()) == [1, 2, 3]
    assert sorted(after.search(unit(1, 5).astype(np.float32), 9).ids[0].tolist()) == [2, 3, 4]


def test_many_small_additions_are_kept_in_few_segments() -> None:
    index = VectorIndex(DIM)
    for number in range(1, 101):
        index = index.with_added(np.array([number]), unit(1, number))
    assert len(index.segments) <= MAX_SEGMENTS
    assert len(index) == 100


def test_numbers_that_are_not_held_can_be_deleted() -> None:
    assert len(filled(3).with_deleted([(100, 5), (0, 1)])) == 3


def test_saving_and_loading_gives_the_same_answers(tmp_path: Path) -> None:
    index = filled(20).with_added(np.arange(30, 40), unit(10, 8)).with_deleted([(5, 4), (33, 1)])
    loaded = VectorIndex.load(tmp_path / "a.faiss", digest=index.save(tmp_path / "a.faiss"), dim=DIM)
    query = unit(2, 3).astype(np.float32)
    np.testing.assert_array_equal(loaded.search(query, 50).ids, index.search(query, 50).ids)
    np.testing.assert_array_equal(loaded.search(query, 50).similarities, index.search(query, 50).similarities)


def test_saving_loses_no_bit_of_an_embedding(tmp_path: Path) -> None:
    rows = unit(20, 6)
    index = VectorIndex(DIM).with_added(np.arange(1, 21), rows)
    ids, kept = VectorIndex.load(tmp_path / "a", digest=index.save(tmp_path / "a"), dim=DIM).reconstruct()
    assert ids.tolist() == list(range(1, 21))
    np.testing.assert_array_equal(kept, rows.astype(np.float32))


def test_an_empty_index_can_be_saved_and_loaded(tmp_path: Path) -> None:
    loaded = VectorIndex.load(tmp_path / "a", digest=filled(2).with_deleted([(1, 2)]).save(tmp_path / "a"), dim=DIM)
    assert len(loaded) == 0
    assert len(loaded.with_added(np.array([7]), unit(1, 0))) == 1


def test_equal_content_has_an_equal_digest_and_unequal_another(tmp_path: Path) -> None:
    assert filled(4).save(tmp_path / "a") == filled(4).save(tmp_path / "b")
    assert filled(4).save(tmp_path / "a") != filled(5).save(tmp_path / "b")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing", "longer"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.faiss"
    digest = filled(50).save(path)
    content = path.read_bytes()
    flipped = content[:300] + bytes([content[300] ^ 1]) + content[301:]
    changed = {"truncated": content[:-1], "flipped": flipped, "empty": b"", "longer": content + b"\0"}
    path.unlink()
    if damage != "missing":
        path.write_bytes(changed[damage])
    with pytest.raises(StoreError, match="repair the index"):
        VectorIndex.load(path, digest=digest, dim=DIM)


def test_a_mapped_file_is_told_by_256_blocks_of_16_kib_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """The checksum is kept in indexes, so neither number may ever change."""
    content = np.random.default_rng(0).bytes(9_000_001)
    places = np.linspace(0, len(content) - 16_384, 256, dtype=np.int64).tolist()
    expected = xxhash.xxh3_128(b"9000001" + b"".join(content[place : place + 16_384] for place in places))
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        assert checksums.quick(file, whole=9_000_001) == xxhash.xxh3_128_hexdigest(content)  # a small one is read whole
        assert checksums.quick(file, whole=9_000_000) == expected.hexdigest()


def test_a_file_of_another_kind_with_the_right_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no FAISS index")
    with pytest.raises(StoreError, match="could not read it"):
        VectorIndex.load(tmp_path / "a", digest=xxhash.xxh3_128_hexdigest(b"no FAISS index"), dim=DIM)


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.faiss").mkdir()
    with pytest.raises(OSError, match="directory"):
        filled(3).save(tmp_path / "a.faiss")
    assert [path.name for path in tmp_path.iterdir()] == ["a.faiss"]
