"""Query terms: the words and phrases to search for, given a question or a whole document.

A query is split into words. An identifier, in whichever style it is written, also becomes a phrase of its parts, the
parts themselves and the parts run together, so that ``readFile``, ``read_file`` and "read file" find each other. The
words of a short query are run together as well, since an identifier may be written that way.

Counting and scoring frequent words takes long and tells little. So a query is asked by its most telling terms first,
and frequent ones are added only when more documents are wanted than the telling ones find.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.models import Document

__all__ = ["QueryTerms", "query_terms"]

REPEATED = 0.7
"""A term that a query holds n times weighs n to this power; measured, see docs/research/ranking.md."""

MOST_TERMS = 80
"""A query is asked by at most this many terms, the most telling ones; measured, see docs/research/ranking.md."""

MOST_ROWS = 10_000
"""The telling terms together occur in at most this many documents; more frequent terms are left for later."""

MOST_COUNTED = 2_000
"""At most this many different terms of a query are looked up: those it repeats most, then those that come first."""

MOST_JOINED = 6
"""Neighbouring words are run together only in queries of up to this many words; see docs/research/ranking.md."""

_RUN_LENGTHS = (2, 3, 4)
"""How many neighbouring words are run together."""

_MOST_PARTS = 8  # of an identifier; a longer one is asked for by its words alone
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """What to search for, the most telling terms first.

    Attributes:
        telling: What to search for at first.
        frequent: What to add when the telling terms do not find enough.
    """

    telling: tuple[QueryTerm, ...]
    frequent: tuple[QueryTerm, ...]


@dataclass(frozen=True, slots=True)
class _Counted:
    """A term that documents hold.

    Attributes:
        term: The term, with its weight.
        documents: How many hold it, at least 1. Counting may have stopped above ``MOST_ROWS``.
        worth: How much it tells about the query: occurrences times rarity (tf-idf).
    """

    term: QueryTerm
    documents: int
    worth: float


def query_terms(snapshot: Snapshot, document: Document) -> QueryTerms:
    """Return the terms to search for to find what a text is about.

    Args:
        snapshot: Where the documents that hold a term are counted.
        document: The query; its title and its text count.
    """
    chunks = [_WORD.findall(chunk) for chunk in _CHUNK.findall(f"{document.title}\n{document.text}")]
    found = Counter(_phrases(chunks))
    joined = list(_joined(chunks))
    if joined and any(snapshot.frequencies([QueryTerm(words) for words in joined], at_most=1)):  # seldom
        found.update(joined)
    counted = found.most_common(MOST_COUNTED)
    # With few enough terms all of them are asked, so how frequent a frequent one is does not matter.
    at_most = MOST_ROWS + 1 if len(counted) <= MOST_TERMS else None
    matching = _matching(snapshot, counted, at_most=at_most)
    if at_most and all(one.documents >= at_most for one in matching):
        matching = _matching(snapshot, counted, at_most=None)  # the rarest of them is asked for, so it has to be known
    return _parted(sorted(matching, key=_order)[:MOST_TERMS])


def _order(one: _Counted) -> tuple[float, tuple[str, ...]]:
    """Sort by worth, then by words, a phrase before its first words: it tells more than they do."""
    return -one.worth, (*one.term.words, chr(sys.maxunicode))


def _matching(snapshot: Snapshot, counted: Sequence[tuple[Words, int]], *, at_most: int | None) -> list[_Counted]:
    """Return the terms that documents hold, given how many times each is in the query."""
    total = snapshot.counts().documents
    terms = [QueryTerm(words, float(times**REPEATED)) for words, times in counted]
    frequencies = snapshot.frequencies(terms, at_most=at_most)
    return [
        _Counted(term, documents, times * _rarity(documents, total))
        for term, (_, times), documents in zip(terms, counted, frequencies, strict=True)
        if documents
    ]


def _rarity(documents: int, total: int) -> float:
    """Return the inverse document frequency of BM25 for a term that ``documents`` of ``total`` hold; 0 from half on."""
    return max(0.0, math.log((total - documents + 0.5) / (documents + 0.5)))


def _parted(terms: Sequence[_Counted]) -> QueryTerms:
    """Part telling from frequent terms: the telling ones, at least one, are together rare enough."""
    by_frequency = sorted(terms, key=lambda one: one.documents)
    rows = np.cumsum([one.documents for one in by_frequency])
    telling = set(by_frequency[:1]) | {
        one for one, sum in zip(by_frequency, rows, strict=True) if sum <= MOST_ROWS and one.worth > 0
    }
    return QueryTerms(
        tuple(one.term for one in terms if one in telling), tuple(one.term for one in terms if one not in telling)
    )


def _phrases(chunks: Iterable[Sequence[str]]) -> Iterator[Words]:
    """Yield the terms of a text, given the words of each run of characters without blanks."""
    for words in chunks:
        parts = [part for word in words for part in _HUMP.split(word)]
        if len(parts) == 1:
            yield (parts[0].lower(),)
        elif len(parts) > 1:
            yield from _identifier([word.lower() for word in words], [part.lower() for part in parts])


def _joined(chunks: Sequence[Sequence[str]]) -> Iterator[Words]:
    """Yield neighbouring words of a short text run together, which may be how an identifier is written."""
    for length in _RUN_LENGTHS if len(chunks) <= MOST_JOINED else ():
        for start in range(len(chunks) - length + 1):
            run = chunks[start : start + length]
            if all(len(words) == 1 for words in run):
                yield ("".join(words[0].lower() for words in run),)


def _identifier(words: list[str], parts: list[str]) -> Iterator[Words]:
    """Yield what finds an identifier: its parts in a row, its parts run together, and its words."""
    if len(parts) > _MOST_PARTS:
        yield from ((word,) for word in words)
        return
    together = "".join(parts)
    yield tuple(parts)
    yield (together,)
    for word in words:
        if len(word) > 1 and not word.isdecimal() and word != together:
            yield (word,)
