"""Letters: which letters each word of a segment has, so that most words are known to differ without comparing them.

The letters of a word are a set of 64 bits, one for each letter modulo 64. One edit takes at most one of them away and
adds at most one. So of two words that are few edits apart, neither has many that the other lacks: a test without false
negatives that takes nanoseconds a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words.segment import Segment

__all__ = ["Letters"]

_AT_A_TIME = 65_536  # words, which bounds memory
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Letters:
    """The letters of words, in their order.

    Attributes:
        masks: The set of each word's letters, ``uint64 (n,)``.
        lengths: How many letters each has, at most 255, ``uint8 (n,)``.
    """

    masks: NDArray[np.uint64]
    lengths: NDArray[np.uint8]

    @classmethod
    def of(cls, segment: Segment) -> Letters:
        """Return the letters of the words of a segment."""
        count = len(segment.form_starts) - 1
        parts = [_of(segment, low, min(low + _AT_A_TIME, count)) for low in range(0, count, _AT_A_TIME)]
        masks = [np.zeros(0, np.uint64), *(one.masks for one in parts)]
        return cls(np.concatenate(masks), np.concatenate([np.zeros(0, np.uint8), *(one.lengths for one in parts)]))

    def near(self, word: str, edits: int) -> NDArray[np.int64]:
        """Return the places of all words that may be so few edits from one, ascending, ``int64 (n,)``."""
        points = np.frombuffer(word.encode("utf-32-le", "surrogatepass"), np.uint32)
        own = np.bitwise_or.reduce(_bits(points))
        length = min(len(word), _LONGEST)
        shortest, longest = max(length - edits, 0), min(length + edits, _LONGEST)
        places: NDArray[np.int64] = np.flatnonzero((self.lengths >= shortest) & (self.lengths <= longest))
        masks = self.masks[places]
        gone, added = np.bitwise_count(own & ~masks) <= edits, np.bitwise_count(masks & ~own) <= edits
        found: NDArray[np.int64] = places[gone & added]
        return found


def _of(segment: Segment, low: int, high: int) -> Letters:
    bounds = segment.form_starts[low : high + 1]
    content = segment.forms[bounds[0] : bounds[-1]]
    first_bytes = (content & 0xC0) != 0x80  # of each character in UTF-8
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(first_bytes)])[bounds - bounds[0]]
    points = np.frombuffer(
        content.tobytes().decode("utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass"), "<u4"
    )
    bits = np.append(_bits(points), np.uint64(0))  # as the last words may have no letters
    masks = np.bitwise_or.reduceat(bits, before[:-1])
    return Letters(masks, np.minimum(np.diff(before), _LONGEST).astype(np.uint8))


def _bits(points: NDArray[np.uint32]) -> NDArray[np.uint64]:
    return np.left_shift(np.uint64(1), (points & np.uint32(63)).astype(np.uint64))
