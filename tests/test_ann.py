from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from docsim.engine.local import ann, ann_files
from docsim.engine.local.ann import Approximate, SearchChoice
from docsim.engine.local.ann_files import ApproximateFacts
from docsim.engine.local.ann_tuning import doubts, tuned
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import UsageError

DIM, COUNT, TARGET = 16, 6_000, 0.95
FACTORIES = ["IVF128,PQ8x4fs", "PQ8x4fs", "HNSW16,SQ8", "IVF64,SQ8", "HNSW8,Flat"]


def unit(rows: NDArray[np.float64]) -> NDArray[np.float16]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float16)


def clustered(count: int, seed: int) -> NDArray[np.float16]:
    """Return vectors around 60 centres, as texts lie around topics."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(60, DIM))
    return unit(centres[random.integers(0, 60, count)] + 0.5 * random.normal(size=(count, DIM)))


ROWS = clustered(COUNT, 0)
QUERIES = clustered(100, 1).astype(np.float32)


@pytest.fixture(scope="module", params=FACTORIES)
def index(request: pytest.FixtureRequest) -> VectorIndex:
    """A tuned index of passages 1, 3, 5 ..."""
    exact = VectorIndex(DIM).with_added(2 * np.arange(COUNT) + 1, ROWS)
    found, recall = tuned(exact, ann.build(request.param, ROWS), QUERIES, target=TARGET)
    assert recall >= TARGET
    return exact.with_approximate(found)


def brute_force(alive: NDArray[np.int64], rows: NDArray[np.float16], k: int) -> NDArray[np.float32]:
    """Return the k-th best similarity of each query."""
    similarities = QUERIES @ rows.astype(np.float32).T
    return -np.sort(-similarities, axis=1)[:, [min(k, len(alive)) - 1]]


def recall(index: VectorIndex, alive: NDArray[np.int64], rows: NDArray[np.float16], k: int) -> float:
    """Return the share of found passages as near as the k nearest alive; similarities and numbers have to be right."""
    found = index.search(QUERIES, k)
    assert found.ids.shape == (len(QUERIES), min(k, len(alive)))
    places = np.searchsorted(alive, found.ids)
    assert (alive[places] == found.ids).all()
    exact = np.einsum("qd,qkd->qk", QUERIES, rows[places].astype(np.float32))
    np.testing.assert_allclose(found.similarities, exact, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in found.ids.tolist())
    return float((found.similarities >= brute_force(alive, rows, k) - 1e-5).mean())


def test_the_recall_asked_for_is_reached_on_queries_it_was_tuned_with(index: VectorIndex) -> None:
    assert recall(index, 2 * np.arange(COUNT) + 1, ROWS, 10) >= TARGET


@pytest.mark.parametrize("k", [10, 100])
def test_a_query_among_many_gets_what_it_gets_alone(index: VectorIndex, k: int) -> None:
    for some in (index, index.with_deleted([(101, 400), (5_001, 300)])):
        many = some.search(QUERIES, k)
        for i in range(len(QUERIES)):
            alone = some.search(QUERIES[i : i + 1], k)
            np.testing.assert_array_equal(alone.ids[0], many.ids[i])
            np.testing.assert_array_equal(alone.similarities[0], many.similarities[i])


def test_where_codes_propose_every_nearest_passage_the_answer_is_that_of_exact_search() -> None:
    exact = VectorIndex(DIM).with_added(2 * np.arange(COUNT) + 1, ROWS)
    proposing = exact.with_approximate(Approximate(ann.build("PQ8x4fs", ROWS), COUNT // 4))
    for one, other in ((exact, proposing), (exact.with_deleted([(1, 999)]), proposing.with_deleted([(1, 999)]))):
        expected, found = one.search(QUERIES, 10), other.search(QUERIES, 10)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)


def test_of_more_neighbours_than_it_is_tuned_for_most_are_found(index: VectorIndex) -> None:
    for k in (100, 300):
        assert recall(index, 2 * np.arange(COUNT) + 1, ROWS, k) >= 0.8


def test_an_exact_search_leaves_nothing_out(index: VectorIndex) -> None:
    assert recall(index.exact(), 2 * np.arange(COUNT) + 1, ROWS, 300) == 1


@given(
    deleted=st.lists(st.tuples(st.integers(0, 2 * COUNT), st.integers(1, COUNT)), max_size=3),
    added=st.integers(0, 300),
    allowed=st.lists(st.tuples(st.integers(0, 2 * COUNT), st.integers(0, 2 * COUNT)), min_size=1, max_size=2)
    | st.none(),
    k=st.sampled_from([1, 10, 100]),
)
@pytest.mark.properties
@settings(max_examples=examples(5, 15), deadline=None)
def test_deletions_additions_and_filters_keep_recall_and_never_shorten_an_answer(
    index: VectorIndex,
    deleted: list[tuple[int, int]],
    added: int,
    allowed: list[tuple[int, int]] | None,
    k: int,
) -> None:
    extra = clustered(added, 7)
    ids = np.concatenate([2 * np.arange(COUNT) + 1, 2 * COUNT + 1 + np.arange(added)])
    rows = np.concatenate([ROWS, extra])
    changed = index.with_added(ids[COUNT:], extra).with_deleted(deleted)
    keep = np.ones(len(ids), bool)
    for first, count in deleted:
        keep &= (ids < first) | (ids >= first + count)
    if allowed is not None:
        inside = np.zeros(len(ids), bool)
        ranges = np.array([(first, first + count) for first, count in sorted(allowed)])
        ranges[:-1, 1] = np.minimum(ranges[:-1, 1], ranges[1:, 0])  # they do not overlap
        for start, stop in ranges:
            inside |= (ids >= start) & (ids < stop)
        changed, keep = changed.restricted(ranges), keep & inside
    if keep.any():
        assert recall(changed, ids[keep], rows[keep], k) >= (TARGET - 0.03 if k <= 10 else 0.8)
    assert len(changed) == keep.sum()


def test_a_filter_that_lets_through_what_is_far_from_the_query_still_finds_k(index: VectorIndex) -> None:
    similarities = QUERIES[:1] @ ROWS.astype(np.float32).T
    far = np.sort(np.argsort(similarities[0])[: COUNT // 2])
    numbers = 2 * far + 1
    found = index.restricted(np.stack([numbers, numbers + 1], axis=1)).search(QUERIES[:1], 50)
    assert found.ids.shape == (1, 50)
    assert np.isin(found.ids, numbers).all()


@given(seed=st.integers(0, 1000), share=st.floats(0.001, 0.099), k=st.sampled_from([1, 10, 100]))
@pytest.mark.properties
@settings(max_examples=examples(6, 20), deadline=None)
def test_of_what_a_selective_filter_leaves_nothing_near_is_missed(
    index: VectorIndex, seed: int, share: float, k: int
) -> None:
    chosen = np.sort(np.random.default_rng(seed).choice(COUNT, max(1, int(share * COUNT)), replace=False))
    numbers = 2 * chosen + 1
    restricted = index.restricted(np.stack([numbers, numbers + 1], axis=1))
    assert recall(restricted, numbers, ROWS[chosen], k) == 1


def test_tuning_takes_no_more_breadth_than_needed() -> None:
    exact = VectorIndex(DIM).with_added(np.arange(COUNT), ROWS)
    made = ann.build("IVF128,SQ8", ROWS)
    breadths = [tuned(exact, made, QUERIES, target=target)[0].breadth for target in (0.5, 0.9, 0.97)]
    assert breadths == sorted(breadths)
    assert breadths[-1] <= Approximate(made, 1).broadest


def test_a_recall_that_is_out_of_reach_gives_the_broadest_search() -> None:
    exact = VectorIndex(DIM).with_added(np.arange(COUNT), ROWS)
    made = ann.build("IVF32,PQ2x4fs", ROWS)
    found, reached = tuned(exact, made, QUERIES, target=1.0)
    assert found.breadth == found.broadest
    assert reached < 1


# What is on disk


def saved(folder: Path) -> tuple[ApproximateFacts, VectorIndex]:
    facts = ApproximateFacts("a snapshot", "ivf", "IVF32,SQ8", 0.95, 0.97, COUNT, 4)
    ann_files.save(folder, ann.build(facts.factory, ROWS), facts)
    return facts, VectorIndex(DIM).with_added(np.arange(COUNT), ROWS)


def test_saving_and_loading_gives_the_same_answers(tmp_path: Path) -> None:
    facts, exact = saved(tmp_path)
    loaded = ann_files.load(tmp_path, "a snapshot")
    assert loaded is not None
    assert loaded.breadth == facts.breadth
    again = Approximate(ann.build(facts.factory, ROWS), facts.breadth)
    one, other = (exact.with_approximate(each).search(QUERIES, 10) for each in (loaded, again))
    np.testing.assert_array_equal(one.ids, other.ids)
    written = ann_files.written(tmp_path)
    assert written is not None
    assert replace(written, digest="", lists="", sampled="") == facts
    assert ann_files.damage(tmp_path) == ""


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "facts", "other snapshot", "format"])
def test_what_cannot_be_trusted_is_not_loaded(tmp_path: Path, damage: str) -> None:
    saved(tmp_path)
    file, facts = tmp_path / "approximate.faiss", tmp_path / "approximate.json"
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(content[:-1])
    elif damage == "flipped":
        content[500] ^= 1
        file.write_bytes(content)
    elif damage == "missing":
        file.unlink()
    elif damage == "facts":
        facts.write_text(facts.read_text()[:50])
    elif damage == "format":
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"format": 99}))
    assert ann_files.load(tmp_path, "another" if damage == "other snapshot" else "a snapshot") is None
    assert bool(ann_files.damage(tmp_path)) == (damage != "other snapshot")


@pytest.mark.parametrize("factory", ["IVF32,SQ8", "IVF128,PQ8x4fs", "IVF16,Flat", "IVF16,PQ4x4"])
def test_inverted_lists_are_mapped_and_searched_as_they_were(tmp_path: Path, factory: str) -> None:
    made = ann.build(factory, ROWS)
    before = made.search(QUERIES, 20, params=faiss.SearchParametersIVF(nprobe=5))
    ann_files.save(tmp_path, made, ApproximateFacts("s", "ivf", factory, 0.95, 0.97, COUNT, 4))
    after = made.search(QUERIES, 20, params=faiss.SearchParametersIVF(nprobe=5))
    loaded = ann_files.load(tmp_path, "s")
    assert loaded is not None
    mapped = loaded.index.search(QUERIES, 20, params=faiss.SearchParametersIVF(nprobe=5))
    for found in (after, mapped):
        np.testing.assert_array_equal(found[1], before[1])
        np.testing.assert_array_equal(found[0], before[0])
    assert isinstance(faiss.downcast_InvertedLists(loaded.index.invlists), faiss.OnDiskInvertedLists)


def test_saving_again_leaves_only_the_files_of_the_last_and_who_has_it_open_goes_on(tmp_path: Path) -> None:
    saved(tmp_path)
    loaded = ann_files.load(tmp_path, "a snapshot")
    assert loaded is not None
    before = loaded.proposed(QUERIES, 10)
    (tmp_path / "approximate.tmp").write_bytes(b"left by a kill")
    ann_files.save(
        tmp_path, ann.build("IVF16,SQ8", ROWS), ApproximateFacts("b", "ivf", "IVF16,SQ8", 0.9, 0.9, COUNT, 2)
    )
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".faiss", ".json", ".lists"]
    np.testing.assert_array_equal(loaded.proposed(QUERIES, 10), before)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_lists_that_are_not_all_there_are_not_used(tmp_path: Path, damage: str) -> None:
    saved(tmp_path)
    (file,) = tmp_path.glob("*.lists")
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    assert ann_files.load(tmp_path, "a snapshot") is None
    assert "repair the index" in ann_files.damage(tmp_path)


@given(seed=st.integers(0, 1000))
@settings(max_examples=examples(5, 20), deadline=None)
@pytest.mark.properties
def test_altered_lists_give_right_similarities_and_no_unknown_passage(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("altered")
    _, exact = saved(folder)
    (file,) = folder.glob("*.lists")
    content, random = np.fromfile(file, np.uint8), np.random.default_rng(seed)
    places = random.integers(0, len(content), len(content) // 20)
    content[places] = random.integers(0, 256, len(places))
    content.tofile(file)
    assert "repair the index" in ann_files.damage(folder)
    found = exact.with_approximate(ann_files.load(folder, "a snapshot")).search(QUERIES, 10)
    similarities = np.einsum("qd,qkd->qk", QUERIES, ROWS[found.ids].astype(np.float32))
    np.testing.assert_allclose(found.similarities, similarities, atol=1e-5)


def test_an_index_of_another_number_of_rows_is_not_used(tmp_path: Path) -> None:
    saved(tmp_path)
    fewer = VectorIndex(DIM).with_added(np.arange(100), ROWS[:100])
    assert fewer.with_approximate(ann_files.load(tmp_path, "a snapshot")) is fewer


# Choosing


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("auto", 99_999, ""),
        ("auto", 100_000, "PQ128x4fs"),
        ("PQ32x4fs", 50_000, "PQ32x4fs"),
        ("auto", 1_000_000, "IVF2048,PQ128x4fs"),
        ("flat", 10_000_000, ""),
        ("ivf", 500, ""),
        ("ivf", 1_000, "IVF25,PQ128x4fs"),
        ("hnsw", 50_000, "HNSW16,SQ8"),
        ("IVF4096,SQfp16", 50_000, "IVF4096,SQfp16"),
    ],
)
def test_the_factory_string_depends_on_the_number_of_passages(kind: str, count: int, expected: str) -> None:
    assert ann.factory(kind, count=count, dim=256) == expected


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "",
            "x",
            "Flat",
            "PQ64",
            "PQ0x4fs",
            "IVF",
            "IVF-1,Flat",
            "OPQ16,IVF64,PQ16",
            "HNSW32,Nope",
            "IVF99999999999,Flat",
        ),
        *("I" * 999, "IVF0,Flat", "IVF10,PQ8x0", "IVF8,PQ64x4fs_0", "HNSW0,Flat", "HNSW1", "IVF16_HNSW1,Flat"),
    ],
)
def test_another_index_type_is_refused_by_name(kind: str) -> None:
    with pytest.raises(UsageError, match=r"expected an index type of auto, flat, ivf, hnsw, or a FAISS factory string"):
        SearchChoice(kind)


@pytest.mark.parametrize("wanted", [0, -1, 1.5, float("nan")])
def test_a_recall_that_is_none_is_refused(wanted: float) -> None:
    with pytest.raises(UsageError, match="expected a recall above 0"):
        SearchChoice("auto", wanted)


def test_too_few_vectors_to_train_on_are_refused() -> None:
    with pytest.raises(UsageError, match="expected enough passages to train IVF4096,SQ8, got 1,500"):
        ann.build("IVF4096,SQ8", ROWS[:1500])


def test_doubts_are_about_a_recall_that_was_missed_and_about_growth() -> None:
    facts = ApproximateFacts("", "ivf", "IVF32,SQ8", target=0.95, recall=0.96, passages=1000, breadth=1)
    assert doubts(facts, 1300) == []
    assert doubts(None, 10**9) == []
    assert "tuned for 1,000 passages, and there are 1,301 now" in doubts(facts, 1301)[0]
    assert "1,000 passages are too few for an index of type PQ" in doubts(replace(facts, kind="PQ", factory=""), 9)[0]
    assert doubts(replace(facts, kind="auto", factory=""), 10**9) == []
    assert "has a recall of 0.900, and 0.950 was asked for" in doubts(replace(facts, recall=0.9), 1000)[0]
