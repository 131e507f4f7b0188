"""Postings of terms: which documents hold the terms of a query, and how many do, remembered for later queries.

A query asks about the same words several times, and queries share most of their words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import QueryTerm
from docsim.engine.words import bm25
from docsim.engine.words.index import Postings, WordIndex
from docsim.engine.words.remembered import Word
from docsim.text.languages import LANGUAGES, language_of_script
from docsim.text.stemming import stems

__all__ = ["Held", "frequencies", "held"]


@dataclass(frozen=True, slots=True)
class Held:
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
        gained = bm25.gained(self.weight, times, index.norms[slots])
        return gained if self.shares is None else gained * self.shares[index.spoken[slots]]


def held(index: WordIndex, terms: Sequence[QueryTerm]) -> list[Held]:
    """Return what is added up for some terms: the documents that hold each word, stem and phrase."""
    asked = [_word(index, term) for term in terms]
    known = index.looked_up.parts.some(asked)
    if missing := list(dict.fromkeys(one for one in asked if one is not None and one not in known)):
        found = dict(zip(missing, _parts(index, missing), strict=True))
        known |= index.looked_up.parts.kept(found)
    found_for = (
        [_weighed(index, _several(index, term))] if one is None else known[one]
        for one, term in zip(asked, terms, strict=True)
    )
    return [
        Held(one.postings, term.weight * one.weight, one.shares)
        for term, parts in zip(terms, found_for, strict=True)
        for one in parts
        if len(one.postings)
    ]


def frequencies(index: WordIndex, terms: Sequence[QueryTerm]) -> list[int]:
    """Return how many documents hold each term; where a word has stems in several languages, at most so many."""
    asked = [_word(index, term) for term in terms]
    known = index.looked_up.counts.some(asked)
    if missing := list(dict.fromkeys(one for one in asked if one is not None and one not in known)):
        known |= index.looked_up.counts.kept(dict(zip(missing, _counted(index, missing), strict=True)))
    return [len(_several(index, term)) if one is None else known[one] for one, term in zip(asked, terms, strict=True)]


def _word(index: WordIndex, term: QueryTerm) -> Word | None:
    """Return the word that a term is; None for a phrase or the beginning of words."""
    if len(term.words) > 1 or term.beginning:
        return None
    word = term.words[0]
    if term.exact:
        return word, ()
    own = language_of_script(word)
    return word, index.asked(term.language) if own is None else (own,)


def _several(index: WordIndex, term: QueryTerm) -> Postings:
    """Return the documents that hold a phrase, or a word that begins in some way."""
    return index.beginning(term.words[0]) if term.beginning else index.phrase(term.words)


def _parts(index: WordIndex, asked: Sequence[Word]) -> list[list[Held]]:
    """Return what is added up for each of some words."""
    own = index.words([word for word, _ in asked])
    names, stems_of = _stems(asked)
    of_stem = dict(zip(names, index.stems(names), strict=True))
    return [
        _shared(index, one, postings, [of_stem[stem] for stem in each])
        for one, postings, each in zip(asked, own, stems_of, strict=True)
    ]


def _counted(index: WordIndex, asked: Sequence[Word]) -> list[int]:
    own = index.word_counts([word for word, _ in asked])
    names, stems_of = _stems(asked)
    of_stem = dict(zip(names, index.stem_counts(names), strict=True))
    return [
        max(count, min(index.count, sum(of_stem[stem] for stem in each)))
        for count, each in zip(own, stems_of, strict=True)
    ]


def _stems(asked: Sequence[Word]) -> tuple[list[str], list[list[str]]]:
    """Return the stems of some words, each once, and which of them each word has."""
    found: list[list[str]] = [[]] * len(asked)
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, (_, languages) in enumerate(asked):
        alike.setdefault(languages, []).append(place)
    for languages, places in alike.items():
        words = [asked[place][0] for place in places]
        for place, *each in zip(places, *(stems(words, one) for one in languages), strict=True):
            found[place] = list(dict.fromkeys(each))
    return list(dict.fromkeys(stem for each in found for stem in each)), found


def _shared(index: WordIndex, asked: Word, own: Postings, stems: list[Postings]) -> list[Held]:
    """Return the documents that hold a word or one of its stems, and what they get for it.

    In documents of other languages than were asked for, whose stems are others, the very word counts fully.
    """
    if not any(map(len, stems)):
        return [_weighed(index, own)]
    if len(stems) == 1 and len(own) == len(stems[0]) and own.weights.sum() == stems[0].weights.sum():
        return [_weighed(index, own)]  # no other word has the stem
    word, languages = asked
    served: Iterable[str] = LANGUAGES if language_of_script(word) else languages
    shares = np.array([bm25.EXACT if one in served else 1.0 for one in LANGUAGES], np.float32)
    very = _weighed(index, own)
    return [Held(own, very.weight, shares), *(_weighed(index, one, 1 - bm25.EXACT) for one in stems)]


def _weighed(index: WordIndex, postings: Postings, share: float = 1.0) -> Held:
    """Return documents with a share of the inverse document frequency of BM25."""
    return Held(postings, share * bm25.inverse_document_frequency(len(postings), index.count))
