"""Texts as token ids, by a tokenizer file of the Hugging Face ``tokenizers`` library.

BERT's tokenizers split a text at white space before they do anything else, so the tokens of a text are the tokens of
its words. Most words of a collection occur many times. Each distinct word is therefore tokenized once and remembered,
which is faster. Words are found with ``str.split``, which also splits at form feeds and six other
control characters that BERT's tokenizers delete.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.tokenizer_file import read_tokenizer

__all__ = ["TextTokenizer", "TokenIds", "TokenSpan", "damped"]

_DAMPING = 0.7  # measured, see docs/research/training.md

_REMEMBERED_WORDS = 50_000  # some 15 MB; when there would be more, all are forgotten
_REMEMBERED_CHARACTERS = 40  # longer words are not remembered
_WORDS_AT_ONCE = 128  # new words that are tokenized as one text
_MARK = " | "  # between new words
_FEW_WORDS = 300  # up to this many, lists are faster than arrays

# Unpaired surrogates cannot be written as UTF-8, which the tokenizer reads.
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class TokenIds:
    """The token ids of several texts, one text after another.

    Attributes:
        ids: The ids, int32 ``(tokens,)``.
        starts: The position in ``ids`` of each text's first id, int64 ``(texts,)``.
        lengths: The number of ids of each text, at least one, int64 ``(texts,)``.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64], *, padding: int) -> NDArray[np.int32]:
        """Return the ids of some texts as one block.

        Args:
            rows: The positions of the texts, int64 ``(n,)``, at least one.
            padding: The id that fills up the rows of shorter texts.

        Returns:
            int32 ``(n, longest)``.
        """
        lengths = self.lengths[rows].tolist()
        ids = np.full((len(rows), max(lengths)), padding, dtype=np.int32)
        for line, start, length in zip(ids, self.starts[rows].tolist(), lengths, strict=True):
            line[:length] = self.ids[start : start + length]
        return ids


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """One token of a text.

    Attributes:
        id: The token's id.
        start: Offset of the first character that it stands for.
        end: Offset one past the last character; equal to ``start`` for a special token.
        share: How much the token counts, in (0, 1]. Below 1 for a repeated token, if repeated tokens are damped.
        known: Whether it is in the vocabulary; False for the token that stands for whatever is not.
    """

    id: int
    start: int
    end: int
    share: float = 1.0
    known: bool = True


