"""Assembling: from where each word was found to a segment, with rows by word and by stem.

A word in a document at a position is one number of 64 bits, so sorting such numbers groups words by document.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words.bm25 import TITLE_WEIGHT
from docsim.engine.words.segment import Segment, hashes, stem_hashes
from docsim.text.languages import LANGUAGES, language_of_script
from docsim.text.stemming import stems

__all__ = ["MOST_DOCUMENTS", "Documents", "Occurrences", "assembled"]

MOST_DOCUMENTS = 65_536
"""A segment is made of at most so many documents at a time."""

_DOCUMENT, _POSITION = np.uint64(16), np.uint64(24)  # bits of a number below those of the word
_FARTHEST = (1 << 24) - 1  # positions beyond are not told apart

Ints = NDArray[np.int64]
Narrow = NDArray[np.int32]
"""Of rows there may be millions, and each array of them is one of many."""


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a segment, each in its slot.

    Attributes:
        texts: Number and first passage number of each, ``int64 (documents, 2)``.
        lengths: How many words each has, ``int64 (documents,)``.
        titles: How many of them are in its title, ``int64 (documents,)``.
        languages: Places in ``docsim.text.languages.LANGUAGES``, ``uint8 (documents,)``.
    """

    texts: Ints
    lengths: Ints
    titles: Ints
    languages: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Where each word was found: its number, the document's slot, and the position, ``int64 (n,)`` each."""

    term: Ints
    slot: Ints
    position: Ints


@dataclass(frozen=True, slots=True)
class _Rows:
    """A row for each word in a document, by ascending hash of the word and then by slot.

    Attributes:
        term: The word, counted by ascending hash, ``int32 (rows,)``.
        slot: The document, ``int32 (rows,)``.
        weights: How often that holds the word, those in the title counting more, ``int32 (rows,)``.
        counts: How often it holds the word, ``int32 (rows,)``.
        begin: Where its positions begin, ``int64 (rows + 1,)``; the last is where all end.
        position: Where, ``uint32 (words found,)``, ascending in each row.
    """

    term: Narrow
    slot: Narrow
    weights: Narrow
    counts: Narrow
    begin: Ints
    position: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class _Stemmed:
    """Rows of stems, by ascending hash of the stem, and where those of each start and end; some are those of a word."""

    hashes: NDArray[np.uint64]
    starts: Ints
    ends: Ints
    slots: Narrow
    weights: Narrow


def assembled(documents: Documents, found: Iterable[Occurrences], terms: list[str], *, count: int) -> Segment:
    """Return the segment of some documents.

    Args:
        documents: The documents, by ascending first passage number.
        found: The words found in them, by their place in ``terms``, some at a time.
        terms: Different folded words.
        count: How many words were found.
    """
    hashed = hashes(terms)
    order = np.argsort(hashed)
    rows = _rows(found, count, _ranks(order), documents.titles)
    starts = np.searchsorted(rows.term, np.arange(len(terms) + 1))
    stemmed = _stemmed([terms[i] for i in order], rows, starts, documents.languages)
    forms = sorted(one.encode("utf-8", "surrogatepass") for one in terms)
    return Segment(
        numbers=documents.texts[:, 0],
        firsts=documents.texts[:, 1],
        lengths=documents.lengths.astype(np.int32),
        titles=documents.titles.astype(np.int32),
        languages=documents.languages,
        exact=hashed[order],
        starts=starts,
        places=rows.begin[starts],
        stems=stemmed.hashes,
        stem_starts=stemmed.starts,
        stem_ends=stemmed.ends,
        slots=np.concatenate([rows.slot, stemmed.slots]),
        weights=_smallest(np.concatenate([rows.weights, stemmed.weights])),
        counts=_smallest(rows.counts),
        positions=_smallest(rows.position),
        forms=np.frombuffer(b"".join(forms), np.uint8),
        form_starts=np.cumsum([0, *map(len, forms)]),
    )


