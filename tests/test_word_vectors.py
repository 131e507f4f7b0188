"""Word vectors of every format, whole and broken, and the vocabularies that are fitted to them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from word_files import BUCKETS, binary, bucket, fasttext, glove, word2vec

from docsim.errors import TrainingError
from docsim.training.wordvectors.vectors import WordVectors, load_vectors
from docsim.training.wordvectors.vocabulary import coverage, vocabulary

VECTORS: dict[str | bytes, list[float]] = {"the": [0.1, -2.5, 3.0], "кот": [1e-3, 0.0, 7.25], ",": [4.0, 5.0, 6.0]}
NGRAMS = [[float(n), n / 2, -1.0] for n in range(BUCKETS)]


def read(tmp_path: Path, content: bytes, *, limit: int | None = None) -> WordVectors:
    file = tmp_path / "vectors"
    file.write_bytes(content)
    return load_vectors(file, limit=limit)


def fasttext_vector(word: str) -> list[float]:
    """Return a word's vector as fastText defines it: the mean of its own and those of its n-grams."""
    rows = [VECTORS[word]] if word in VECTORS else []
    rows += [NGRAMS[bucket(f"<{word}>"[start : start + 3])] for start in range(len(word))]
    return [float(column) for column in np.mean(rows, axis=0)]


FORMATS = pytest.mark.parametrize(
    ("content", "kind"),
    [
        (word2vec(VECTORS), "word2vec text"),
        (word2vec(VECTORS).replace(b"\n", b" \r\n"), "word2vec text"),
        (binary(VECTORS), "word2vec binary"),
        (glove(VECTORS), "GloVe text"),
        (glove(VECTORS).rstrip(b"\n"), "GloVe text"),
        (glove(VECTORS).replace(b" ", b"\t"), "GloVe text"),
        (b"\xef\xbb\xbf" + glove(VECTORS), "GloVe text"),
        (fasttext(VECTORS, []), "fastText binary"),
        (fasttext(VECTORS, [], newer=False), "fastText binary"),
    ],
    ids=[
        "text",
        "text crlf",
        "binary",
        "glove",
        "glove cut newline",
        "glove tabs",
        "glove bom",
        "fasttext",
        "old fasttext",
    ],
)


@FORMATS
def test_words_and_vectors_come_out_as_they_are_in_the_file(tmp_path: Path, content: bytes, kind: str) -> None:
    found = read(tmp_path, content)
    assert (found.words, found.format, found.skipped) == (("the", "кот", ","), kind, 0)
    assert found.matrix.dtype == np.float32
    np.testing.assert_array_equal(found.matrix, np.array([*VECTORS.values()], dtype=np.float32))


@FORMATS
def test_a_gzipped_file_reads_as_what_is_in_it(tmp_path: Path, content: bytes, kind: str) -> None:
    found = read(tmp_path, gzip.compress(content, mtime=0))
    assert (found.words, found.format) == (("the", "кот", ","), kind)


@FORMATS
def test_a_limit_reads_the_first_words(tmp_path: Path, content: bytes, kind: str) -> None:
    found = read(tmp_path, content, limit=2)
    assert found.words == ("the", "кот")
    np.testing.assert_array_equal(found.matrix, np.array([*VECTORS.values()], dtype=np.float32)[:2])


@pytest.mark.parametrize("newer", [True, False])
def test_fasttext_words_are_the_mean_of_their_own_vector_and_their_ngrams(tmp_path: Path, newer: bool) -> None:
    found = read(tmp_path, fasttext(VECTORS, NGRAMS, newer=newer))
    expected = [fasttext_vector(str(word)) for word in VECTORS]
    np.testing.assert_allclose(found.matrix, np.array(expected, dtype=np.float32), rtol=1e-6)


@pytest.mark.parametrize("word", ["cats", "котик", "x"])
def test_subwords_give_unseen_words_the_mean_of_their_ngrams(tmp_path: Path, word: str) -> None:
    found = read(tmp_path, fasttext(VECTORS, NGRAMS))
    assert found.subwords is not None
    np.testing.assert_allclose(found.subwords(word), fasttext_vector(word), rtol=1e-6)