class TextTokenizer:
    """Turns texts into token ids. Safe to call from several threads."""

    def __init__(self, content: str, *, max_tokens: int, empty_id: int, special_tokens: bool, by_word: bool) -> None:
        """Read a ``tokenizer.json``.

        Args:
            content: The file's text.
            max_tokens: The number of ids of a text that are kept.
            empty_id: The id that stands for a text without any token.
            special_tokens: Whether to add the tokenizer's special tokens.
            by_word: Whether to tokenize each word by itself; cannot be combined with special tokens.

        Raises:
            EncoderError: The content is not a tokenizer, or a damaged one.
        """
        self._tokenizer = read_tokenizer(content)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens, self._empty = max_tokens, [empty_id]
        self._special, self._by_word = special_tokens, by_word
        self._mark = self._tokenizer.token_to_id(_MARK.strip())
        self._remembered: dict[str, list[int]] = {}

    def tokenize(self, texts: Sequence[str]) -> TokenIds:
        """Return the ids of texts, each cut at ``max_tokens``. Unpaired surrogates are read as U+FFFD."""
        if self._by_word:
            words = [text.split() for text in texts]
            if sum(map(len, words)) > _FEW_WORDS:
                return self._tokenize_words(words)
            ids = [list(chain.from_iterable(self._word_ids(one)))[: self._max_tokens] for one in words]
        else:
            ids = self._tokenizer_ids(texts)
        flat, lengths = _flat([one or self._empty for one in ids])
        return TokenIds(flat, np.cumsum(lengths) - lengths, lengths)

    def tokens(self, text: str) -> list[TokenSpan]:
        """Return the tokens of one text, at least one: the same ids as ``tokenize`` gives, with their offsets."""
        whole = _SURROGATES.sub("\ufffd", text)
        if self._by_word:
            whole = _SPACE.sub(" ", whole)  # so that the tokenizer splits where ``tokenize`` does
        encoding = self._tokenizer.encode(whole, add_special_tokens=self._special)
        tokens = [
            TokenSpan(id, start, end, known=id != self._unknown)
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]
        return tokens or [TokenSpan(id, 0, 0) for id in self._empty]

    def unknown_shares(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what share of each text's tokens the vocabulary does not know, ``float32 (texts,)``, in [0, 1].

        A text without tokens is unknown altogether. A vocabulary that spells out every text knows all others.
        """
        tokens = self.tokenize(texts)
        added = self._tokenizer.num_special_tokens_to_add(False) if self._special else 0
        counted = tokens.lengths - added
        unknown = [
            np.count_nonzero(tokens.ids[start : start + length] == self._unknown)
            for start, length in zip(tokens.starts.tolist(), tokens.lengths.tolist(), strict=True)
        ]
        shares = np.array(unknown, np.float32) / np.maximum(counted, 1)
        blank = np.array([not text.strip() for text in texts], np.bool_)
        return np.where(blank | (counted < 1), 1, np.minimum(shares, 1)).astype(np.float32)

    def has_token(self, word: str) -> bool:
        """Return whether one token of the vocabulary stands for a whole word."""
        encoding = self._tokenizer.encode(_SURROGATES.sub("\ufffd", word), add_special_tokens=False)
        return len(encoding.ids) == 1 and encoding.ids[0] != self._unknown

    @cached_property
    def _unknown(self) -> int:
        """The id that stands for whatever the vocabulary does not know; -1 without one."""
        unknown = getattr(self._tokenizer.model, "unk_token", None) or "<unk>"
        id = self._tokenizer.token_to_id(unknown)
        return -1 if id is None else int(id)

    def _tokenize_words(self, texts: Sequence[list[str]]) -> TokenIds:
        """Return the ids of texts, given as words. Each distinct word is looked up once; NumPy does the rest."""
        numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new word gets the next
        counts = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        words = np.fromiter(map(numbers.__getitem__, chain.from_iterable(texts)), np.int64, int(counts.sum()))
        spelled = self._word_ids(list(numbers))
        ids, sizes = _flat([*spelled, self._empty])
        # Id i of all texts together is ids[place[i]], where ids are those of the distinct words, one after another.
        starts, each = np.cumsum(sizes) - sizes, sizes[words]
        ends = np.cumsum(each)
        place = np.repeat(starts[words] - ends + each, each)
        place += np.arange(len(place))
        until = np.concatenate([[0], ends])[np.cumsum(counts)]
        lengths = np.diff(until, prepend=0)
        # Texts without tokens share a single id, which comes after all others.
        flat = np.concatenate([ids[place], ids[-1:]])
        begins = np.where(lengths > 0, until - lengths, len(place))
        return TokenIds(flat, begins, np.clip(lengths, 1, self._max_tokens))

    def _word_ids(self, words: list[str]) -> list[list[int]]:
        """Return the ids of each word, remembered ones without asking the tokenizer."""
        remembered = self._remembered
        spelled = list(map(remembered.get, words))
        missing = [place for place, ids in enumerate(spelled) if ids is None]
        if missing:
            found = self._new_word_ids([words[place] for place in missing])
            if len(remembered) + len(missing) > _REMEMBERED_WORDS:
                remembered = self._remembered = {}
            for place, ids in zip(missing, found, strict=True):
                spelled[place] = ids
                if len(words[place]) <= _REMEMBERED_CHARACTERS:
                    remembered[words[place]] = ids
        return [ids for ids in spelled if ids is not None]

    def _new_word_ids(self, words: list[str]) -> list[list[int]]:
        """Return the ids of words that are not remembered.

        The tokenizer takes longer for many short texts than for one long text, so many words are joined into one text,
        with a mark between them at which the ids are split again.
        """
        blocks = [words[start : start + _WORDS_AT_ONCE] for start in range(0, len(words), _WORDS_AT_ONCE)]
        found: list[list[int]] = []
        for block, ids in zip(blocks, self._tokenizer_ids([_MARK.join(block) for block in blocks]), strict=True):
            ends = [place for place, one in enumerate(ids) if one == self._mark]
            if self._mark is None or len(ends) != len(block) - 1 or len(ids) >= self._max_tokens:
                found += self._tokenizer_ids(block)  # a word contains the mark, or the words were cut at max_tokens
            else:
                starts = [0, *(end + 1 for end in ends)]
                found += [ids[start:end] for start, end in zip(starts, [*ends, len(ids)], strict=True)]
        return found

    def _tokenizer_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids that the tokenizer finds in each text, perhaps none."""
        try:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=self._special)
        except (TypeError, UnicodeEncodeError):  # some text cannot be written as UTF-8
            whole = [_SURROGATES.sub("\ufffd", text) for text in texts]
            encodings = self._tokenizer.encode_batch_fast(whole, add_special_tokens=self._special)
        return [encoding.ids for encoding in encodings]


def damped(block: NDArray[np.int32], *, padding: int) -> NDArray[np.int32]:
    """Reduce repeated tokens: of n occurrences in a text, about n ** 0.7 are kept.

    This is the idea of sublinear tf-idf and BM25 (Manning, Raghavan and Schütze 2008, section 6.4.1), applied to ids.

    Args:
        block: The ids of some texts, int32 ``(texts, tokens)``, padded.
        padding: The id that fills up short rows; it must be lower than all others.

    Returns:
        A block of the same shape. The ids of each row are sorted and those left out replaced by ``padding``, so it is
        only for towers that ignore the order of tokens.
    """
    ids = np.sort(block, axis=1)
    places = np.arange(ids.shape[1])
    first = np.ones(ids.shape, dtype=np.bool_)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    nth = places - np.maximum.accumulate(np.where(first, places, 0), axis=1)
    counts = np.rint(np.arange(ids.shape[1] + 1) ** _DAMPING)
    return np.where((counts[1:] > counts[:-1])[nth], ids, np.int32(padding))


def _flat(ids: Sequence[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return all ids in one array, and the number of ids of each text."""
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    return np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(lengths.sum())), lengths
