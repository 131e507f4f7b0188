"""Searching with a filter: what comes back is what brute force over the documents that meet it finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.filters.where import Where
from docsim.index import Index
from docsim.ingest import passages
from docsim.models import Document
from docsim.search import scoring
from docsim.search.asking import ask_indexed, ask_texts, requested
from docsim.search.searcher import Request

WORDS = ["train", "ticket", "keys", "rotate", "boil", "lentils", "soup", "server", "deploy", "database", "backup"]
COUNT = 400
HALF = 5e-3


def made(number: int) -> Document:
    chosen = random.Random(number)
    text = " ".join(chosen.choices(WORDS, k=12))
    metadata = {"team": chosen.choice(["sre", "web", "ops"]), "n": number, "tags": chosen.sample("abcdef", 2)}
    return Document(f"{chosen.choice(['a', 'ab', 'a/b'])}/{number}", text, metadata=metadata)


DOCUMENTS = [made(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("filtered") / "index", encoder=encoder) as index:
        index.sync(DOCUMENTS)
        yield index


@pytest.fixture(scope="module")
def embeddings(encoder: Encoder) -> list[NDArray[np.float16]]:
    texts = [passages.inputs(one, passages.split(one.text)) for one in DOCUMENTS]
    return [encoder.encode(each).astype(np.float16) for each in texts]


@dataclass(frozen=True)
class Case:
    """A question, and how many passages are in the first tier."""

    team: str | None
    below: int | None
    prefix: str
    text: str
    k: int
    first: int

    def meets(self, document: Document) -> bool:
        return (
            (self.team is None or document.metadata["team"] == self.team)
            and (self.below is None or document.metadata["n"] < self.below)
            and (not self.prefix or document.id.startswith(self.prefix.rstrip("/") + "/") or document.id == self.prefix)
        )

    @property
    def where(self) -> str | None:
        conditions = ([f"team = '{self.team}'"] if self.team else []) + (
            [f"n < {self.below}"] if self.below is not None else []
        )
        return " and ".join(conditions) or None


def dense(k: int, where: Where, within: str = "", *, first: int) -> Request:
    """Return a request that looks at ``first`` passages first."""
    return replace(requested(k, "dense", where, within, None), depth=first)


cases = st.builds(
    Case,
    team=st.none() | st.sampled_from(["sre", "web", "ops", "none"]),
    below=st.integers(0, COUNT) | st.none(),
    prefix=st.sampled_from(["", "a", "a/", "ab", "a/b", "a/b/7", "b"]),
    text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
    k=st.sampled_from([1, 3, 10, 1000]),
    first=st.sampled_from([1, 100, 2000]),
)


@given(case=cases)
@settings(max_examples=examples(25, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.properties
def test_a_filtered_search_equals_brute_force_over_what_meets_the_filter(
    index: Index,
    encoder: Encoder,
    embeddings: list[NDArray[np.float16]],
    case: Case,
) -> None:
    meeting = [place for place, one in enumerate(DOCUMENTS) if case.meets(one)]
    vector = encoder.encode(passages.inputs(Document("query", case.text), passages.split(case.text)))
    expected = scoring.rank(vector, [embeddings[place] for place in meeting], case.k)
    request = dense(case.k, case.where, case.prefix, first=case.first)
    hits = ask_texts(index.engine, [case.text], request, started=0.0)[0].hits
    assert {hit.id for hit in hits} <= {DOCUMENTS[place].id for place in meeting}
    assert len({hit.id for hit in hits}) == len(hits) == min(case.k, len(meeting))
    np.testing.assert_allclose([hit.score for hit in hits], [one.score for one in expected], atol=HALF)


@pytest.mark.parametrize("first", [1, 2000])
@pytest.mark.parametrize("where", ["team = 'sre'", {"team": "sre"}])
def test_a_similar_document_meets_the_filter_and_is_not_the_document_itself(
    index: Index, where: Where, first: int
) -> None:
    wanted = {one.id for one in DOCUMENTS if one.metadata["team"] == "sre"}
    for document in DOCUMENTS[:5]:
        found = {hit.id for hit in ask_indexed(index.engine, document.id, dense(COUNT, where, first=first)).hits}
        assert found == wanted - {document.id}


def test_no_document_that_meets_the_filter_is_no_hit_and_no_error(index: Index) -> None:
    assert index.search("soup", where="team = 'nobody'").hits == ()
    assert index.search("soup", within="nowhere").hits == ()


def test_a_filter_that_cannot_be_read_is_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="at character 8 of the filter"):
        index.search("soup", where="team = sre")


@pytest.mark.parametrize("first", [1, 2000])
def test_a_filter_sees_what_was_written_since_it_was_last_used(tmp_path: Path, encoder: Encoder, first: int) -> None:
    def found(index: Index, where: str) -> list[str]:
        request = dense(10, where, first=first)
        return sorted(hit.id for hit in ask_texts(index.engine, ["soup"], request, started=0.0)[0].hits)

    with Index.create(tmp_path / "index", encoder=encoder) as index:
        for number in range(1, 5):
            index.sync([Document(f"{i}", "soup", metadata={"n": i % 2}) for i in range(number)])
            index.remove(["1"])
            assert found(index, "n = 0") == [str(i) for i in range(0, number, 2)]
            assert found(index, "n = 1") == ["3"] * (number == 4)


def test_filters_that_python_takes_for_equal_are_told_apart(tmp_path: Path, encoder: Encoder) -> None:
    values = {"number": 1, "boolean": True, "text": "1"}
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync([Document(id, "soup", metadata={"n": value}) for id, value in values.items()])
        for _ in range(2):
            for where, expected in (("n = 1", {"number", "text"}), ("n = true", {"boolean"}), ("n = '1'", {"text"})):
                assert {hit.id for hit in index.search("soup", mode="dense", where=where).hits} == expected


def test_more_filters_than_are_remembered_give_the_same_answers(index: Index) -> None:
    for _ in range(2):
        for number in range(0, COUNT, 9):
            assert [hit.metadata["n"] for hit in index.search("soup", where=f"n = {number}").hits] == [number]


@pytest.mark.parametrize("where", [None, "team = 'sre'", "n < 7 or tags = 'a'", "n = 3"])
def test_lexical_search_with_a_filter_is_the_unfiltered_order_without_the_others(
    index: Index, where: str | None
) -> None:
    every = index.search("soup backup", COUNT, mode="lexical").hits
    found = index.search("soup backup", COUNT, mode="lexical", where=where, within="a").hits
    meeting = {hit.id for hit in index.search("x", COUNT, mode="dense", where=where, within="a").hits}
    assert [hit.id for hit in found] == [hit.id for hit in every if hit.id in meeting]
    assert found


@pytest.mark.parametrize("k", [1, 5, 300])
def test_hybrid_search_with_a_filter_is_never_shortened(index: Index, k: int) -> None:
    for where in ("team = 'sre'", "n < 7", "tags = 'a' and team != 'ops'"):
        meeting = {hit.id for hit in index.search("x", COUNT, mode="dense", where=where).hits}
        found = [hit.id for hit in index.search("soup backup", k, mode="hybrid", where=where).hits]
        assert len(set(found)) == len(found) == min(k, len(meeting))
        assert set(found) <= meeting
