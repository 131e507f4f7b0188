"""Matches: the documents that hold the terms of a query, and their scores, added up over the terms.

What a document gains for one term is said in ``docsim.engine.words.bm25``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import Numbers, QueryTerm
from docsim.engine.words.index import WordIndex
from docsim.engine.words.term_postings import Held, held
from docsim.text.folding import folded

__all__ = ["Matches", "holds", "matches", "stemmed"]

_FEW = 100_000  # documents: of more, those that match are sorted, instead of counting over all


@dataclass(frozen=True)
class Matches:
    """The documents that hold at least one of some terms; added up when all of them are asked for.

    Attributes:
        index: Where they are.
        held: The documents that hold each of the terms.
        rest: Those that hold further terms, which count for documents whose scores are asked for.
        allowed: Which slots hold documents that may be found, and after them False, ``bool (slots + 1,)``; None for
            all.
    """

    index: WordIndex
    held: tuple[Held, ...]
    rest: tuple[Held, ...] = ()
    allowed: NDArray[np.bool_] | None = None

    @cached_property
    def _found(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        index = self.index
        slots = np.concatenate([np.zeros(0, np.int64), *(one.postings.slots for one in self.held)])
        gained = [one.gained(index, one.postings.slots, one.postings.weights.astype(np.float32)) for one in self.held]
        values = np.concatenate([np.zeros(0, np.float32), *gained])
        if self.allowed is not None:
            kept = self.allowed[slots]
            slots, values = slots[kept], values[kept]
        return _summed(slots, values, len(index.numbers))

    @property
    def slots(self) -> NDArray[np.int64]:
        """Their slots, ascending, ``int64 (n,)``."""
        return self._found[0]

    @property
    def values(self) -> NDArray[np.float32]:
        """Their BM25, ``float32 (n,)``, above 0, higher is better."""
        return self._found[1]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.slots)

    @cached_property
    def documents(self) -> Numbers:
        """Their numbers, in the order of their slots."""
        return self.index.numbers[self.slots]

    def of(self, documents: Numbers) -> NDArray[np.float32]:
        """Return the scores of some documents, ``float32 (n,)``; 0 for those that match nothing."""
        slots = self.index.slots_of(documents)
        known = np.maximum(slots, 0)
        scores = self._summed_at(slots, known)
        for one in self.rest:
            scores = scores + self._gained(one, slots, known)
        return scores

    def _summed_at(self, slots: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float32]:
        if "_found" in self.__dict__:
            return _at(slots, self.slots, self.values)
        sums = np.zeros(len(slots))  # in double precision, as ``_summed`` adds
        for one in self.held:
            sums += self._gained(one, slots, known)
        if self.allowed is not None:
            sums[~self.allowed[slots]] = 0
        return sums.astype(np.float32)

    def _gained(self, one: Held, slots: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float32]:
        return one.gained(self.index, known, _at(slots, one.postings.slots, one.postings.weights))

    def best(self, n: int) -> Numbers:
        """Return the ``n`` documents that match best, best first, ties by number."""
        near = np.arange(len(self.values))
        if n < len(near):  # the best in any order, and everything that ties with the last of them
            near = np.flatnonzero(self.values >= np.partition(self.values, -n)[-n])
        documents = self.documents[near]
        return documents[np.lexsort((documents, -self.values[near]))[:n]]


def _at(slots: NDArray[np.int64], held: NDArray[np.integer], values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the value of each slot, ``float32 (n,)``; 0 for those that are not held."""
    if not len(held):
        return np.zeros(len(slots), np.float32)
    asked = slots.astype(held.dtype)  # else NumPy would convert all that are held
    places = np.minimum(np.searchsorted(held, asked), len(held) - 1)
    return np.where(held[places] == asked, values[places], 0).astype(np.float32)


def matches(
    index: WordIndex, terms: Sequence[QueryTerm], *, rest: Sequence[QueryTerm] = (), allowed: Numbers | None = None
) -> Matches:
    """Return the scores of all documents, or of those allowed, that hold at least one of some terms.

    Args:
        index: What is searched.
        terms: What to search for, each once.
        rest: Terms that find nothing by themselves, and count in the scores of documents.
        allowed: The documents that may be found, ``int64 (n,)``.
    """
    kept = None
    if allowed is not None:
        kept = np.zeros(len(index.numbers) + 1, bool)
        kept[index.slots_of(allowed)] = True
        kept[-1] = False
    return Matches(index, tuple(held(index, terms)), tuple(held(index, rest)), kept)


def holds(index: WordIndex, number: int, terms: Sequence[QueryTerm]) -> NDArray[np.bool_]:
    """Return which of some terms a document holds, ``bool (terms,)``."""
    (slot,) = index.slots_of(np.array([number]))
    found = [any(_has(one.postings.slots, int(slot)) for one in held(index, [term])) for term in terms]
    return np.array(found, np.bool_)


def _has(slots: NDArray[np.integer], slot: int) -> bool:
    place = int(slots.searchsorted(slots.dtype.type(slot)))
    return place < len(slots) and int(slots[place]) == slot


def _summed(
    slots: NDArray[np.int64], values: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each slot once, ascending, and the sum of its values."""
    if count <= _FEW:
        sums = np.bincount(slots, weights=values, minlength=count)
        held = np.flatnonzero(sums > 0)
        return held, sums[held].astype(np.float32)
    held, places = np.unique(slots, return_inverse=True)
    return held, np.bincount(places, weights=values, minlength=len(held)).astype(np.float32)


def stemmed(index: WordIndex, words: Sequence[str]) -> dict[str, str]:
    """Return the stem of each word, folded, in the language of most documents."""
    language = index.languages[0] if index.languages else None
    named = {word: folded(word) for word in words}
    return {word: next(iter(index.stems_of(one, language)), one) for word, one in named.items()}
