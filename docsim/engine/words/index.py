"""The words of one committed state: segments, without the documents that were deleted since.

Rows of deleted documents stay in their segments and do not count. A ``WordIndex`` never changes once it is made, so any
number of threads can ask it while a newer one is prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words import bm25, sorted_words
from docsim.engine.words.bm25 import TITLE_WEIGHT
from docsim.engine.words.letters import Letters
from docsim.engine.words.remembered import LookedUp
from docsim.engine.words.segment import Segment, hashes, ragged, stem_hashes
from docsim.text.languages import LANGUAGES, language_of_script
from docsim.text.stemming import stems

__all__ = ["Postings", "WordIndex", "runs"]

SPOKEN = 0.01
"""A language that at least this share of the documents is in counts when a query may be in any."""

Ranges = NDArray[np.int64]
"""Where rows start and where they end, ``int64 (2, n)``."""

_MOST_PHRASES = 64  # whose rows are remembered


@dataclass(frozen=True, slots=True)
class Postings:
    """The documents that hold a word, a stem or a phrase.

    Attributes:
        slots: Their slots, ascending, signed ``(n,)``; maybe mapped from a file.
        weights: How often each holds it, words in the title counting more, unsigned or ``float32 (n,)``; likewise.
    """

    slots: NDArray[np.signedinteger[Any]]
    weights: NDArray[np.unsignedinteger[Any]] | NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.slots)


NOTHING = Postings(np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True)
class WordIndex:
    """The words of one state.

    Attributes:
        segments: In ascending order of the first passage numbers of their documents.
        digests: Under which each is kept on disk; None for one that is in memory only.
        alive: Which documents of each have not been deleted, ``bool (documents,)``; None if none has been.
        passage: The first passage number of the last document, or one that is known to have no document after it.
        deletion: The sequence number of the last deletion that is taken into account.
        looked_up: What was looked up for queries.
    """

    segments: tuple[Segment, ...] = ()
    digests: tuple[str | None, ...] = ()
    alive: tuple[NDArray[np.bool_] | None, ...] = ()
    passage: int = 0
    deletion: int = 0
    looked_up: LookedUp = field(default_factory=LookedUp, repr=False)
    _phrases: dict[tuple[str, ...], Postings] = field(default_factory=dict, repr=False)

    # Documents

    @cached_property
    def bases(self) -> list[int]:
        """The slot of each segment's first document."""
        return [0, *np.cumsum([len(one) for one in self.segments]).tolist()]

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """The number of the document in each slot, ``int64 (slots,)``."""
        return np.concatenate([np.zeros(0, np.int64), *(one.numbers for one in self.segments)])

    @cached_property
    def lengths(self) -> NDArray[np.float32]:
        """How many words the document in each slot has, ``float32 (slots,)``."""
        return np.concatenate([np.zeros(0, np.float32), *(one.lengths for one in self.segments)]).astype(np.float32)

    @cached_property
    def spoken(self) -> NDArray[np.uint8]:
        """The language of the document in each slot, by its place in ``LANGUAGES``, ``uint8 (slots,)``."""
        return np.concatenate([np.zeros(0, np.uint8), *(one.languages for one in self.segments)])

    @cached_property
    def living(self) -> NDArray[np.bool_] | None:
        """Which slots hold documents that were not deleted, ``bool (slots,)``; None if all do."""
        if all(one is None for one in self.alive):
            return None
        pairs = zip(self.segments, self.alive, strict=True)
        return np.concatenate([np.ones(len(one), bool) if alive is None else alive for one, alive in pairs])

    @cached_property
    def count(self) -> int:
        """The number of documents."""
        return len(self.numbers) if self.living is None else int(self.living.sum())

    @cached_property
    def mean_length(self) -> float:
        """The mean number of words of a document; above 0."""
        lengths = self.lengths if self.living is None else self.lengths[self.living]
        return max(float(lengths.sum(dtype=np.float64)) / max(1, len(lengths)), 1e-9)

    @cached_property
    def norms(self) -> NDArray[np.float32]:
        """What BM25 adds to the occurrences in the document in each slot, ``float32 (slots,)``."""
        return bm25.norms(self.lengths, self.mean_length)

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of the documents that were not deleted, ascending, and their slots."""
        slots = np.arange(len(self.numbers)) if self.living is None else np.flatnonzero(self.living)
        numbers = self.numbers[slots]
        order = np.argsort(numbers, kind="stable")
        return numbers[order], slots[order]

    def slots_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slot of each document, ``int64 (n,)``; -1 for those that are not here."""
        numbers, slots = self._order
        if not len(numbers):
            return np.full(len(documents), -1)
        places = np.minimum(np.searchsorted(numbers, documents), len(numbers) - 1)
        return np.where(numbers[places] == documents, slots[places], -1)

    def firsts(self, slots: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the first passage number of the document in each of some slots, or of all that were not deleted."""
        firsts = np.concatenate([np.zeros(0, np.int64), *(one.firsts for one in self.segments)])
        if slots is not None:
            return firsts[slots]
        return firsts if self.living is None else firsts[self.living]

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The languages of the documents, the commonest first, without those that hardly any is in."""
        counts = np.zeros(len(LANGUAGES), np.int64)
        for one, alive in zip(self.segments, self.alive, strict=True):
            spoken = one.languages if alive is None else one.languages[alive]
            counts += np.bincount(spoken, minlength=len(LANGUAGES))
        order = np.argsort(-counts, kind="stable").tolist()
        return tuple(LANGUAGES[i] for i in order if counts[i] and counts[i] >= SPOKEN * self.count)

    # Words

    def stems_of(self, word: str, language: str | None) -> list[str]:
        """Return what stems a folded word has: in its language, or in those of the documents where it is not known."""
        own = language_of_script(word)
        asked = self.asked(language) if own is None else (own,)
        return list(dict.fromkeys(stem for one in asked for stem in stems([word], one)))

    def asked(self, language: str | None) -> tuple[str, ...]:
        """Return in which languages to look for words in the Latin script of a text in some language."""
        return (language,) if language is not None and language in self.languages else self.languages

    def words(self, asked: Sequence[str]) -> list[Postings]:
        """Return the documents that hold each of some folded words."""
        return self._held(self._word_ranges(asked), len(asked))

    def stems(self, asked: Sequence[str]) -> list[Postings]:
        """Return the documents that hold a word of each of some stems."""
        return self._held(self._stem_ranges(asked), len(asked))

    def word_counts(self, asked: Sequence[str], *, kept: NDArray[np.bool_] | None = None) -> list[int]:
        """Return how many documents hold each of some folded words, all or those in the slots that are kept."""
        return self._counts(self._word_ranges(asked), len(asked), kept)

    def stem_counts(self, asked: Sequence[str]) -> list[int]:
        """Return how many documents hold a word of each of some stems."""
        return self._counts(self._stem_ranges(asked), len(asked))

    def phrase(self, words: tuple[str, ...]) -> Postings:
        """Return the documents that hold some folded words in a row."""
        return self._remembered(words, lambda: self._in_a_row(words))

    def beginning(self, prefix: str) -> Postings:
        """Return the documents that hold a word that begins with a folded one."""
        return self._remembered((prefix, "*"), lambda: self._beginning(prefix))

    def _remembered(self, key: tuple[str, ...], found: Callable[[], Postings]) -> Postings:
        held = self._phrases.get(key)
        if held is None:
            held = found()
            if len(self._phrases) >= _MOST_PHRASES:
                self._phrases.clear()
            self._phrases[key] = held
        return held

    @cached_property
    def letters(self) -> tuple[Letters, ...]:
        """The letters of the words of each segment."""
        return tuple(map(Letters.of, self.segments))

    def _word_ranges(self, asked: Sequence[str]) -> list[Ranges]:
        hashed = hashes(list(asked))
        return [_ranges(one.exact, one.starts[:-1], one.starts[1:], hashed) for one in self.segments]

    def _stem_ranges(self, asked: Sequence[str]) -> list[Ranges]:
        hashed = stem_hashes(list(asked))
        return [_ranges(one.stems, one.stem_starts, one.stem_ends, hashed) for one in self.segments]

    def _counts(self, ranges: Sequence[Ranges], count: int, kept: NDArray[np.bool_] | None = None) -> list[int]:
        counts = np.zeros(count, np.int64)
        masks = self.alive
        if kept is not None:
            masks = tuple(kept[base : base + len(one)] for base, one in zip(self.bases, self.segments, strict=False))
        for segment, alive, (starts, ends) in zip(self.segments, masks, ranges, strict=True):
            if alive is None:
                counts += ends - starts
            else:
                living = alive[segment.slots[ragged(starts, ends - starts)]]
                owners = np.repeat(np.arange(len(starts)), ends - starts)
                counts += np.bincount(owners[living], minlength=len(starts))
        return [int(one) for one in counts]

    def _held(self, ranges: Sequence[Ranges], count: int) -> list[Postings]:
        rows = [pairs.T.tolist() for pairs in ranges]
        return [self._taken([each[i] for each in rows]) for i in range(count)]

    def _taken(self, ranges: Iterable[Sequence[int]]) -> Postings:
        """Return the rows from start to end, one pair for each segment."""
        found = []
        for segment, alive, base, (start, end) in zip(self.segments, self.alive, self.bases, ranges, strict=False):
            if end > start:
                slots, weights = segment.slots[start:end], segment.weights[start:end]
                if alive is not None:
                    kept = alive[slots]
                    slots, weights = slots[kept], weights[kept]
                found.append((slots + np.int64(base) if base else slots, weights))
        return _joined(found)

    def _beginning(self, prefix: str) -> Postings:
        found = []
        for segment, alive, base in zip(self.segments, self.alive, self.bases, strict=False):
            words = hashes(sorted_words.beginning(segment, prefix))
            starts, ends = _ranges(segment.exact, segment.starts[:-1], segment.starts[1:], words)
            rows = ragged(starts, ends - starts)
            times = np.bincount(segment.slots[rows], weights=segment.weights[rows], minlength=len(segment))
            slots = np.flatnonzero(times if alive is None else times * alive)
            found.append((slots + np.int64(base), times[slots].astype(np.float32)))
        return _joined(found)

    def _in_a_row(self, words: tuple[str, ...]) -> Postings:
        found = []
        for segment, alive, base, ranges in zip(
            self.segments, self.alive, self.bases, self._word_ranges(words), strict=False
        ):
            slots, positions = runs(segment, np.searchsorted(segment.exact, hashes(list(words))), ranges)
            if alive is not None:
                slots, positions = slots[alive[slots]], positions[alive[slots]]
            held, counts = np.unique(slots, return_counts=True)
            titles = np.bincount(np.searchsorted(held, slots[positions < segment.titles[slots]]), minlength=len(held))
            found.append((held + np.int64(base), (counts + (TITLE_WEIGHT - 1) * titles).astype(np.float32)))
        return _joined(found)


def _joined(found: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Postings:
    """Return slots and weights of several segments as one; those of a single segment as they are."""
    if not found:
        return NOTHING
    if len(found) == 1:
        return Postings(*found[0])
    return Postings(np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found]))


