"""Shingles: how much of one text's wording also occurs in another text; rare wording counts for more.

A shingle is a run of three words (Broder 1997, "On the resemblance and containment of documents"). In Chinese and
Japanese, which are written without spaces, each character counts as a word. A shingle weighs log(1 + number of
documents / number of documents that contain it), so those of a template, which many documents contain, count little.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

__all__ = ["LENGTH", "Overlaps", "Wording", "covered"]

LENGTH = 3
"""The number of words in a shingle."""

# Kana, with its marks but without its punctuation, and Chinese characters
_UNSPACED = (
    "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_TOGETHER = 20_000  # pairs that are compared at a time, which bounds memory
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads consecutive numbers


class Overlaps:
    """The shingles of many texts, for comparing pairs of them.

    Attributes:
        counts: The number of different shingles of each text, int64 ``(texts,)``; 0 for a text without words.
        table: A sparse table, texts by shingles, with the square root of a shingle's weight where a text has it.
        sums: The sum of the weights of each text's shingles, float64 ``(texts,)``.
    """

    counts: NDArray[np.int64]

    def __init__(self, texts: Iterable[str]) -> None:
        """Read the texts as a stream, once."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__  # a new word gets the next number
        found = [_shingles(np.fromiter(map(numbers.__getitem__, _words(text)), np.uint64)) for text in texts]
        self.counts = np.fromiter(map(len, found), np.int64, len(found))
        self.table = _weighted(found)
        self.sums: NDArray[np.float64] = np.maximum(_row_sums(self.table.multiply(self.table)), 1e-12)

    def of(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of each text of a pair occurs in the other, by the weights of their shingles.

        Args:
            pairs: The positions of two texts each, int64 ``(pairs, 2)``.

        Returns:
            The share of the first text that occurs in the second, and of the second in the first: float64
            ``(pairs, 2)``, in [0, 1].
        """
        shares = np.zeros((len(pairs), 2))
        for start in range(0, len(pairs), _TOGETHER):
            some = pairs[start : start + _TOGETHER]
            shared = _row_sums(self.table[some[:, 0]].multiply(self.table[some[:, 1]]))
            shares[start : start + _TOGETHER] = shared[:, None] / self.sums[some]
        return np.minimum(shares, 1.0)


class Wording:
    """The words of one text, prepared for comparing it with many others.

    Attributes:
        words: A hash of each word, uint64 ``(words,)``.
        runs: A hash of each run of ``LENGTH`` words, uint64; empty if there are fewer words.
    """

    def __init__(self, text: str) -> None:
        """Read the text."""
        self.words = np.array([hash(word) for word in _words(text)], np.int64).view(np.uint64)
        self.runs = _runs(self.words, LENGTH)


def covered(one: Wording, other: Wording) -> float:
    """Return the share of a text's words, in [0, 1], that also occur in another one, in runs of at least ``LENGTH``.

    A text shorter than that is covered as a whole or not at all.

    Args:
        one: The text that may be covered.
        other: The text that may cover it.
    """
    length = min(LENGTH, len(one.words))
    if not length:
        return 0.0
    runs, others = (each.runs if length == LENGTH else _runs(each.words, length) for each in (one, other))
    shared = np.isin(runs, others)
    found = np.zeros(len(one.words), bool)
    for place in range(length):
        found[place : place + len(runs)] |= shared
    return float(found.mean())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _shingles(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the hashes of a text's distinct shingles, ascending. A text shorter than a shingle is one."""
    if not len(words):
        return np.zeros(0, np.uint32)
    return np.unique((_runs(words, min(LENGTH, len(words))) >> np.uint64(32)).astype(np.uint32))


def _runs(words: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return a hash of each run of ``length`` words, in order."""
    hashes = np.zeros(max(0, len(words) - length + 1), np.uint64)
    for place in range(length):
        hashes = (hashes + words[place : place + len(hashes)] + np.uint64(1)) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _weighted(found: list[NDArray[np.uint32]]) -> csr_matrix:
    """Return ``Overlaps.table`` for the distinct shingles of each text."""
    from scipy.sparse import csr_matrix

    starts = np.cumsum([0, *map(len, found)])
    hashes = np.concatenate([*found, np.zeros(0, np.uint32)])
    distinct, documents = np.unique(hashes, return_counts=True)
    weights = np.sqrt(np.log1p(len(found) / documents)).astype(np.float32)
    columns = np.searchsorted(distinct, hashes).astype(np.int32)
    return csr_matrix((weights[columns], columns, starts), shape=(len(found), max(1, len(distinct))))


def _row_sums(table: csr_matrix) -> NDArray[np.float64]:
    return np.asarray(table.sum(axis=1, dtype=np.float64)).ravel()
