"""Tokens: texts as runs of token ids, by a Hugging Face ``tokenizers`` file.

For the tokenizers of BERT's family the tokens of a text are those of its words, one word after another: they split at
whitespace before anything else. Words recur, so each distinct one is tokenised once and remembered, which takes a
quarter of the time. What the words of a text are is then decided by ``str.split``, which
also splits at form feeds and six other control characters that BERT's tokenizers delete.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["Token", "Tokeniser", "Tokens", "damped"]

_DAMPING = 0.7  # measured, see docs/training.md

_REMEMBERED_WORDS = 50_000  # some 15 MB; when there are more, all are forgotten
_REMEMBERED_CHARACTERS = 40  # of one word
_WORDS_AT_ONCE = 128  # new ones, as one text
_MARK = " | "  # between them
_FEW_WORDS = 300  # up to here a list is faster than an array

# Code points that cannot be written as UTF-8, which is what the tokenizer reads.
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids of several texts, one after another.

    Attributes:
        ids: int32 ``(tokens,)``.
        starts: Where each text's ids start, int64 ``(texts,)``.
        lengths: How many each text has, at least one, int64 ``(texts,)``.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64], *, padding: int) -> NDArray[np.int32]:
        """Return the ids of some texts, int32 ``(len(rows), longest)``, short ones filled up with ``padding``."""
        lengths = self.lengths[rows].tolist()
        ids = np.full((len(rows), max(lengths)), padding, dtype=np.int32)
        for line, start, length in zip(ids, self.starts[rows].tolist(), lengths, strict=True):
            line[:length] = self.ids[start : start + length]
        return ids


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its id, and the characters ``text[start:end]`` that it stands for; none for a special token.

    ``share`` is how much it counts, in (0, 1]: below 1 where a token that a text repeats counts less each time.
    """

    id: int
    start: int
    end: int
    share: float = 1.0