def _ranks(order: Ints) -> Ints:
    """Return the place in a sorted list of each of its values, given the order that sorts them."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _smallest(values: Narrow | NDArray[np.uint32]) -> NDArray[np.unsignedinteger[Any]]:
    """Return unsigned numbers in 16 bits each where they fit, else in 32."""
    return values.astype(np.uint16 if not len(values) or values.max() < 1 << 16 else np.uint32)


def _rows(found: Iterable[Occurrences], count: int, ranks: Ints, titles: Ints) -> _Rows:
    """Group words by document.

    Args:
        found: The words, some at a time.
        count: How many they are.
        ranks: The place of each among all by ascending hash.
        titles: How many words the title of each document has.
    """
    keys, done = np.empty(count, np.uint64), 0  # of a text of a gigabyte, every array is one of gigabytes
    for one in found:
        keys[done : done + len(one.term)] = _keys(one, ranks)
        done += len(one.term)
    keys.sort()
    position = keys.astype(np.uint32) & np.uint32(_FARTHEST)
    keys >>= _POSITION
    begin = _changes(keys)
    rows = keys[begin]
    del keys
    slot = _slots(rows)
    term = (rows >> _DOCUMENT).astype(np.int32)
    del rows
    counts = np.diff(begin, append=count).astype(np.int32)
    in_title = position < np.repeat(titles.astype(np.uint32)[slot], counts)
    weights = counts + (TITLE_WEIGHT - 1) * _sums(in_title, begin)
    return _Rows(term, slot, weights, counts, np.append(begin, count), position)


def _keys(found: Occurrences, ranks: Ints) -> NDArray[np.uint64]:
    keys = ranks[found.term].astype(np.uint64) << (_DOCUMENT + _POSITION)
    keys |= found.slot.astype(np.uint64) << _POSITION
    keys |= np.minimum(found.position, _FARTHEST).astype(np.uint64)
    return keys


def _changes(values: NDArray[np.uint64]) -> Ints:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.zeros(0, np.int64)


def _slots(rows: NDArray[np.uint64]) -> Narrow:
    return rows.astype(np.int32) & np.int32(MOST_DOCUMENTS - 1)


def _sums(values: NDArray[Any], begin: Ints) -> Narrow:
    """Return the sum of each run of values, given where each begins."""
    sums: Narrow = np.add.reduceat(values, begin, dtype=np.int32) if len(begin) else np.zeros(0, np.int32)
    return sums


def _stemmed(terms: list[str], rows: _Rows, starts: Ints, languages: NDArray[np.uint8]) -> _Stemmed:
    """Group rows by the stems of their words, in the language of their documents.

    Args:
        terms: The words, by ascending hash.
        rows: Their rows.
        starts: Where those of each word start.
        languages: The language of each document.
    """
    keys = rows.term.astype(np.int64) * len(LANGUAGES) + languages[rows.slot]
    pairs = np.unique(keys)
    each = np.searchsorted(pairs, keys).astype(np.int32)
    del keys
    words = pairs // len(LANGUAGES)
    names, found = _stems_of(terms, words, pairs % len(LANGUAGES))
    hashed = stem_hashes(names)
    order = np.argsort(hashed)
    of_pair = _ranks(order).astype(np.int32)[found]
    begin, end = _alone(of_pair, words, starts, len(names))
    owned = begin == end
    stem = of_pair[each]
    del each
    mine = owned[stem]
    owner, slots, weights = _stem_rows(stem[mine], rows.slot[mine], rows.weights[mine])
    bounds = np.searchsorted(owner, np.arange(len(names) + 1)) + len(rows.term)
    begin[owned], end[owned] = bounds[:-1][owned], bounds[1:][owned]
    return _Stemmed(hashed[order], begin, end, slots, weights)


def _alone(of_pair: Narrow, words: Ints, starts: Ints, count: int) -> tuple[Ints, Ints]:
    """Return where the rows start and end of each stem that stands for one word only, which are the word's own.

    Both are 0 for all other stems, which get rows of their own.

    Args:
        of_pair: The stem of each pair of a word and a language.
        words: The word of each pair.
        starts: Where the rows of each word start.
        count: How many stems there are.
    """
    stem, word = np.unique(np.stack([of_pair, words]), axis=1)
    words_of_stem = np.bincount(stem, minlength=count)
    stems_of_word = np.bincount(word, minlength=len(starts) - 1)
    alone = (words_of_stem[stem] == 1) & (stems_of_word[word] == 1)
    begin, end = np.zeros(count, np.int64), np.zeros(count, np.int64)
    begin[stem[alone]], end[stem[alone]] = starts[word[alone]], starts[word[alone] + 1]
    return begin, end


def _stem_rows(stem: Narrow, slot: Narrow, weights: Narrow) -> tuple[Ints, Narrow, Narrow]:
    """Return one row for each stem in a document: the stem, ascending, the slot, and the sum of the weights."""
    keys = (stem.astype(np.uint64) << np.uint64(40)) | (slot.astype(np.uint64) << np.uint64(24))
    keys |= np.minimum(weights, _FARTHEST).astype(np.uint64)
    keys.sort()
    rows = keys >> np.uint64(24)
    begin = _changes(rows)
    summed = _sums((keys & np.uint64(_FARTHEST)).astype(np.int32), begin)
    return (rows[begin] >> np.uint64(16)).astype(np.int64), _slots(rows[begin]), summed


def _stems_of(
    terms: list[str], words: NDArray[np.int64], languages: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """Return different stems, and which of them each word has in a language."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, (word, language) in enumerate(zip(words.tolist(), languages.tolist(), strict=True)):
        groups[language_of_script(terms[word]) or LANGUAGES[language]].append(place)
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    found = np.zeros(len(words), np.int64)
    for language, places in groups.items():
        stemmed = stems([terms[words[place]] for place in places], language)
        found[places] = np.fromiter(map(numbers.__getitem__, stemmed), np.int64, len(places))
    return list(numbers), found
