"""Filtering: the documents that meet a condition. SQL compares metadata and ids, the words index looks up words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.store import Store
from docsim.engine.words import phrases
from docsim.engine.words.index import WordIndex
from docsim.filters.condition import All, Condition, Either, Holds, Not, asks_for_words

__all__ = ["meeting"]

Firsts = NDArray[np.int64]
"""The first passage numbers of documents, ``int64 (n,)``, ascending."""


def meeting(store: Store, words: Callable[[], WordIndex], condition: Condition) -> Firsts:
    """Return the first passage numbers of the documents that meet a condition, ascending.

    Args:
        store: The database; call this inside ``store.reading()``.
        words: Gives the words of the state that it sees.
        condition: The condition.
    """
    if not asks_for_words(condition):
        return store.meeting(condition)
    match condition:
        case Not(part):
            return np.setdiff1d(words().firsts(), meeting(store, words, part), assume_unique=True)
        case All(parts):
            return reduce(_both, [meeting(store, words, part) for part in _grouped(parts)])
        case Either(parts):
            return np.unique(np.concatenate([meeting(store, words, part) for part in parts]))
        case Holds():
            return words().firsts(phrases.slots(words(), condition))
    raise TypeError(f"{condition} asks about no words")


def _grouped(parts: Sequence[Condition]) -> list[Condition]:
    """Return conditions that together say the same, those that are left to SQL as one."""
    plain = tuple(one for one in parts if not asks_for_words(one))
    return [*([All(plain)] if plain else []), *(one for one in parts if asks_for_words(one))]


def _both(some: Firsts, others: Firsts) -> Firsts:
    return np.intersect1d(some, others, assume_unique=True)
