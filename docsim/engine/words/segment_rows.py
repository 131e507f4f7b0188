"""Segment rows: what an engine notes about each segment that counts, and which segments are to be merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words.index import WordIndex
from docsim.engine.words.segment import Segment

__all__ = ["MOST_IN_MEMORY", "STALE", "SegmentRow", "fewer", "merge_start", "without"]

STALE = 0.1
"""A segment is written again when more than this share of its documents was deleted."""

MOST_IN_MEMORY = 8
"""Segments of documents that no stored one covers; of more, one is made."""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment that counts.

    Attributes:
        digest: Its checksum.
        after: It covers the documents whose first passage numbers are above this,
        passage: and not above this.
        deletion: The sequence number of the last deletion that it takes into account.
    """

    digest: str
    after: int
    passage: int
    deletion: int


def without(one: Segment, alive: NDArray[np.bool_] | None, gone: Sequence[int]) -> NDArray[np.bool_] | None:
    """Return which documents of a segment were not deleted.

    Args:
        one: The segment.
        alive: Which were not deleted before, ``bool (documents,)``; None for all.
        gone: First passage numbers of documents that were deleted since, of any segment.

    Returns:
        ``bool (documents,)``; None for all.
    """
    wanted = np.array(gone, np.int64)
    places = np.searchsorted(one.firsts, wanted)
    here = places < len(one)
    places, firsts = places[here], wanted[here]
    places = places[one.firsts[places] == firsts]
    if not len(places):
        return alive
    alive = np.ones(len(one), bool) if alive is None else alive.copy()
    alive[places] = False
    return alive


def fewer(index: WordIndex, made: Callable[[int], Iterable[Segment]]) -> WordIndex:
    """Return an index whose segments in memory are made again, as few, when there are too many of them.

    Args:
        index: Segments on disk, followed by those in memory.
        made: Returns segments of all documents whose first passage numbers are above one.
    """
    kept = next((place for place, digest in enumerate(index.digests) if digest is None), len(index.digests))
    if len(index.digests) - kept <= MOST_IN_MEMORY:
        return index
    again = tuple(made(int(index.segments[kept].firsts[0]) - 1))
    nothing = (None,) * len(again)
    return WordIndex(
        (*index.segments[:kept], *again),
        (*index.digests[:kept], *nothing),
        (*index.alive[:kept], *nothing),
        index.passage,
        index.deletion,
    )


def merge_start(sizes: Sequence[tuple[int, int]]) -> int:
    """Return the place from which segments are to be merged; their number if none are.

    Merged so, each segment is more than twice as large as all that follow it, and few of its documents are deleted.
    Every document is written again only as often as the index doubles.

    Args:
        sizes: For each segment, in order, how many of its documents were not deleted, and how many it holds.
    """
    start, following = len(sizes), 0
    for place in reversed(range(len(sizes))):
        kept, held = sizes[place]
        if kept <= 2 * following or held - kept > STALE * held:
            start = place
        following += kept
    is_fine = len(sizes) - start < 2 and all(held - kept <= STALE * held for kept, held in sizes[start:])
    return len(sizes) if is_fine else start
