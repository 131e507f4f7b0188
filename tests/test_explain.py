"""Explanations of an index: passages, offsets, words and terms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docsim.analysis.explain import ExplainedWord, Span, telling_words
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.index import Index
from docsim.ingest import passages
from docsim.models import Document
from docsim.search import scoring

SECTION = "Rotate the signing keys of the server every year. " * 12
LONG = "\n\n".join(f"## {word}\n\n{word} {SECTION}" for word in ("soup", "holiday", "database"))
DOCUMENTS = [
    Document("long", LONG, title="Book"),
    Document("holiday", "A holiday for the team: report your leave.", title="Holiday leave"),
    Document("empty", ""),
]


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
        yield index


def test_pairs_are_best_matches_of_either_side_best_first(index: Index) -> None:
    found = index.explain("holiday", "long", pairs=10)
    spans = passages.split(LONG)
    texts = passages.inputs(DOCUMENTS[0], spans)
    similarities = index.encoder.encode(passages.inputs(DOCUMENTS[1], passages.split(DOCUMENTS[1].text))) @ (
        index.encoder.encode(texts).T
    )
    order = np.argsort(-similarities[0]).tolist()
    assert [(pair.b.start, pair.b.end) for pair in found.pairs] == [(spans[i].start, spans[i].end) for i in order]
    assert [pair.similarity for pair in found.pairs] == pytest.approx(similarities[0][order].tolist(), abs=1e-5)
    assert found.similarity == found.pairs[0].similarity


def test_words_slice_back_to_the_document_and_sum_to_the_similarity(index: Index) -> None:
    for pair in index.explain("long", "holiday").pairs:
        for span, document in ((pair.a, DOCUMENTS[0]), (pair.b, DOCUMENTS[1])):
            assert document.text[span.start : span.end] == span.text
            placed = [word for word in span.words if word.start is not None]
            assert [document.text[word.start : word.end] for word in placed] == [word.text for word in placed]
            assert sum(word.contribution for word in span.words) == pytest.approx(pair.similarity, abs=1e-9)


def test_words_of_a_title_have_no_offsets(index: Index) -> None:
    words = index.explain("holiday", "long").pairs[0].a.words
    assert [word.text for word in words if word.start is None] == ["Holiday", "leave"]


def test_similarity_and_score_are_those_of_a_search(index: Index) -> None:
    for hit in index.similar("holiday", mode="dense").hits:
        found = index.explain("holiday", hit.id)
        assert (found.similarity, found.score) == pytest.approx((hit.similarity, hit.score), abs=2e-3)


def test_a_question_is_explained_without_being_indexed(index: Index) -> None:
    found = index.explain(Document("query", "team holiday"), "holiday")
    rows = index.encoder.encode(["team holiday", "Holiday leave\nA holiday for the team: report your leave."])
    assert found.score == pytest.approx(scoring.rank(rows[:1], [rows[1:]])[0].score, abs=1e-5)
    assert [term.term for term in found.terms] == ["team", "holiday"]


def test_an_empty_document_is_explained_too(index: Index) -> None:
    found = index.explain("empty", "holiday")
    assert (found.pairs[0].a.text, found.terms) == ("", ())


def test_an_unknown_id_is_refused_by_name(index: Index) -> None:
    with pytest.raises(UsageError, match="found no document 'nothing'"):
        index.explain("holiday", "nothing")


def test_less_than_one_pair_is_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="at least 1 pair"):
        index.explain("holiday", "long", pairs=0)


def test_telling_words_are_the_fewest_that_make_the_share() -> None:
    shares = {"Soup": 0.3, "the": 0.01, "boil": 0.2, "soup": 0.1, ",": 0.5, "not": -0.2}
    span = Span(0, 0, "", tuple(ExplainedWord(text, None, None, share) for text, share in shares.items()))
    assert telling_words(span, share=0.5) == ["soup"]
    assert telling_words(span, share=0.8) == ["soup", "boil"]
    assert telling_words(span, share=1.0) == ["soup", "boil", "the"]
