"""Tokenizing word by word gives what the tokenizer gives for the whole text."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import tiny_tokenizer

from docsim.encoding import tokenizer as module
from docsim.encoding.tokenizer import TextTokenizer, TokenIds, damped

CONTENT = tiny_tokenizer().to_str()
EMPTY = 1
# Python splits at these control characters, BERT's tokenizer deletes them.
SPLIT_BY_PYTHON_ONLY = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"


def text_tokenizer(*, by_word: bool, max_tokens: int = 64) -> TextTokenizer:
    return TextTokenizer(CONTENT, max_tokens=max_tokens, empty_id=EMPTY, special_tokens=False, by_word=by_word)


def lists(tokens: TokenIds) -> list[list[int]]:
    pairs = zip(tokens.starts.tolist(), tokens.lengths.tolist(), strict=True)
    return [tokens.ids[start : start + length].tolist() for start, length in pairs]


WORDS = st.text(st.characters(codec=None, exclude_characters=SPLIT_BY_PYTHON_ONLY), max_size=8)
TEXTS = st.lists(st.lists(WORDS | st.sampled_from(["Train", "keys,", "a|b", "|"])).map(" ".join), max_size=6)


@settings(deadline=None)
@given(texts=TEXTS)
def test_words_one_by_one_have_the_tokens_of_the_whole_text(texts: list[str]) -> None:
    expected = lists(text_tokenizer(by_word=False).tokenize(texts))
    assert lists(text_tokenizer(by_word=True).tokenize(texts)) == expected


@pytest.mark.parametrize("control", SPLIT_BY_PYTHON_ONLY, ids=ascii)
def test_a_control_character_between_words_separates_them(control: str) -> None:
    one = text_tokenizer(by_word=True)
    assert lists(one.tokenize([f"cat{control}dog"])) == lists(one.tokenize(["cat dog"]))


@settings(deadline=None)
@given(texts=TEXTS)
def test_many_words_have_the_tokens_that_few_have(texts: list[str]) -> None:
    one = text_tokenizer(by_word=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW_WORDS", -1)
        many = lists(one.tokenize(texts))
    assert many == lists(one.tokenize(texts))


@pytest.mark.parametrize("by_word", [True, False])
def test_a_text_without_tokens_has_the_empty_id(by_word: bool) -> None:
    assert lists(text_tokenizer(by_word=by_word).tokenize(["", "cat", " \n"]))[::2] == [[EMPTY], [EMPTY]]


@pytest.mark.parametrize("by_word", [True, False])
@pytest.mark.parametrize("few", [-1, 1000])
def test_a_text_is_cut_at_the_token_limit(by_word: bool, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEW_WORDS", few)
    short = text_tokenizer(by_word=by_word, max_tokens=3).tokenize(["cat dog soup train keys", "soup"])
    assert lists(short) == [
        ids[:3] for ids in lists(text_tokenizer(by_word=by_word).tokenize(["cat dog soup", "soup"]))
    ]


@pytest.mark.parametrize("by_word", [True, False])
def test_an_unpaired_surrogate_counts_as_a_replacement_character(by_word: bool) -> None:
    broken, repaired = lists(text_tokenizer(by_word=by_word).tokenize(["cat \ud800 dog", "cat \ufffd dog"]))
    assert broken == repaired


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED_WORDS", 10)
    one = text_tokenizer(by_word=True)
    for number in range(50):
        one.tokenize([f"word{number} cat"])
    assert len(one._remembered) <= 10


def test_long_words_are_not_remembered() -> None:
    one = text_tokenizer(by_word=True)
    one.tokenize(["cat " + "x" * 1000])
    assert list(one._remembered) == ["cat"]


def test_a_word_is_remembered_with_its_tokens() -> None:
    one = text_tokenizer(by_word=True)
    first = lists(one.tokenize(["Cat, DOG"]))
    assert lists(one.tokenize(["Cat, DOG"])) == first


@pytest.mark.parametrize(
    ("word", "held"), [("train", True), ("trainz", False), ("two words", False), ("", False), ("\ud800", False)]
)
def test_a_word_is_held_as_a_whole_or_in_pieces(word: str, held: bool) -> None:
    assert text_tokenizer(by_word=True).has_token(word) is held


def test_a_batch_is_filled_up_with_padding() -> None:
    tokens = TokenIds(np.array([5, 6, 7], np.int32), np.array([0, 2]), np.array([2, 1]))
    assert tokens.batch(np.array([1, 0]), padding=9).tolist() == [[7, 9], [5, 6]]


def test_several_threads_get_the_same_tokens() -> None:
    one = text_tokenizer(by_word=True)
    texts = [f"cat {number} train, keys" for number in range(200)]
    expected = lists(text_tokenizer(by_word=False).tokenize(texts))
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(lists(one.tokenize(texts)) == expected)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


@settings(deadline=None)
@given(texts=st.lists(st.lists(st.integers(1, 5), max_size=60), min_size=1, max_size=5))
def test_of_n_occurrences_of_a_token_about_n_to_the_power_of_0_7_are_kept(texts: list[list[int]]) -> None:
    block = np.zeros((len(texts), 60), dtype=np.int32)
    for row, text in zip(block, texts, strict=True):
        row[: len(text)] = text
    for row, text in zip(damped(block, padding=0).tolist(), texts, strict=True):
        assert {id: row.count(id) for id in range(1, 6)} == {id: round(text.count(id) ** 0.7) for id in range(1, 6)}


def test_damping_leaves_a_text_without_repeats_its_tokens() -> None:
    block = np.array([[7, 3, 9, 0], [2, 2, 2, 2]], dtype=np.int32)
    assert np.sort(damped(block, padding=0)).tolist() == [[0, 3, 7, 9], [0, 2, 2, 2]]
