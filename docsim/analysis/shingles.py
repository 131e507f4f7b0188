"""Shingles: how much of a text's wording stands in another text, rare wording counting for more.

A shingle is a run of three words (Broder 1997, "On the resemblance and containment of documents"); a character of
Chinese or Japanese, which are written without spaces, counts as a word. Shingles that many documents hold, such as
those of a template, count for little: each weighs log(1 + documents / documents that hold it).
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
"""Words of a shingle."""

# Kana, with its marks but without its punctuation, and Chinese characters
_UNSPACED = (
    "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_TOGETHER = 20_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads consecutive numbers


class Overlaps:
    """The shingles of many texts, by which pairs of them are compared.

    Attributes:
        counts: How many different shingles each text has, int64 ``(texts,)``; 0 for a text without words.
        table: Texts by shingles, sparse, the square root of a shingle's weight where a text has it.
        sums: The weights of each text's shingles together, float64 ``(texts,)``.
    """

    counts: NDArray[np.int64]

    def __init__(self, texts: Iterable[str]) -> None:
        """Read the texts, once, as a stream."""
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__  # a word that is new gets the next number
        found = [_shingles(np.fromiter(map(numbers.__getitem__, _words(text)), np.uint64)) for text in texts]
        self.counts = np.fromiter(map(len, found), np.int64, len(found))
        self.table = _weighted(found)
        self.sums: NDArray[np.float64] = np.maximum(_row_sums(self.table.multiply(self.table)), 1e-12)

    def of(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of each text of some pairs stands in the other, float64 ``(pairs, 2)``, in [0, 1].

        Args:
            pairs: Places of two texts, int64 ``(pairs, 2)``.
        """
        shares = np.zeros((len(pairs), 2))
        for start in range(0, len(pairs), _TOGETHER):
            some = pairs[start : start + _TOGETHER]
            shared = _row_sums(self.table[some[:, 0]].multiply(self.table[some[:, 1]]))
            shares[start : start + _TOGETHER] = shared[:, None] / self.sums[some]
        return np.minimum(shares, 1.0)


class Wording:
    """The words of one text, to be compared with those of many others.

    Attributes:
        words: A hash of each word, uint64 ``(words,)``.
        runs: A hash of each run of ``LENGTH`` words, uint64; none where there are fewer.
    """

    def __init__(self, text: str) -> None:
        """Read the text."""
        self.words = np.array([hash(word) for word in _words(text)], np.int64).view(np.uint64)
        self.runs = _runs(self.words, LENGTH)


def covered(one: Wording, other: Wording) -> float:
    """Return the share of a text's words, in [0, 1], that stand in the other in runs of at least ``LENGTH``.

    All words of a shorter text, or none, where the other holds it as a whole.
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
    """Return the hashes of a text's shingles, each once, ascending; a shorter text is one shingle."""
    if not len(words):
        return np.zeros(0, np.uint32)
    return np.unique((_runs(words, min(LENGTH, len(words))) >> np.uint64(32)).astype(np.uint32))


def _runs(words: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return a hash of each run of so many words, in order."""
    hashes = np.zeros(max(0, len(words) - length + 1), np.uint64)
    for place in range(length):
        hashes = (hashes + words[place : place + len(hashes)] + np.uint64(1)) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _weighted(found: list[NDArray[np.uint32]]) -> csr_matrix:
    """Return a sparse table, texts by shingles, of the square roots of the shingles' weights."""
    from scipy.sparse import csr_matrix

    starts = np.cumsum([0, *map(len, found)])
    hashes = np.concatenate([*found, np.zeros(0, np.uint32)])
    distinct, documents = np.unique(hashes, return_counts=True)
    weights = np.sqrt(np.log1p(len(found) / documents)).astype(np.float32)
    columns = np.searchsorted(distinct, hashes).astype(np.int32)
    return csr_matrix((weights[columns], columns, starts), shape=(len(found), max(1, len(distinct))))


def _row_sums(table: csr_matrix) -> NDArray[np.float64]:
    return np.asarray(table.sum(axis=1, dtype=np.float64)).ravel()
