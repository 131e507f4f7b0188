"""Pairs that documents make of themselves, the corpus that they come from, and hard negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_training
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.errors import TrainingError
from docsim.index import Index
from docsim.models import Document
from docsim.training.data.batch_layout import BatchOptions, input_format
from docsim.training.data.corpus import NEAR_DUPLICATE, TokenizedCorpus, held_out, tokenize_corpus
from docsim.training.data.document_pairs import SpanBatches, SpanRecipe, without_shared
from docsim.training.data.document_sources import documents_of_corpus, documents_of_index
from docsim.training.data.hard_negatives import bm25_negatives, embedding_negatives

PARTS = toy_training.parts()
NAMES = {number: entry for entry, number in PARTS.tokenizer.get_vocab().items()}


@pytest.fixture(scope="module")
def corpus() -> TokenizedCorpus:
    return tokenize_corpus(toy_training.documents(), PARTS)


def batches(corpus: TokenizedCorpus, **changed: Any) -> SpanBatches:
    recipe = SpanRecipe(
        **{"shortest": 4, "strike": 0.0, "word_dropout": 0.0, "question_share": 0.0, **changed.pop("recipe", {})}
    )
    rows = changed.pop("rows", range(len(corpus.documents)))
    options = BatchOptions(input_format(PARTS), size=changed.pop("size", 16), seed=3)
    return SpanBatches(corpus, rows, recipe=recipe, options=options, **changed)


def kinds(ids: Any) -> set[str]:
    """Whose words a side holds: 'a' those of first halves, 'b' those of second halves."""
    return {NAMES[int(n)][0] for n in ids if n} & {"a", "b"}


def topics(ids: Any) -> set[str]:
    names = [NAMES[int(n)] for n in ids if n]
    return {name[1:].partition("x")[0] for name in names if name[0] in "ab"}


def test_the_two_sides_come_from_the_two_halves_of_one_document(corpus: TokenizedCorpus) -> None:
    first, second = batches(corpus).batch(0).sides
    for left, right in zip(first, second, strict=True):
        assert topics(left) | topics(right) == topics(left) or len(topics(left) | topics(right)) == 1
        assert kinds(left) != kinds(right)


def test_a_title_is_one_side_of_its_share_of_pairs() -> None:
    titled = [Document(d.id, d.text, title="c1 c2 c3") for d in toy_training.documents(40)]
    made = batches(tokenize_corpus(titled, PARTS), recipe={"title_share": 1.0})
    title = PARTS.tokenizer.encode("c1 c2 c3").ids
    for left, right in zip(*made.batch(0).sides, strict=True):
        assert [n for n in left if n] == title or [n for n in right if n] == title


def test_a_question_is_a_few_different_tokens_of_the_document_that_answers_it(corpus: TokenizedCorpus) -> None:
    made = batches(corpus, recipe={"question_share": 1.0, "question_strike": 0.0, "shortest": 30})
    for left, right in zip(*made.batch(0).sides, strict=True):
        question, answer = sorted(([int(n) for n in side if n] for side in (left, right)), key=len)
        assert 3 <= len(set(question)) == len(question) <= 12
        assert topics(question) <= topics(answer)


def test_tokens_of_a_question_are_struck_out_of_its_answer(corpus: TokenizedCorpus) -> None:
    made = batches(corpus, recipe={"question_share": 1.0, "question_strike": 1.0, "shortest": 30})
    shared = [set(left[left > 0]) & set(right[right > 0]) for left, right in zip(*made.batch(0).sides, strict=True)]
    assert shared == [set()] * len(shared)


def test_rare_tokens_are_asked_for_more_often_than_common_ones(corpus: TokenizedCorpus) -> None:
    made = batches(corpus, recipe={"question_share": 1.0, "question_strike": 0.0, "shortest": 30}, size=100)
    sides = [[int(n) for n in row if n] for side in made.batch(0).sides for row in side]
    questions = [side for side in sides if len(side) <= 12]
    common = np.mean([NAMES[n][0] == "c" for side in questions for n in side])
    assert common < 0.8 * np.mean([NAMES[n][0] == "c" for text in corpus.documents for n in set(text.body.tolist())])


def test_neighbouring_passages_meet_at_a_border() -> None:
    text = "a0x0 " * 260 + "\n\n" + "b0x0 " * 760
    documents = [Document(str(n), f"c{n % 20} c{n // 20} {text}") for n in range(30)]
    made = tokenize_corpus(documents, PARTS)
    assert len(made.documents[0].borders) >= 2
    first, second = batches(made, recipe={"neighbour_share": 1.0, "longest": 8}).batch(0).sides
    assert first.shape == second.shape
    assert {len(kinds(row)) for row in (*first, *second)} <= {0, 1, 2}


def test_an_epoch_shows_every_document_once_at_most(corpus: TokenizedCorpus) -> None:
    made = batches(corpus, size=50)
    assert made.per_epoch == 2
    small = batches(corpus, size=500)
    assert small.per_epoch == 1
    assert len(small.batch(0).sides[0]) == len(corpus.documents)


def test_a_batch_depends_on_its_number_and_the_seed_alone(corpus: TokenizedCorpus) -> None:
    one, other = batches(corpus), batches(corpus)
    one.batch(0)
    np.testing.assert_array_equal(one.batch(7).sides[0], other.batch(7).sides[0])
    assert not np.array_equal(one.batch(7).sides[0][:, :4], one.batch(8).sides[0][:, :4])


def test_near_duplicates_are_no_negatives_of_each_other() -> None:
    documents = toy_training.documents(40)
    documents += [Document(f"copy{d.id}", d.text + " c1") for d in documents]
    made = tokenize_corpus(documents, PARTS)
    excluded = batches(made, size=80).batch(0).labels["excluded"]
    assert excluded.sum() >= 80  # each has its copy
    assert not np.diagonal(excluded).any()
    assert (made.sketches[:40] * made.sketches[40:]).sum(axis=1).min() > NEAR_DUPLICATE


def test_documents_of_different_topics_are_negatives_of_each_other(corpus: TokenizedCorpus) -> None:
    assert not batches(corpus, size=12, rows=range(12)).batch(0).labels["excluded"].any()


ids = st.lists(st.integers(2, 30), min_size=1, max_size=40).map(lambda n: np.array(n, dtype=np.int32))


@settings(deadline=None)
@given(ids, ids, st.floats(0, 1), st.integers(0, 9))
def test_striking_out_only_ever_removes_tokens_of_both_sides(
    first: Any, second: Any, probability: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    left, right = without_shared(first, second, probability=probability, random=random)
    shared = set(first.tolist()) & set(second.tolist())
    for before, after in ((first, left), (second, right)):
        assert [n for n in before if n not in shared] == [n for n in after if n not in shared]
        assert len(after) >= min(3, len(before))


def test_with_probability_one_nothing_shared_is_left() -> None:
    first, second = np.arange(2, 30, dtype=np.int32), np.arange(12, 40, dtype=np.int32)
    left, right = without_shared(first, second, probability=1.0, random=np.random.default_rng(0))
    assert not set(left.tolist()) & set(right.tolist())
    assert set(left.tolist()) | set(right.tolist()) == set(range(2, 40))


def test_the_held_out_are_a_tenth_within_bounds_and_depend_on_the_seed(corpus: TokenizedCorpus) -> None:
    held = held_out(corpus, seed=0)
    assert len(held) == 12
    assert held == sorted(set(held)) == held_out(corpus, seed=0)
    assert held != held_out(corpus, seed=1)
    assert len(held_out(corpus, seed=0, most=5)) == 5
    assert len(held_out(corpus, seed=0, share=0.0)) == 10


def test_the_same_texts_have_the_same_digest_and_others_another(corpus: TokenizedCorpus) -> None:
    assert tokenize_corpus(toy_training.documents(), PARTS).digest == corpus.digest
    assert tokenize_corpus(toy_training.documents(seed=1), PARTS).digest != corpus.digest


def test_frequencies_count_documents_and_rare_tokens_weigh_more(corpus: TokenizedCorpus) -> None:
    token = PARTS.tokenizer.token_to_id("c0")
    expected = sum("c0" in document.text.split() for document in toy_training.documents())
    assert corpus.frequencies[token] == expected
    inverse = corpus.inverse_frequencies()
    assert inverse[PARTS.tokenizer.token_to_id("a0x0")] > inverse[token]


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ([], "at least 20 documents of 20 tokens or more.*found 0 among 0"),
        ([Document("one", "c1 " * 500)], "found 1 among 1"),
        ([Document(str(n), "c1 c2 c3") for n in range(50)], "found 0 among 50"),
        ([Document(str(n), "") for n in range(50)], "found 0 among 50"),
        ([Document(str(n), "c1 c2 " * 20) for n in range(50)], "the same ones repeatedly"),
    ],
)
def test_too_little_to_learn_from_is_refused(documents: list[Document], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        tokenize_corpus(documents, PARTS)


@pytest.mark.parametrize(
    "wrong", [{"strike": 1.5}, {"title_share": -0.1}, {"shortest": 0}, {"shortest": 9, "longest": 8}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError):
        SpanRecipe(**wrong)


def test_an_index_and_its_source_give_the_same_documents(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    from docsim.encoding.encoder import Encoder

    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"text number {number}\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no more")
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(documents_of_corpus(str(folder)))
    found = [document.text for document in documents_of_index(tmp_path / "index")]
    assert sorted(found) == sorted(document.text for document in documents_of_corpus(str(folder)))
    assert len(found) == 5


def test_a_corpus_without_a_readable_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none could be read"):
        list(documents_of_corpus(str(tmp_path)))


def test_bm25_finds_documents_that_share_rare_words(corpus: TokenizedCorpus) -> None:
    found = bm25_negatives(corpus, count=3)
    assert found.shape == (120, 3)
    same = (found % toy_training.TOPICS) == (np.arange(120) % toy_training.TOPICS)[:, None]
    assert same.mean() > 0.9  # documents that share rare words are of one topic
    assert not (found == np.arange(120)[:, None]).any()


def test_the_encoder_finds_nearest_documents_other_than_near_duplicates(corpus: TokenizedCorpus) -> None:
    rows = corpus.sketches
    found = embedding_negatives(corpus, rows, count=2, skip=1)
    near = np.argsort(-(rows[0] @ rows.T), kind="stable")
    kept = [n for n in near if n != 0 and rows[n] @ rows[0] <= NEAR_DUPLICATE]
    assert found[0].tolist() == kept[1:3]


def test_a_batch_with_hard_negatives_has_a_third_side_of_them(corpus: TokenizedCorpus) -> None:
    numbers = np.full((120, 2), -1)
    numbers[:, 0] = (np.arange(120) + 1) % 120
    first, _, third = batches(corpus, negatives=numbers, size=10).batch(0).sides
    expected = [{(t + 1) % 12 for t in map(int, topics(row))} for row in first]
    found = [set(map(int, topics(row))) for row in third]
    assert all(not f or not e or f == e for f, e in zip(found, expected, strict=True))
    assert any(found)
