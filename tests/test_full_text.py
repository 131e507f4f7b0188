from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened import engine_of, snapshot_of, store_of, terms_of

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.engine.local import full_text
from docsim.engine.local.full_text import TITLE_WEIGHT, Lexicon, Matches
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


def terms(index: Index, text: str, title: str = "") -> QueryTerms:
    with snapshot_of(index) as snapshot:
        return query_terms.query_terms(snapshot, Document("query", text, title))


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
    ],
)
def test_a_document_is_found_by_its_words_stems_and_codes(index: Index, query: str, id: str) -> None:
    assert ids(index, query)[0] == id


def test_a_document_with_no_word_in_common_does_not_match(index: Index) -> None:
    assert ids(index, "vanished") == ["flag"]
    assert ids(index, "giraffe") == []


def test_a_document_with_a_word_in_its_title_matches_better(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "titles", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("text", "soup water", title="lunch"), Document("title", "lunch water", title="soup")])
        index.sync([Document("c", "a"), Document("d", "b"), Document("e", "c")], prune=False)
        assert ids(index, "soup") == ["title", "text"]


def test_a_document_that_is_asked_for_by_id_does_not_match_itself(index: Index) -> None:
    found = [hit.id for hit in index.similar("prose", mode="lexical").hits]
    assert "prose" not in found
    assert set(found) >= {"snake", "camel", "version"}


# Scores


def bm25(query: Sequence[str], documents: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[float]:
    """BM25 as SQLite's documentation defines it, over (title, text) in words, title words counting more."""
    lengths = [len(title) + len(text) for title, text in documents]
    mean = max(sum(lengths) / len(lengths), 1e-9)
    scores = [0.0] * len(documents)
    for word in query:
        holding = sum(word in title or word in text for title, text in documents)
        rarity = max(math.log((len(documents) - holding + 0.5) / (holding + 0.5)), 1e-6)
        for i, (title, text) in enumerate(documents):
            times = TITLE_WEIGHT * title.count(word) + text.count(word)
            scores[i] += rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * lengths[i] / mean))
    return scores


WORDS = ["ax", "bo", "cy", "du", "ek"]  # each its own stem


@given(
    documents=st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), max_size=2), st.lists(st.sampled_from(WORDS), max_size=9)),
        min_size=1,
        max_size=8,
    ),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5, unique=True),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_scores_are_bm25(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder_dir: Path,
    documents: list[tuple[list[str], list[str]]],
    query: list[str],
) -> None:
    expected = np.array(bm25(query, documents))
    path = tmp_path_factory.mktemp("bm25")
    with Index.create(path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(Document(str(i), " ".join(text), " ".join(title)) for i, (title, text) in enumerate(documents))
        numbers = [index.document(str(i)).number for i in range(len(documents))]
        asked = terms(index, " ".join(query))
        with snapshot_of(index) as snapshot:
            found = snapshot.text_search([*asked.telling, *asked.frequent])
        np.testing.assert_allclose(found.of(np.array(numbers)), expected, rtol=1e-4, atol=1e-5)
        matching = {number for number, score in zip(numbers, expected, strict=True) if score > 0}
        assert set(found.best(len(found)).tolist()) == matching


def test_a_term_that_a_query_repeats_counts_more(index: Index) -> None:
    once, often = (terms(index, "vanished " * times).telling[0] for times in (1, 3))
    assert once.weight == 1
    assert often.weight == pytest.approx(3**0.7)
    with snapshot_of(index) as snapshot:
        numbers = np.array(list(snapshot.passage_counts()))
        single, more = (snapshot.text_search([term]).of(numbers) for term in (once, often))
    assert single.max() > 0
    np.testing.assert_allclose(more, often.weight * single, rtol=1e-6)


def test_scores_of_documents_that_do_not_match_are_zero() -> None:
    scores = Matches(np.array([2, 5, 9]), np.array([1, 3, 2], np.float32))
    assert scores.of(np.array([9, 1, 5, 12])).tolist() == [2, 0, 3, 0]
    assert scores.best(2).tolist() == [5, 9]
    nothing = Matches(np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert nothing.of(np.array([1, 2])).tolist() == [0, 0]


# Terms


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


def test_a_term_is_counted_to_the_end_only_where_that_is_asked_for(index: Index) -> None:
    lexicon, the, vanished = Lexicon(), QueryTerm(("the",)), QueryTerm(("vanished",))
    exact = Lexicon().count(store_of(index), the)
    assert exact > 3
    assert [lexicon.count(store_of(index), the, at_most=most) for most in (2, 2, 3, 2)] == [2, 2, 3, 3]
    assert lexicon.count(store_of(index), the) == exact
    assert lexicon.count(store_of(index), the, at_most=2) == exact
    assert lexicon.count(store_of(index), vanished, at_most=9) == Lexicon().count(store_of(index), vanished)


def test_scores_of_a_term_are_looked_up_once(index: Index) -> None:
    lexicon = Lexicon()
    asked = terms(index, "vanished server").telling
    first = full_text.matches(store_of(index), asked, lexicon)
    assert set(lexicon.scores) == {'"vanished"', '"server"'} == {f'"{word}"' for word in terms_of(asked)}
    lexicon.scores['"vanished"'] = Matches(np.array([77]), np.array([1], np.float32))  # as if found out before
    assert 77 in full_text.matches(store_of(index), asked, lexicon).documents
    assert 77 not in first.documents


def test_only_so_many_scores_are_kept_the_latest(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_text, "MOST_KEPT", 3)
    lexicon = Lexicon()
    for word, held in (("server", 2), ("vanished", 1), ("universities", 1)):
        assert len(lexicon.of(store_of(index), QueryTerm((word,))).documents) == held
    assert list(lexicon.scores) == ['"vanished"', '"universities"']
    assert lexicon.kept == 2


def test_threads_share_what_was_looked_up(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_text, "MOST_KEPT", 2)  # so that each look-up makes room
    lexicon = Lexicon()
    words = ["server", "vanished", "universities", "the", "files", "deploy"]
    sizes = {word: len(Lexicon().of(store_of(index), QueryTerm((word,))).documents) for word in words}

    def look_up(number: int) -> None:
        random = Random(number)
        with Index.open(index.path) as own:
            for _ in range(200):
                word = random.choice(words)
                assert len(lexicon.of(store_of(own), QueryTerm((word,))).documents) == sizes[word]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look_up, range(8)))
    assert lexicon.kept == sum(len(one.documents) for one in lexicon.scores.values())


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
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_ever_syntax(index: Index, text: str) -> None:
    hits = index.similar_to(Document("query", text), mode="lexical").hits
    assert len({hit.id for hit in hits}) == len(hits)
    assert len(index.similar_to(Document("query", text), mode="hybrid").hits) == len(DOCUMENTS)


@pytest.mark.parametrize(
    "text", ["getTheNextPageOfAllSearchResultsFromTheServer", "1.2.3.4.5.6.7.8.9.a", "a_b_c_d_e_f_g_h_i"]
)
def test_the_words_of_an_identifier_of_many_parts_are_asked_for(text: str) -> None:
    assert {words[0] for words in all_terms(text)} == set(re.findall(r"[a-z0-9]+", text.lower()))


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