@pytest.mark.parametrize("content", [word2vec(VECTORS), binary(VECTORS), glove(VECTORS), fasttext(VECTORS, [])])
def test_only_fasttext_with_ngrams_has_subwords(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content)
    assert found.subwords is None
    assert found.extended(["unseen"]) is found


def test_further_words_are_added_once_after_those_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, fasttext(VECTORS, NGRAMS)).extended(["cats", "the", "cats"])
    assert found.words == ("the", "кот", ",", "cats")
    np.testing.assert_allclose(found.matrix[3], fasttext_vector("cats"), rtol=1e-6)


def test_words_that_hold_spaces_are_read_whole(tmp_path: Path) -> None:
    content = glove(
        {"a": [1.0, 2.0], ". . .": [3.0, 4.0], "at name@domain.com": [5.0, 6.0], "b": [7.0, 8.0], "c": [9, 9]}
    )
    found = read(tmp_path, content)
    assert found.words == ("a", ". . .", "at name@domain.com", "b", "c")
    assert found.matrix[2].tolist() == [5.0, 6.0]


@pytest.mark.parametrize("write", [word2vec, binary, glove, lambda vectors: fasttext(vectors, [])])
def test_words_that_are_not_utf8_are_left_out(tmp_path: Path, write: Callable[..., bytes]) -> None:
    found = read(tmp_path, write({"a": [1.0, 2.0], b"kter\xec": [3.0, 4.0], "b": [5.0, 6.0]}))
    assert (found.words, found.skipped) == (("a", "b"), 1)
    assert found.matrix.tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_words_that_are_not_utf8_are_counted_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path, fasttext({"a": [1.0, 2.0], b"kter\xec": [3.0, 4.0]}, [])).skipped == 1
    assert caplog.messages == []


def test_of_a_word_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    found = read(tmp_path, b"a 1 2\na 3 4\nb 5 6\n")
    assert (found.words, found.skipped, found.matrix[0].tolist()) == (("a", "b"), 1, [1.0, 2.0])


