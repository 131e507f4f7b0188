from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vocabulary import WORDS

from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.index import Index
from docsim.models import MODES, Document, Mode, Ranking, SearchResult
from docsim.search.diversity import diverse
from docsim.search.retrieval import Candidate

TEAMS: list[object] = ["sre", "legal", 1, "1", True, None, ["a"]]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    """An index of so many documents that a search by its first tier does not find all."""
    generator = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("selection") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(
            Document(f"d{i:03}", " ".join(generator.choice(WORDS, size=12)), metadata=metadata(i)) for i in range(300)
        )
        yield index


def metadata(number: int) -> dict[str, object]:
    return {} if number % 11 == 0 else {"team": TEAMS[number % len(TEAMS)], 'odd "name"': number % 3}


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


def unit(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def candidates(scores: list[float]) -> list[Candidate]:
    return [Candidate(i, score, score, np.array([0.5], np.float32)) for i, score in enumerate(scores)]


# Pages


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", [{}, {"diversity": 0.5}, {"group_by": "team"}, {"min_similarity": 0.3}])
def test_pages_put_together_are_the_whole_answer(index: Index, mode: Mode, how: dict[str, float]) -> None:
    whole = index.search("boil water for soup", 300, mode=mode, ranking=Ranking(**how))  # type: ignore[arg-type]
    pages: list[str] = []
    while True:
        ranking = Ranking(offset=len(pages), **how)  # type: ignore[arg-type]
        page = index.search("boil water for soup", 37, mode=mode, ranking=ranking)
        assert [hit.rank for hit in page.hits] == list(range(len(pages) + 1, len(pages) + len(page.hits) + 1))
        pages += ids(page)
        if len(page.hits) < 37:
            break
    assert pages == ids(whole)
    assert len(set(pages)) == len(pages)


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_every_document_comes_back_when_so_many_are_asked_for(index: Index, mode: Mode) -> None:
    assert len(index.search("boil water", 1000, mode=mode).hits) == 300
    assert len(index.similar("d001", 1000, mode=mode).hits) == 299


def test_an_offset_beyond_the_end_gives_no_hits(index: Index) -> None:
    assert index.search("soup", ranking=Ranking(offset=300)).hits == ()


@pytest.mark.parametrize("mode", MODES)
def test_scores_never_rise(index: Index, mode: Mode) -> None:
    scores = [hit.score for hit in index.search("rotate the signing keys", 300, mode=mode).hits]
    assert scores == sorted(scores, reverse=True)


# Similarity


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("least", [-1, 0.2, 0.5, 0.6, 1])
def test_a_least_similarity_leaves_out_just_what_is_below(index: Index, mode: Mode, least: float) -> None:
    all_hits = index.search("boil water", 300, mode=mode).hits
    found = index.search("boil water", 300, mode=mode, ranking=Ranking(min_similarity=least))
    assert ids(found) == [hit.id for hit in all_hits if hit.similarity >= least]


# Groups


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("field", ["team", 'odd "name"', "nowhere", "$.team"])
def test_only_the_best_of_each_group_comes_back(index: Index, mode: Mode, field: str) -> None:
    expected, seen = [], set()
    for hit in index.search("boil water", 300, mode=mode).hits:
        value = hit.metadata.get(field)
        key = (type(value), str(value))
        if value is None or key not in seen:
            expected.append(hit.id)
        seen.add(key)
    found = index.search("boil water", 300, mode=mode, ranking=Ranking(group_by=field))
    assert ids(found) == expected


# Diversity


def brute_force(scores: list[float], directions: NDArray[np.float32], x: float) -> list[int]:
    """MMR as it is written down."""
    spread = max(scores) - min(scores)
    relevance = [(s - min(scores)) / spread if spread else 1.0 for s in scores]
    chosen: list[int] = []
    while len(chosen) < len(scores):
        left = [i for i in range(len(scores)) if i not in chosen]
        value = {
            i: relevance[i]
            if not chosen
            else (1 - x) * relevance[i] - x * max(float(directions[i] @ directions[j]) for j in chosen)
            for i in left
        }
        chosen.append(max(left, key=lambda i: value[i]))
    return chosen


@given(count=st.integers(1, 12), diversity=st.floats(0.05, 1), seed=st.integers(0, 1000))
@settings(max_examples=examples(20, 60), deadline=None)
@pytest.mark.properties
def test_diversity_is_maximal_marginal_relevance(count: int, diversity: float, seed: int) -> None:
    scores = sorted(np.random.default_rng(seed).normal(size=count).tolist(), reverse=True)
    directions = unit(count, seed + 1)
    found = [one.number for one in diverse(candidates(scores), directions, diversity, [])]
    assert found == brute_force(scores, directions, diversity)


def test_a_copy_of_the_best_comes_after_what_is_new() -> None:
    directions = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = [0.9, 0.8, 0.5]
    assert [one.number for one in diverse(candidates(scores), directions, 0.1, [])] == [0, 1, 2]
    assert [one.number for one in diverse(candidates(scores), directions, 0.7, [])] == [0, 2, 1]


def test_what_came_before_counts_in_the_next_tier() -> None:
    before = [np.array([1, 0], np.float32)]
    directions = np.array([[1, 0], [0, 1]], np.float32)
    assert [one.number for one in diverse(candidates([0.9, 0.8]), directions, 0.7, before)] == [1, 0]
    assert len(before) == 3


def test_all_of_nothing_is_nothing() -> None:
    assert list(islice(diverse([], np.zeros((0, 8), np.float32), 0.5, []), 3)) == []


@pytest.mark.parametrize("mode", MODES)
def test_diversity_begins_with_the_best_and_keeps_all(index: Index, mode: Mode) -> None:
    plain = ids(index.search("boil water", 300, mode=mode))
    spread = ids(index.search("boil water", 300, mode=mode, ranking=Ranking(diversity=0.8)))
    assert (spread[0], sorted(spread)) == (plain[0], sorted(plain))
    assert spread[:10] != plain[:10]


# Wrong values


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": -1},
        {"diversity": -0.1},
        {"diversity": 1.1},
        {"diversity": float("nan")},
        {"min_similarity": 1.5},
        {"min_similarity": float("nan")},
        {"group_by": ""},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Ranking(**wrong)  # type: ignore[arg-type]


def test_an_unknown_mode_is_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="expected a mode of dense, lexical, hybrid"):
        index.search("soup", mode="fuzzy")  # type: ignore[arg-type]