class Tokeniser:
    """Turns texts into token ids. Safe to call from several threads."""

    def __init__(self, content: str, *, max_tokens: int, empty_id: int, special_tokens: bool, by_word: bool) -> None:
        """Read a ``tokenizer.json``.

        Args:
            content: The file's text.
            max_tokens: Ids of a text that are kept.
            empty_id: Id that stands for a text without any.
            special_tokens: Whether to add the tokenizer's special tokens.
            by_word: Whether a text's ids are those of its words; not together with special tokens.

        Raises:
            Exception: The content is not a tokenizer; the library has no type of its own for it.
        """
        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens, self._empty = max_tokens, [empty_id]
        self._special, self._by_word = special_tokens, by_word
        self._mark = self._tokenizer.token_to_id(_MARK.strip())
        self._remembered: dict[str, list[int]] = {}

    def tokenise(self, texts: Sequence[str]) -> Tokens:
        """Return the ids of ``texts``, each cut at ``max_tokens``; unpaired surrogates count as U+FFFD."""
        if self._by_word:
            words = [text.split() for text in texts]
            if sum(map(len, words)) > _FEW_WORDS:
                return self._of_words(words)
            ids = [list(chain.from_iterable(self._spelled(one)))[: self._max_tokens] for one in words]
        else:
            ids = self._encoded(texts)
        flat, lengths = _flat([one or self._empty for one in ids])
        return Tokens(flat, np.cumsum(lengths) - lengths, lengths)

    def spelled(self, text: str) -> list[Token]:
        """Return the tokens of one text, those that ``tokenise`` gives ids of, and where in it they stand."""
        whole = _SURROGATES.sub("\ufffd", text)
        if self._by_word:
            whole = _SPACE.sub(" ", whole)  # so that words are what they are for ``tokenise``
        encoding = self._tokenizer.encode(whole, add_special_tokens=self._special)
        tokens = [Token(id, *span) for id, span in zip(encoding.ids, encoding.offsets, strict=True)]
        return tokens or [Token(id, 0, 0) for id in self._empty]

    def _of_words(self, texts: Sequence[list[str]]) -> Tokens:
        """Return the ids of many words' texts: each distinct word is looked up once, the rest is NumPy's."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__  # a word that is new gets the next number
        counts = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        words = np.fromiter(map(numbers.__getitem__, chain.from_iterable(texts)), np.int64, int(counts.sum()))
        spelled = self._spelled(list(numbers))
        ids, sizes = _flat([*spelled, self._empty])
        # Spell every word: number i of the result comes from place[i] of the ids of the distinct words.
        starts, each = np.cumsum(sizes) - sizes, sizes[words]
        ends = np.cumsum(each)
        place = np.repeat(starts[words] - ends + each, each)
        place += np.arange(len(place))
        until = np.concatenate([[0], ends])[np.cumsum(counts)]
        lengths = np.diff(until, prepend=0)
        # Texts without tokens share the one id that is put after all others.
        flat = np.concatenate([ids[place], ids[-1:]])
        begins = np.where(lengths > 0, until - lengths, len(place))
        return Tokens(flat, begins, np.clip(lengths, 1, self._max_tokens))

    def _spelled(self, words: list[str]) -> list[list[int]]:
        """Return the ids of each word."""
        remembered = self._remembered
        spelled = list(map(remembered.get, words))
        missing = [place for place, ids in enumerate(spelled) if ids is None]
        if missing:
            found = self._of_new_words([words[place] for place in missing])
            if len(remembered) + len(missing) > _REMEMBERED_WORDS:
                remembered = self._remembered = {}
            for place, ids in zip(missing, found, strict=True):
                spelled[place] = ids
                if len(words[place]) <= _REMEMBERED_CHARACTERS:
                    remembered[words[place]] = ids
        return [ids for ids in spelled if ids is not None]

    def _of_new_words(self, words: list[str]) -> list[list[int]]:
        """Return the ids of each word, from the tokenizer.

        Many words go in as one text with a mark between them, since a text costs more than its words do.
        """
        blocks = [words[start : start + _WORDS_AT_ONCE] for start in range(0, len(words), _WORDS_AT_ONCE)]
        found: list[list[int]] = []
        for block, ids in zip(blocks, self._encoded([_MARK.join(block) for block in blocks]), strict=True):
            ends = [place for place, one in enumerate(ids) if one == self._mark]
            if self._mark is None or len(ends) != len(block) - 1 or len(ids) >= self._max_tokens:
                found += self._encoded(block)  # a word holds the mark, or is very long
            else:
                starts = [0, *(end + 1 for end in ends)]
                found += [ids[start:end] for start, end in zip(starts, [*ends, len(ids)], strict=True)]
        return found

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        """Return what the tokenizer makes of each text; an empty list where it finds nothing."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=self._special)
        except (TypeError, UnicodeEncodeError):  # some text cannot be written as UTF-8
            whole = [_SURROGATES.sub("\ufffd", text) for text in texts]
            encodings = self._tokenizer.encode_batch_fast(whole, add_special_tokens=self._special)
        return [encoding.ids for encoding in encodings]


def damped(block: NDArray[np.int32], *, padding: int) -> NDArray[np.int32]:
    """Let a token that a text repeats count less than once each time: of n occurrences about n ** 0.7 are kept.

    What BM25 and sublinear tf-idf are about (Manning, Raghavan and Schütze 2008, section 6.4.1), as fewer ids.

    Args:
        block: Ids of some texts ``(texts, tokens)``, padded.
        padding: Id that fills short rows, below all others.

    Returns:
        A block of the same shape, each row ascending but for what was replaced by ``padding``: for towers to which the
        order of tokens means nothing.
    """
    ids = np.sort(block, axis=1)
    places = np.arange(ids.shape[1])
    first = np.ones(ids.shape, dtype=np.bool_)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    nth = places - np.maximum.accumulate(np.where(first, places, 0), axis=1)
    counts = np.rint(np.arange(ids.shape[1] + 1) ** _DAMPING)
    return np.where((counts[1:] > counts[:-1])[nth], ids, np.int32(padding))


def _flat(ids: Sequence[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return all ids in one row, and how many each text has."""
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    return np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum())), lengths
