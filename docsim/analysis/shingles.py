"""Shingles: how much of one text's wording also occurs in another text; rare wording counts for more.

A shingle is a run of three words (Broder 1997, "On the resemblance and containment of documents"). In Chinese and
Japanese, which are written without spaces, each character counts as a word. A shingle weighs log(1 + number of
documents / number of documents that contain it), so those of a template, which many documents contain, count little.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTH", "Overlaps", "Wording", "covered"]

LENGTH = 3
"""The number of words in a shingle."""

# Kana, with its marks but without its punctuation, and Chinese characters
_UNSPACED = (
    "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_PLAIN = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}  # between ASCII words
_AT_ONCE = 1_000_000  # words whose shingles are sorted together
_HALF = np.uint64(32)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio: spreads consecutive numbers


class Overlaps:
    """The shingles of many texts, for comparing pairs of them.

    Attributes:
        counts: How many different shingles each text has, int64 ``(texts,)``; 0 for a text without words.
        shingles: Those of text after text that other texts have too, as numbers from 0, ascending within each text,
            int64 ``(shingles,)``. Most shingles are in one text only, and no text shares them.
        starts: Where each text's shingles start, int64 ``(texts + 1,)``.
        weights: What each shingle weighs, by its number, float64.
        sums: The weights of each text's shingles together, float64 ``(texts,)``.
        common: The weights of those that other texts have too, float64 ``(texts,)``.
    """

    counts: NDArray[np.int64]

    def __init__(self, texts: Iterable[str]) -> None:
        """Read the texts as a stream, once."""
        found = list(_shingles(texts))
        count = sum(len(counts) for counts, _ in found)
        self.counts = np.concatenate([np.zeros(0, np.int64), *(counts for counts, _ in found)])
        hashes = np.concatenate([np.zeros(0, np.uint32), *(each for _, each in found)])
        _, every, documents = np.unique(hashes, return_inverse=True, return_counts=True)
        weights = np.log1p(count / documents)
        texts_of = np.repeat(np.arange(count), self.counts)
        sums = np.bincount(texts_of, weights=weights[every], minlength=count)
        self.sums: NDArray[np.float64] = np.maximum(sums, 1e-12)
        common = documents > 1
        kept = common[every]
        self.shingles: NDArray[np.int64] = (np.cumsum(common) - 1)[every[kept]]
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(texts_of[kept], minlength=count))])
        self.weights: NDArray[np.float64] = weights[common]
        self.common = np.bincount(texts_of[kept], weights=weights[every[kept]], minlength=count)

    def at_most(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return bounds of what ``of`` returns for pairs of different texts, in a moment, in [0, 1]."""
        bounds: NDArray[np.float64] = self.common[pairs].min(axis=1, keepdims=True) * (1 + 1e-9) / self.sums[pairs]
        return np.minimum(bounds, 1.0)

    def of(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how much of each text of a pair occurs in the other, by the weights of their shingles.

        Args:
            pairs: The positions of two texts each, int64 ``(pairs, 2)``.

        Returns:
            The share of the first text that occurs in the second, and of the second in the first: float64
            ``(pairs, 2)``, in [0, 1].
        """
        shared = np.zeros(len(pairs))
        order = np.argsort(pairs[:, 0], kind="stable")
        firsts = np.flatnonzero(np.diff(pairs[order, 0], prepend=-1)).tolist()
        weights = np.zeros(len(self.weights))  # of the shingles of one text
        for start, end in pairwise([*firsts, len(pairs)]):
            some = order[start:end]
            own = self._of(int(pairs[some[0], 0]))
            weights[own] = self.weights[own]
            shared[some] = self._sums(weights, pairs[some, 1])
            weights[own] = 0
        itself = (pairs[:, 0] == pairs[:, 1]) & (self.counts[pairs[:, 0]] > 0)
        shared[itself] = self.sums[pairs[itself, 0]]  # with shingles that no other text has
        shares: NDArray[np.float64] = np.minimum(shared[:, None] / self.sums[pairs], 1.0)
        return shares

    def _of(self, text: int) -> NDArray[np.int64]:
        return self.shingles[self.starts[text] : self.starts[text + 1]]

    def _sums(self, weights: NDArray[np.float64], texts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the shingles of each of some texts weigh together, float64 ``(texts,)``."""
        found = [weights[self._of(text)] for text in texts.tolist()]
        return np.fromiter((one.sum() for one in found), np.float64, len(found))


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
    text = text.casefold()
    if text.isascii():
        return text.translate(_PLAIN).split()
    found: list[str] = []
    for plain, lines in groupby(text.split("\n"), str.isascii):  # most lines of most texts are ASCII
        joined = "\n".join(lines)
        found += joined.translate(_PLAIN).split() if plain else _WORD.findall(joined)
    return found


def _shingles(texts: Iterable[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint32]]]:
    """Yield, for some texts at a time, how many distinct shingles each has, and their hashes, ascending in each."""
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new word gets the next number
    words: list[NDArray[np.uint64]] = []
    total = 0
    for text in texts:
        found = _words(text)
        words.append(np.fromiter(map(numbers.__getitem__, found), np.uint64, len(found)))
        total += len(found)
        if total >= _AT_ONCE or len(words) >= _AT_ONCE:
            yield _distinct(words)
            words, total = [], 0
    if words:
        yield _distinct(words)


def _distinct(words: list[NDArray[np.uint64]]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return how many distinct shingles each of some texts has, and their hashes. A text shorter than one is one."""
    owners = np.repeat(np.arange(len(words), dtype=np.uint64), list(map(len, words)))
    inside = owners[: max(0, len(owners) - LENGTH + 1)] == owners[LENGTH - 1 :]
    keys = [_keys(owners[: len(inside)][inside], _runs(np.concatenate(words), LENGTH)[inside])]
    for place, each in enumerate(words):
        if 0 < len(each) < LENGTH:
            keys.append(_keys(np.uint64(place), _runs(each, len(each))))
    sorted_keys = np.sort(np.concatenate(keys))
    distinct = sorted_keys[np.flatnonzero(np.diff(sorted_keys, prepend=sorted_keys[:1] + np.uint64(1)))]
    counts = np.bincount((distinct >> _HALF).astype(np.int64), minlength=len(words))
    return counts, distinct.astype(np.uint32)


def _keys(owners: NDArray[np.uint64] | np.uint64, runs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a key for each shingle: the place of its text, and half of its hash."""
    keys: NDArray[np.uint64] = (owners << _HALF) | (runs >> _HALF)
    return keys


def _runs(words: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return a hash of each run of ``length`` words, in order."""
    hashes = np.zeros(max(0, len(words) - length + 1), np.uint64)
    for place in range(length):
        hashes = (hashes + words[place : place + len(hashes)] + np.uint64(1)) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes
