"""BM25: scores of the documents that hold the terms of a query.

BM25 (Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4)) is a sum over words. A word counts as its stem,
which other words may share, and to a lesser part as itself, so that pages which say "train" come before those which
say "training" when "train" is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.words.index import Postings, WordIndex
from docsim.engine.local.words.weights import EXACT, K1, RAREST, B
from docsim.engine.records import Numbers, QueryTerm
from docsim.text.folding import folded
from docsim.text.languages import LANGUAGES, language_of_script

__all__ = ["Matches", "frequencies", "matches", "stemmed"]

_FEW = 100_000  # documents: of more, those that match are sorted, instead of counting over all


@dataclass(frozen=True, slots=True)
class _Held:
    """Documents that hold a term.

    Attributes:
        postings: The documents.
        weight: How much a match counts.
        shares: What part of that counts in a document, by the place of its language in ``LANGUAGES``; None for all.
    """

    postings: Postings
    weight: float
    shares: NDArray[np.float32] | None = None

    def gained(self, index: WordIndex, slots: NDArray[np.int64], times: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what documents get that hold the term so many times, ``float32 (n,)``."""
        gained = np.float32(self.weight * (K1 + 1)) * times / (times + index.norms(K1, B)[slots])
        return gained if self.shares is None else gained * self.shares[index.spoken[slots]]


@dataclass(frozen=True)
class Matches:
    """The documents that hold at least one of some terms.

    Attributes:
        index: Where they are.
        slots: Their slots, ascending, ``int64 (n,)``.
        values: ``float32 (n,)`` BM25, above 0, higher is better.
        rest: Further terms that count for documents whose scores are asked for.
    """

    index: WordIndex
    slots: NDArray[np.int64]
    values: NDArray[np.float32]
    rest: tuple[_Held, ...] = ()

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
        scores = _at(slots, self.slots, self.values)
        known = np.maximum(slots, 0)
        for one in self.rest:
            scores = scores + one.gained(self.index, known, _at(slots, one.postings.slots, one.postings.weights))
        return scores

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
    held = _held(index, terms)
    slots = np.concatenate([np.zeros(0, np.int64), *(one.postings.slots for one in held)])
    gained = [one.gained(index, one.postings.slots, one.postings.weights.astype(np.float32)) for one in held]
    values = np.concatenate([np.zeros(0, np.float32), *gained])
    if allowed is not None:
        kept = np.zeros(len(index.numbers) + 1, bool)
        kept[index.slots_of(allowed)] = True
        slots, values = slots[kept[slots]], values[kept[slots]]
    return Matches(index, *_summed(slots, values, len(index.numbers)), tuple(_held(index, rest)))


def _summed(
    slots: NDArray[np.int64], values: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each slot once, ascending, and the sum of its values."""
    if count <= _FEW:
        sums = np.bincount(slots, weights=values, minlength=count)
        held = np.flatnonzero(sums)
        return held, sums[held].astype(np.float32)
    held, places = np.unique(slots, return_inverse=True)
    return held, np.bincount(places, weights=values, minlength=len(held)).astype(np.float32)


def _held(index: WordIndex, terms: Sequence[QueryTerm]) -> list[_Held]:
    """Return what is added up for some terms: the documents that hold each word, stem and phrase."""
    single = [term for term in terms if _is_word(term)]
    own = dict(zip(single, index.words([term.words[0] for term in single]), strict=True))
    names, of_term = _stems(index, terms)
    of_stem = dict(zip(names, index.stems(names), strict=True))
    found = []
    for term in terms:
        if not _is_word(term):
            parts = [_weighed(index, _several(index, term))]
        else:
            parts = _shared(index, term, own[term], [of_stem[stem] for stem in of_term.get(term, ())])
        found += [replace(one, weight=term.weight * one.weight) for one in parts if len(one.postings)]
    return found


def _is_word(term: QueryTerm) -> bool:
    """Return whether a term is one word, and neither a phrase nor the beginning of words."""
    return len(term.words) == 1 and not term.beginning


def _several(index: WordIndex, term: QueryTerm) -> Postings:
    """Return the documents that hold a phrase, or a word that begins in some way."""
    return index.beginning(term.words[0]) if term.beginning else index.phrase(term.words)


def _stems(index: WordIndex, terms: Sequence[QueryTerm]) -> tuple[list[str], dict[QueryTerm, list[str]]]:
    """Return the stems of the words among some terms, each once, and which of them each word has."""
    words = [term for term in terms if _is_word(term) and not term.exact]
    of_term = {term: index.stems_of(term.words[0], term.language) for term in words}
    return list(dict.fromkeys(stem for each in of_term.values() for stem in each)), of_term


def _shared(index: WordIndex, term: QueryTerm, own: Postings, stems: list[Postings]) -> list[_Held]:
    """Return the documents that hold a word or one of its stems, and what they get for it.

    In documents of other languages than were asked for, whose stems are others, the very word counts fully.
    """
    if not any(map(len, stems)):
        return [_weighed(index, own)]
    if len(stems) == 1 and len(own) == len(stems[0]) and own.weights.sum() == stems[0].weights.sum():
        return [_weighed(index, own)]  # no other word has the stem
    asked = LANGUAGES if language_of_script(term.words[0]) else index.asked(term.language)
    shares = np.array([EXACT if one in asked else 1.0 for one in LANGUAGES], np.float32)
    very = replace(_weighed(index, own), shares=shares)
    return [very, *(_weighed(index, one, 1 - EXACT) for one in stems)]


def _weighed(index: WordIndex, postings: Postings, share: float = 1.0) -> _Held:
    """Return documents with a share of the inverse document frequency of BM25."""
    held = len(postings)
    return _Held(postings, share * max(RAREST, math.log((index.count - held + 0.5) / (held + 0.5))))


def frequencies(index: WordIndex, terms: Sequence[QueryTerm]) -> list[int]:
    """Return how many documents hold each term; where a word has stems in several languages, at most so many."""
    single = [term for term in terms if _is_word(term)]
    own = dict(zip(single, index.word_counts([term.words[0] for term in single]), strict=True))
    names, of_term = _stems(index, terms)
    of_stem = dict(zip(names, index.stem_counts(names), strict=True))
    return [
        len(_several(index, term))
        if not _is_word(term)
        else max(own[term], min(index.count, sum(of_stem[stem] for stem in of_term.get(term, ()))))
        for term in terms
    ]


def stemmed(index: WordIndex, words: Sequence[str]) -> dict[str, str]:
    """Return the stem of each word, folded, in the language of most documents."""
    language = index.languages[0] if index.languages else None
    named = {word: folded(word) for word in words}
    return {word: next(iter(index.stems_of(one, language)), one) for word, one in named.items()}
