from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opened import engine_of, terms_of
from word_documents import DOCUMENTS, terms

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.engine.records import Counts, QueryTerm
from docsim.index import Index
from docsim.models import Document
from docsim.search import query_terms
from docsim.search.query_terms import QueryTerms


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("terms") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
        yield index


def ids(index: Index, query: str) -> list[str]:
    """What a query finds by its words, best first."""
    return [hit.id for hit in index.search(query, mode="lexical").hits]


@pytest.mark.parametrize(("before", "expected"), [("a b", True), ("a b c", False), ("well-known", True)])
def test_only_the_words_of_a_short_query_are_run_together(index: Index, before: str, expected: bool) -> None:
    found = terms(index, f"{before} set max retry count").telling
    assert ("setmaxretrycount" in terms_of(found)) is expected


def test_an_identifier_is_asked_for_once_however_it_is_written(index: Index) -> None:
    for query in ("setMaxRetryCount", "set_max_retry_count", "set max retry count"):
        found = {term.words: term.weight for term in terms(index, query).telling}
        assert found["setmaxretrycount",] == 1


def test_a_long_query_is_asked_by_its_most_telling_terms_only(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_TERMS", 2)
    chosen = terms(index, "the server was deployed before vanished universities were universities").telling
    assert terms_of(chosen) == ["universities", "vanished"]


def test_only_so_many_terms_are_looked_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_COUNTED", 2)
    query = Document("query", "server vanished universities" + " vanished" * 5)  # too many words to run them together
    with Index.open(index.path) as own, engine_of(own).snapshot() as opened:
        query_terms.query_terms(opened, query)
        assert list(opened.view.known.lexicon.counts) == ['"vanished"', '"server"']


def test_frequent_terms_are_left_out_until_more_is_asked_for(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_ROWS", 3)
    asked = terms(index, "the vanished server")
    assert terms_of(asked.telling) == ["vanished", "server"]
    assert terms_of(asked.frequent) == ["the"]
    found = ids(index, "the vanished server")
    assert set(found[:3]) == {"flag", "version", "prose"}
    assert set(found) == {"flag", "version", "prose", "camel", "dotted"}


def test_a_query_of_frequent_terms_only_is_asked_by_the_rarest(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_ROWS", 0)
    assert terms_of(terms(index, "the server").telling) == ["server"]


def test_terms_that_no_document_holds_are_not_asked_for(index: Index) -> None:
    assert terms(index, "giraffe zebra") == QueryTerms((), ())


def test_counts_are_looked_up_once(index: Index) -> None:
    query = Document("query", "vanished giraffe files vanished giraffe files files")  # too many to run them together
    with Index.open(index.path) as own, engine_of(own).snapshot() as opened:
        counts = opened.view.known.lexicon.counts
        counts.update({'"vanished"': 1, '"giraffe"': 4})  # as if found out before
        query_terms.query_terms(opened, query)
        assert counts == {'"vanished"': 1, '"giraffe"': 4, '"files"': 1}


class Everything:
    """As much of a snapshot as is asked for terms, of an index where every term is in one of 1,000 documents."""

    def counts(self) -> Counts:
        return Counts(1000, 1000)

    def frequencies(self, terms: Sequence[QueryTerm], *, at_most: int | None = None) -> list[int]:
        return [1 for _ in terms]


def all_terms(text: str) -> list[tuple[str, ...]]:
    """What a text is asked by where documents hold all of it."""
    found = query_terms.query_terms(cast(Snapshot, Everything()), Document("query", text))
    return [term.words for term in (*found.telling, *found.frequent)]


@pytest.mark.parametrize(
    "text", ["getTheNextPageOfAllSearchResultsFromTheServer", "1.2.3.4.5.6.7.8.9.a", "a_b_c_d_e_f_g_h_i"]
)
def test_the_words_of_an_identifier_of_many_parts_are_asked_for(text: str) -> None:
    assert {words[0] for words in all_terms(text)} == set(re.findall(r"[a-z0-9]+", text.lower()))


@given(text=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_terms_hold_letters_and_digits_only(text: str) -> None:
    for words in all_terms(text):
        assert words
        for word in words:
            assert re.fullmatch(r'[^"\s]+', word)
            assert word.isalnum() or not word.isascii()


@given(text=st.text(alphabet="aB1_. ", max_size=40))
def test_every_word_of_a_text_is_a_term_or_part_of_one(text: str) -> None:
    joined = ["".join(words) for words in all_terms(text)]
    for word in re.findall(r"[a-zA-Z0-9]+", text):
        assert any(word.lower() in one for one in joined)
