"""Sorted words: the words of a segment in the order of their bytes, so that those with a beginning lie together."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words.segment import Segment

__all__ = ["at", "beginning", "encoded", "every"]


def encoded(word: str) -> bytes:
    """Return a word as segments keep it."""
    return word.encode("utf-8", "surrogatepass")


def every(segment: Segment) -> list[bytes]:
    """Return the words of a segment, UTF-8, sorted."""
    return _between(segment, 0, len(segment.form_starts) - 1)


def beginning(segment: Segment, prefix: str) -> list[str]:
    """Return the words of a segment that begin with a folded one, sorted."""
    wanted = encoded(prefix)
    low, high = _place(segment, wanted), _place(segment, wanted + b"\xff")  # a byte that UTF-8 never has
    return [one.decode("utf-8", "surrogatepass") for one in _between(segment, low, high)]


def at(segment: Segment, places: NDArray[np.int64]) -> list[str]:
    """Return the words at some places."""
    pairs = zip(segment.form_starts[places].tolist(), segment.form_starts[places + 1].tolist(), strict=True)
    return [segment.forms[start:end].tobytes().decode("utf-8", "surrogatepass") for start, end in pairs]


def _place(segment: Segment, wanted: bytes) -> int:
    """Return how many words come before some bytes."""
    starts, content = segment.form_starts, segment.forms
    return bisect_left(
        range(len(starts) - 1), wanted, key=lambda place: content[starts[place] : starts[place + 1]].tobytes()
    )


def _between(segment: Segment, low: int, high: int) -> list[bytes]:
    starts = segment.form_starts[low : high + 1]
    content = segment.forms[starts[0] : starts[-1]].tobytes()
    return [content[start:end] for start, end in pairwise((starts - starts[0]).tolist())]