@pytest.mark.parametrize("write", [word2vec, binary, glove, lambda vectors: fasttext(vectors, [])])
def test_words_with_numbers_that_are_not_finite_are_left_out(tmp_path: Path, write: Callable[..., bytes]) -> None:
    found = read(
        tmp_path, write({"a": [1.0, 2.0], "b": [float("nan"), 1.0], "c": [float("inf"), 1.0], "d": [3.0, 4.0]})
    )
    assert (found.words, found.skipped) == (("a", "d"), 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 and so on", "a ZIP archive. Unpack it first"),
        (b"a story of some words\nwithout a number\n", "it is in another format"),
        (b"id,text\n1,abc\n", "it is in another format"),
        (bytes(range(128, 256)) * 40, "it is in another format"),
        (b"3 2\na 1 2\n", "expected 3 words"),
        (b"2 2\na 1 2\nb 3\n", "2 numbers in line 3"),
        (b"a 1 2\nb 3 4\nc 5 6 7\n", "2 numbers in line 3"),
        (b"a 1 2\nb 3 4\nc 5", "2 numbers in line 3"),
        (b"0 5\n", "its first line says 0 and 5"),
        (b"999999999 300\nabc \x01\x02", "only 20 bytes"),
        (binary(VECTORS)[:-9], "the file is damaged"),
        (gzip.compress(glove(VECTORS), mtime=0)[:-12], "the file cannot be read"),
        (glove({b"\xe9": [1.0, 2.0], b"\xe8": [1.0, 2.0], "a": [1.0, 2.0]}), "only 1 of 3 are"),
        (fasttext(VECTORS, NGRAMS, labels=1), "a classifier with 1 labels"),
        (fasttext(VECTORS, NGRAMS, quantised=True), "they are quantised"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize("size", [70, 100, 150, 200, 250])
def test_fasttext_files_that_are_cut_short_are_refused(tmp_path: Path, size: int, newer: bool) -> None:
    whole = fasttext(VECTORS, NGRAMS, newer=newer)
    assert size < len(whole)
    with pytest.raises(TrainingError, match="cut short or damaged"):
        read(tmp_path, whole[:size])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No such file"):
        load_vectors(tmp_path / "gone")


# Vocabularies


def tokens(words: list[str], text: str) -> list[str]:
    found: list[str] = vocabulary(words).tokenizer.encode(text).tokens
    return found


def test_ids_are_padding_the_unknown_word_and_the_words_in_order() -> None:
    found = vocabulary(["the", "cat", ","])
    assert found.tokens == ("[PAD]", "[UNK]", "the", "cat", ",")
    assert found.rows.tolist() == [0, 1, 2]
    assert found.tokenizer.encode("the dog, the cat").ids == [2, 1, 4, 2, 3]


def test_a_vocabulary_in_lower_case_reads_texts_in_lower_case() -> None:
    assert tokens(["the", "cat"], "The CAT") == ["the", "cat"]


def test_a_cased_vocabulary_tells_case_apart() -> None:
    assert tokens(["us", "US", "The"], "The US us THE") == ["The", "US", "us", "[UNK]"]


def test_accents_are_taken_off_where_the_vocabulary_has_none() -> None:
    assert tokens(["naive", "cafe"], "na\u00efve cafe\u0301") == ["naive", "cafe"]


def test_accents_stay_where_the_vocabulary_has_some() -> None:
    assert tokens(["naive", "caf\u00e9"], "na\u00efve cafe\u0301") == ["[UNK]", "caf\u00e9"]


def test_words_with_marks_inside_are_found_whole_and_unknown_ones_apart() -> None:
    words = ["co-founder", "co", "owner", "-", "1,000", "3"]
    assert tokens(words, "Co-founder, co-owner 1,000 x1,0003") == [
        *("co-founder", "[UNK]", "co", "-", "owner", "1,000"),
        *("[UNK]", "[UNK]", "[UNK]"),
    ]


def test_words_that_no_text_can_hold_get_no_id() -> None:
    assert vocabulary(["a", "</s>", "two words", ""]).tokens == ("[PAD]", "[UNK]", "a")


def test_of_words_that_read_the_same_the_first_counts() -> None:
    found = vocabulary(["cafe\u0301", *"bcdefghij" * 12, "caf\u00e9"])
    assert found.tokens[2] == "caf\u00e9"
    assert found.rows[0] == 0


def test_a_vocabulary_without_a_usable_word_is_refused() -> None:
    with pytest.raises(TrainingError, match="can occur in a text; got none"):
        vocabulary(["</s>", " "])


def test_a_texts_tokens_are_those_of_its_words_one_after_another() -> None:
    tokenizer = vocabulary(["don't", "well-known", "u", ".", "s", "caf\u00e9", "a"]).tokenizer
    text = "Don't\u00a0say well-known\twell-knowns\nU.S. cafe\u0301  a-a"
    assert tokenizer.encode(text).ids == [id for word in text.split() for id in tokenizer.encode(word).ids]


def test_coverage_counts_words_but_no_punctuation() -> None:
    found = coverage(["The cat, the dog.", "A dog!\nA cow?"], vocabulary(["the", "cat", "."]))
    assert (found.tokens, found.known_tokens, found.words, found.known_words) == (8, 3, 5, 2)
    assert found.unknown == (("a", 2), ("dog", 2), ("cow", 1))
    assert (found.token_share, found.word_share) == (0.375, 0.4)


def test_coverage_of_no_text_is_nothing() -> None:
    found = coverage(["", " \n"], vocabulary(["the"]))
    assert (found.tokens, found.words, found.token_share, found.word_share) == (0, 0, 0.0, 0.0)


def test_coverage_grows_by_words_that_become_known() -> None:
    found = coverage(["the dog and the dog"], vocabulary(["the"])).with_known({"dog"})
    assert (found.known_tokens, found.known_words, found.unknown) == (4, 2, (("and", 1),))


def test_coverage_reads_texts_that_cannot_be_written_as_utf8() -> None:
    assert coverage(["the \ud800 cat"], vocabulary(["the", "cat"])).known_tokens == 2
