"""Batching: which texts are encoded together, and by how many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from docsim.threads import Threads

__all__ = ["batches", "chunks", "each"]

_Item = TypeVar("_Item")


def chunks(texts: Sequence[str], size: int) -> Iterator[slice]:
    """Yield slices of ``texts`` that hold about ``size`` characters each."""
    start = characters = 0
    for position, text in enumerate(texts):
        characters += len(text) + 1
        if characters >= size:
            yield slice(start, position + 1)
            start, characters = position + 1, 0
    if start < len(texts):
        yield slice(start, len(texts))


def each(function: Callable[[_Item], None], items: Sequence[_Item], *, workers: int) -> None:
    """Call a function with each item, ``workers`` at a time."""
    workers = min(workers, len(items))
    if workers <= 1:
        for item in items:
            function(item)
    else:
        with Threads(workers, "docsim-encode") as pool:
            list(pool.results(function, items))


def batches(lengths: NDArray[np.int64], most: int, *, unpadded: bool = False) -> Iterator[NDArray[np.int64]]:
    """Yield groups of rows of similar length, or of the same length, shortest first.

    A group has at most ``most`` tokens including padding, unless it is a single row.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    ascending = lengths[order].tolist()
    for position, length in enumerate(ascending):
        is_full = (position - start + 1) * length > most or (unpadded and length > ascending[start])
        if position > start and is_full:
            yield order[start:position]
            start = position
    if start < len(order):
        yield order[start:]
