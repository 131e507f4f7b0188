from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened import engine_of, snapshot_of, store_of

from docsim.encoding.encoder import Encoder
from docsim.engine.local import full_text
from docsim.engine.local.full_text import TITLE_WEIGHT, Lexicon, Matches
from docsim.engine.records import Counts, QueryTerm
from docsim.index import Index
from docsim.models import Document
from docsim.search.query_terms import query_terms

DOCUMENTS = [
    Document("before", "Set it to seven before you deploy."),
    Document("call", "Call it before the deployment."),
    Document("flag", "Run it so, which keeps vanished files."),
    Document("version", "Version 3.11.2 of the server is out."),
    Document("module", "The module was renamed."),
    Document("prose", "The universities deployed a well-known server.", title="Universities"),
    Document("empty", ""),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("full_text") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
        yield index


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
        with snapshot_of(index) as snapshot:
            asked = query_terms(snapshot, Document("query", " ".join(query)))
            found = snapshot.text_search([*asked.telling, *asked.frequent])
        np.testing.assert_allclose(found.of(np.array(numbers)), expected, rtol=1e-4, atol=1e-5)
        assert set(found.best(len(found)).tolist()) == {
            n for n, score in zip(numbers, expected, strict=True) if score > 0
        }


def test_a_document_with_a_word_in_its_title_matches_better(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "titles", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("text", "soup water", title="lunch"), Document("title", "lunch water", title="soup")])
        index.sync([Document("c", "a"), Document("d", "b"), Document("e", "c")], prune=False)
        hits = index.search("soup", mode="lexical").hits
    assert [hit.id for hit in hits] == ["title", "text"]


def test_scores_of_documents_that_do_not_match_are_zero() -> None:
    scores = Matches(np.array([2, 5, 9]), np.array([1, 3, 2], np.float32))
    assert scores.of(np.array([9, 1, 5, 12])).tolist() == [2, 0, 3, 0]
    assert scores.best(2).tolist() == [5, 9]
    assert len(scores) == 3
    nothing = Matches(np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert nothing.of(np.array([1, 2])).tolist() == [0, 0]


# What is kept


def test_counts_are_looked_up_once(index: Index) -> None:
    asked = [QueryTerm((word,)) for word in ("vanished", "giraffe", "files")]
    with Index.open(index.path) as own, engine_of(own).snapshot() as opened:
        counts = opened.view.known.lexicon.counts
        counts.update({'"vanished"': 1, '"giraffe"': 4})  # as if found out before
        assert opened.frequencies(asked) == [1, 4, 1]
        assert counts == {'"vanished"': 1, '"giraffe"': 4, '"files"': 1}
        assert opened.counts().documents == len(DOCUMENTS)
        opened.view.known.counts = Counts(77, 77)
        assert opened.counts().documents == 77


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
    asked = [QueryTerm(("vanished",)), QueryTerm(("server",))]
    first = full_text.matches(store_of(index), asked, lexicon)
    assert set(lexicon.scores) == {'"vanished"', '"server"'}
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