def _ranges(
    keys: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64], asked: NDArray[np.uint64]
) -> Ranges:
    """Return where the rows of each key start and end, ``int64 (2, n)``; 0 for those that are not there."""
    if not len(keys):
        return np.zeros((2, len(asked)), np.int64)
    places = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    held = keys[places] == asked
    found = np.empty((2, len(asked)), np.int64)
    np.multiply(starts[places], held, out=found[0])
    np.multiply(ends[places], held, out=found[1])
    return found


def runs(segment: Segment, words: NDArray[np.int64], ranges: Ranges) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where some words stand in a row: slots and positions of the first word, ``int64 (n,)`` each.

    Args:
        segment: What is searched.
        words: The place of each word in ``segment.exact``, if it is there.
        ranges: Where its rows start and end; the same place twice if it is not.
    """
    if (ranges[0] == ranges[1]).any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows = [segment.slots[start:end] for start, end in ranges.T.tolist()]
    common = min(rows, key=len)
    for other in rows:
        common = common[np.isin(common, other)] if other is not common else common
    keys: NDArray[np.int64] | None = None
    for place, (word, (start, end), slots) in enumerate(zip(words.tolist(), ranges.T.tolist(), rows, strict=True)):
        counts = segment.counts[start:end].astype(np.int64)
        begins = segment.places[word] + np.cumsum(counts) - counts
        chosen = np.searchsorted(slots, common)
        positions = segment.positions[ragged(begins[chosen], counts[chosen])].astype(np.int64)
        here = (np.repeat(common.astype(np.int64), counts[chosen]) << 32) + positions - place
        keys = here if keys is None else keys[np.isin(keys, here)]
    assert keys is not None
    keys = keys[(keys & 0xFFFFFFFF) < 1 << 31]  # not before the first word of a document
    return keys >> 32, keys & 0xFFFFFFFF
