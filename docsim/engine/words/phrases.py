"""Phrases: which documents hold some words in a row, and in which part of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words import sorted_words
from docsim.engine.words.index import WordIndex, runs
from docsim.engine.words.segment import Segment, hashes, ragged
from docsim.filters.condition import Holds

__all__ = ["slots"]

Ints = NDArray[np.int64]


def slots(index: WordIndex, asked: Holds) -> Ints:
    """Return the slots of the documents that hold what is asked for, ascending, ``int64 (n,)``."""
    found = [np.zeros(0, np.int64)]
    for segment, alive, base in zip(index.segments, index.alive, index.bases, strict=False):
        held = _in_segment(segment, asked)
        found.append((held if alive is None else held[alive[held]]) + base)
    return np.concatenate(found)


def _in_segment(segment: Segment, asked: Holds) -> Ints:
    words = sorted_words.beginning(segment, asked.words[0]) if asked.beginning else list(asked.words)
    places = _places(segment, words)
    if len(asked.words) == 1:
        places = places[places >= 0]
        held, first = _rows(segment, places) if asked.in_title else (_slots(segment, places), None)
        return np.unique(held if first is None else held[first < segment.titles[held]])
    if (places < 0).any():
        return np.zeros(0, np.int64)
    held, first = runs(segment, places, np.stack([segment.starts[places], segment.starts[places + 1]]))
    title, last = segment.titles[held], first + len(words)
    return np.unique(held[(last <= title) if asked.in_title else (last <= title) | (first >= title)])


def _places(segment: Segment, words: list[str]) -> Ints:
    """Return the place of each word in ``segment.exact``, ``int64 (n,)``; -1 for those that are not there."""
    if not len(segment.exact):
        return np.full(len(words), -1)
    hashed = hashes(words)
    places = np.minimum(np.searchsorted(segment.exact, hashed), len(segment.exact) - 1)
    return np.where(segment.exact[places] == hashed, places, -1)


def _slots(segment: Segment, places: Ints) -> Ints:
    """Return the document of each row of some words."""
    starts, ends = segment.starts[places], segment.starts[places + 1]
    return segment.slots[ragged(starts, ends - starts)].astype(np.int64)


def _rows(segment: Segment, places: Ints) -> tuple[Ints, Ints]:
    """Return the document of each row of some words, and the first position there, ``int64 (n,)`` each."""
    starts, ends = segment.starts[places], segment.starts[places + 1]
    rows = ragged(starts, ends - starts)
    counts = segment.counts[rows].astype(np.int64)
    before = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(places)), ends - starts)
    first_row = np.cumsum(ends - starts) - (ends - starts)
    begin = segment.places[places][owner] + before - before[first_row[owner]] if len(rows) else before
    return segment.slots[rows].astype(np.int64), segment.positions[begin].astype(np.int64)
