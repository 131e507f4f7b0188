from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened import engine_of, snapshot_of, terms_of

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.engine.local.generations import Known
from docsim.engine.records import Counts, QueryTerm
from docsim.index import Index
from docsim.models import Document, Mode
from docsim.search import query_terms
from docsim.search.query_terms import QueryTerms

DOCUMENTS = [
    Document("snake", "Set max_retry_count to seven before you deploy."),
    Document("camel", "Call setMaxRetryCount(7) before the deployment."),
    Document("flag", "Run it with --no-prune, which keeps vanished files."),
    Document("code", "It ended with ERR_CONN_REFUSED and exit code 0x80070005."),
    Document("version", "Version 3.11.2 of the server is out, 3.11.1 is not safe."),
    Document("dotted", "The module foo.bar_baz.qux was renamed."),
    Document("prose", "The universities deployed a well-known server.", title="Universities"),
    Document("accents", "Das Caf\u00e9 in Z\u00fcrich \u65e5\u672c\u8a9e"),
    Document("empty", ""),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("lexical") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
        yield index


def terms(index: Index, text: str) -> QueryTerms:
    """What a text is asked by where nothing was counted before."""
    with engine_of(index).snapshot() as opened:
        unknown = replace(opened, view=replace(opened.view, known=Known()))
        return query_terms.query_terms(unknown, Document("query", text))


def ids(index: Index, query: str) -> list[str]:
    """What a query finds by its words, best first."""
    return [hit.id for hit in index.search(query, mode="lexical").hits]


# What is found


@pytest.mark.parametrize("query", ["max_retry_count", "maxRetryCount", "MaxRetryCount", "max-retry-count"])
def test_an_identifier_is_found_as_snake_case_however_it_is_written(index: Index, query: str) -> None:
    assert ids(index, query)[0] == "snake"


@pytest.mark.parametrize("query", ["setMaxRetryCount", "set_max_retry_count", "setmaxretrycount", "SetMaxRetryCount()"])
def test_an_identifier_is_found_as_camel_case_however_it_is_written(index: Index, query: str) -> None:
    assert "camel" in ids(index, query)[:2]


@pytest.mark.parametrize("query", ["set max retry count", "How to Set max retry count?"])
def test_an_identifier_is_found_as_camel_case_by_single_words(index: Index, query: str) -> None:
    assert "camel" in ids(index, query)[:2]


@pytest.mark.parametrize(("before", "expected"), [("a b", True), ("a b c", False), ("well-known", True)])
def test_only_the_words_of_a_short_query_are_run_together(index: Index, before: str, expected: bool) -> None:
    found = terms(index, f"{before} set max retry count").telling
    assert ("setmaxretrycount" in terms_of(found)) is expected


def test_an_identifier_is_asked_for_once_however_it_is_written(index: Index) -> None:
    for query in ("setMaxRetryCount", "set_max_retry_count", "set max retry count"):
        found = {term.words: term.weight for term in terms(index, query).telling}
        assert found["setmaxretrycount",] == 1


@pytest.mark.parametrize(
    ("query", "id"),
    [
        ("--no-prune", "flag"),
        ("err_conn_refused", "code"),
        ("0x80070005", "code"),
        ("3.11.2", "version"),
        ("foo.bar_baz", "dotted"),
        ("bar_baz.qux", "dotted"),
        ("university", "prose"),
        ("deployment of known servers", "prose"),
        ("cafe zurich", "accents"),
        ("CAF\u00c9", "accents"),
        ("cafe\u0301", "accents"),
        ("\u65e5\u672c\u8a9e", "accents"),
        ("\u672c\u8a9e", "accents"),
        ("\u672c", "accents"),
        ("\u8a9e", "accents"),
    ],
)
def test_a_document_is_found_by_its_words_stems_and_codes(index: Index, query: str, id: str) -> None:
    assert ids(index, query)[0] == id


def test_a_document_with_no_word_in_common_does_not_match(index: Index) -> None:
    assert ids(index, "vanished") == ["flag"]
    assert ids(index, "giraffe") == []


def test_a_document_that_is_asked_for_by_id_does_not_match_itself(index: Index) -> None:
    found = [hit.id for hit in index.similar("prose", mode="lexical").hits]
    assert "prose" not in found
    assert set(found) >= {"snake", "camel", "version"}


# Terms


def test_a_term_that_a_query_repeats_counts_more(index: Index) -> None:
    once, often = (terms(index, "vanished " * times).telling[0] for times in (1, 3))
    assert once.weight == 1
    assert often.weight == pytest.approx(3**0.7)
    with snapshot_of(index) as snapshot:
        numbers = np.array(list(snapshot.passage_counts()))
        single, more = (snapshot.text_search([term]).of(numbers) for term in (once, often))
    assert single.max() > 0
    np.testing.assert_allclose(more, often.weight * single, rtol=1e-6)


def test_a_long_query_is_asked_by_its_most_telling_terms_only(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_TERMS", 2)
    chosen = terms(index, "the server was deployed before vanished universities were universities").telling
    assert terms_of(chosen) == ["universities", "vanished"]


def test_of_equally_telling_terms_a_phrase_comes_before_its_first_word(index: Index) -> None:
    assert terms_of(terms(index, "foo.bar_baz").telling) == ["bar", "baz", "foo bar baz", "foo"]


def test_only_so_many_terms_are_looked_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_terms, "MOST_COUNTED", 2)
    query = Document("query", "server vanished universities" + " vanished" * 5)  # too many words to run them together
    with snapshot_of(index) as snapshot:
        asked = query_terms.query_terms(snapshot, query)
    assert terms_of([*asked.telling, *asked.frequent]) == ["vanished", "server"]


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
    assert terms_of(terms(index, "the vanished").telling) == ["vanished"]  # the later one by name


def test_terms_that_no_document_holds_are_not_asked_for(index: Index) -> None:
    assert terms(index, "giraffe zebra") == QueryTerms((), ())


# Any text is safe


HOSTILE = [
    '"',
    "NEAR(a b, 2)",
    "title: a OR NOT b*",
    "^a + b",
    "{title} : x",
    "-- '; DROP TABLE documents; --",
    "a\0b",
    "?1 :name @x $y",
    "_" * 500,
    "a" * 100_000,
    " ".join(f"w{i}" for i in range(3000)),
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_hostile_text_is_a_question_like_any_other(index: Index, mode: Mode, text: str) -> None:
    assert index.search(text, mode=mode).query.startswith(text[:1])


@given(text=st.text(alphabet=st.sampled_from("ab\"'*()[]{}:^+-_.,;/\\\0\n NEARORANDNOT\u0301\ud800"), min_size=1))
@pytest.mark.properties
@settings(max_examples=examples(50, 150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_ever_syntax(index: Index, text: str) -> None:
    hits = index.similar_to(Document("query", text), mode="lexical").hits
    assert len({hit.id for hit in hits}) == len(hits)
    assert len(index.similar_to(Document("query", text), mode="hybrid").hits) == len(DOCUMENTS)


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
    ("text", "expected"),
    [
        ("x_max", [("xmax",), ("max",)]),
        ("grid-x-y", [("gridxy",), ("grid",)]),
        ("v_12", [("v12",)]),
        ("xMax", [("xmax",), ("max",)]),
    ],
)
def test_neither_letters_nor_numbers_of_an_identifier_are_asked_for_alone(
    text: str, expected: list[tuple[str, ...]]
) -> None:
    assert sorted(all_terms(text)) == sorted(expected)


@pytest.mark.parametrize(
    "text", ["getTheNextPageOfAllSearchResultsFromTheServer", "1.2.3.4.5.6.7.8.9.a", "a_b_c_d_e_f_g_h_i"]
)
def test_the_words_of_an_identifier_of_many_parts_are_asked_for(text: str) -> None:
    assert {words[0] for words in all_terms(text)} == set(re.findall(r"[a-z0-9]+", text.lower()))


@given(text=st.text(max_size=60))
@pytest.mark.properties
@settings(max_examples=examples(50, 150), deadline=None)
def test_terms_hold_letters_digits_and_the_signs_of_names_only(text: str) -> None:
    for words in all_terms(text):
        assert words
        for word in words:
            assert re.fullmatch(r'[^"\s]+', word)
            assert word.strip(".+#").isalnum() or not word.isascii() or re.fullmatch(r"[\d.]+", word)


@given(text=st.text(alphabet="aB1_. ", max_size=40))
def test_every_word_of_a_text_is_a_term_or_part_of_one(text: str) -> None:
    joined = ["".join(words) for words in all_terms(f"{'x ' * query_terms.MOST_JOINED} {text}")]  # none run together
    for word in re.findall(r"[a-zA-Z0-9]+", text):
        assert any(word.lower() in one for one in joined)
