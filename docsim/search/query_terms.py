"""Query terms: the words and phrases to search for, given a question or a whole document.

A query is cut into tokens as documents are, see ``docsim.text``. Of an identifier, in whichever style it is written,
its parts are asked for and the parts run together, so that ``readFile``, ``read_file`` and "read file" find each other.
The words of a short query are run together as well, since an identifier may be written that way; what no document holds
is asked for as a phrase of its parts.

Counting and scoring frequent words takes long and helps little. So a search begins with the most characteristic terms
of a query, and adds frequent ones only when it needs more documents than those find.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice, pairwise

import numpy as np

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.models import Document
from docsim.text.languages import SAMPLE, is_small, language_of
from docsim.text.tokens import TokenWords, is_unspaced, token, tokens, without_ends

__all__ = ["QueryTerms", "is_sentence", "is_written_apart", "query_terms", "rarity"]

REPEATED = 0.7
"""A term that a query holds n times weighs n to this power; measured, see docs/research/ranking.md."""

SMALL = 0.25
"""What a small word, such as "how" or "do", weighs beside others; measured, see docs/research/ranking.md."""

MOST_TERMS = 80
"""A query is searched for by so many terms at most, the most characteristic; measured, see docs/research/ranking.md."""

MOST_ROWS = 10_000
"""The telling terms together occur in at most this many documents; more frequent terms are left for later."""

MOST_COUNTED = 2_000
"""At most this many different terms of a query are looked up: those it repeats most, then those that come first."""

MOST_JOINED = 6
"""Neighbouring words are run together only in queries of up to this many words; see docs/research/ranking.md."""

_RUN_LENGTHS = (2, 3, 4)
"""How many neighbouring words are run together."""

_SENTENCE = 2  # small words of a query that is worded as a sentence
_MOST_SPLIT = 24  # letters of a word that may be two words run together
_KINDS = re.compile(r"\d+|[^\W\d]+")  # letters and digits apart

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


def query_terms(snapshot: Snapshot, document: Document, further: Sequence[QueryTerm] = ()) -> QueryTerms:
    """Return the terms to search for to find what a text is about.

    Args:
        snapshot: Where the documents that hold a term are counted.
        document: The query; its title and its text count.
        further: Terms to search for as well.
    """
    found, stand_for, language = _read(f"{document.title}\n{document.text}")
    counted = Counter[QueryTerm](further)
    for one, times in Counter(found).items():
        for term in _terms(stand_for[one], language):
            counted[term] += times
    if len(found) <= MOST_JOINED:
        counted.update(_known(snapshot, list(_joined([stand_for[one] for one in found]))))
        counted.update(_split(snapshot, counted))
    counted.update(_phrases(snapshot, [stand_for[one] for one in found]))
    asked = counted.most_common(MOST_COUNTED)
    # With few enough terms all of them are asked, so how frequent a frequent one is does not matter.
    at_most = MOST_ROWS + 1 if len(asked) <= MOST_TERMS else None
    matching = _matching(snapshot, asked, at_most=at_most)
    if at_most and all(one.documents >= at_most for one in matching):
        matching = _matching(snapshot, asked, at_most=None)  # the rarest of them is asked for, so it has to be known
    return _parted(sorted(matching, key=_order)[:MOST_TERMS])


@lru_cache(maxsize=8)
def _read(text: str) -> tuple[list[str], dict[str, TokenWords], str | None]:
    """Return the tokens of a query, what each of them stands for, and its language: see ``docsim.text``."""
    found = without_ends(tokens(text))
    return found, {one: token(one) for one in dict.fromkeys(found)}, language_of(found)


def is_sentence(document: Document) -> bool:
    """Return whether a query is worded as a sentence: whether it holds several small words, such as "how do I"."""
    found, stand_for, language = _read(f"{document.title}\n{document.text}")
    small = (word for one in found[:SAMPLE] for word in stand_for[one].words if is_small(word, language))
    return len(list(islice(small, _SENTENCE))) == _SENTENCE


def _order(one: _Counted) -> tuple[float, tuple[str, ...]]:
    """Sort by worth, then by words, a phrase before its first words: it tells more than they do."""
    return -one.worth, (*one.term.words, chr(sys.maxunicode))


def _matching(snapshot: Snapshot, counted: Sequence[tuple[QueryTerm, int]], *, at_most: int | None) -> list[_Counted]:
    """Return the terms that documents hold, given how many times each is in the query."""
    total = snapshot.counts().documents
    terms = [replace(term, weight=float(times**REPEATED) * _part(term)) for term, times in counted]
    frequencies = snapshot.frequencies(terms, at_most=at_most)
    return [
        _Counted(term, documents, times * rarity(documents, total))
        for term, (_, times), documents in zip(terms, counted, frequencies, strict=True)
        if documents
    ]


def _part(term: QueryTerm) -> float:
    """Return what part of its weight a term has: small words tell nothing, but a title may consist of them."""
    return SMALL if len(term.words) == 1 and not term.exact and is_small(term.words[0], term.language) else 1.0


def rarity(documents: int, total: int) -> float:
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


def _terms(one: TokenWords, language: str | None) -> Iterator[QueryTerm]:
    """Yield what finds a token: its words, and what they make when they are run together."""
    several = len(one.words) > 1 and bool(one.beside)
    for word in one.words:
        if not several or (len(word) > 1 and not word.isdecimal()):
            yield QueryTerm((word,), language=language)
    for _, form in one.beside:
        if not is_unspaced(form):  # a pair of characters says more than one of them
            yield QueryTerm((form,), exact=True)


def _known(snapshot: Snapshot, terms: list[QueryTerm]) -> list[QueryTerm]:
    """Return the terms that documents hold."""
    return [term for term, held in zip(terms, snapshot.frequencies(terms, at_most=1), strict=True) if held]


def _joined(found: Sequence[TokenWords]) -> Iterator[QueryTerm]:
    """Yield neighbouring words of a short text run together, which may be how an identifier is written."""
    for length in _RUN_LENGTHS:
        for start in range(len(found) - length + 1):
            run = found[start : start + length]
            if all(len(one.words) == 1 for one in run):
                yield QueryTerm(("".join(one.words[0] for one in run),), exact=True)


def _phrases(snapshot: Snapshot, found: Sequence[TokenWords]) -> list[QueryTerm]:
    """Return phrases of the words of tokens that no document holds run together."""
    several = {one.beside[0][1]: one.words for one in found if len(one.words) > 1 and one.beside}
    joined = [QueryTerm((form,), exact=True) for form in several]
    held = snapshot.frequencies(joined, at_most=1) if joined else []
    return [QueryTerm(words) for words, count in zip(several.values(), held, strict=True) if not count]


def _split(snapshot: Snapshot, counted: Counter[QueryTerm]) -> list[QueryTerm]:
    """Return phrases that words which no document holds may be when written apart, where documents hold them."""
    words = [term for term in counted if len(term.words) == 1 and not term.exact and not term.beginning]
    held = snapshot.frequencies(words, at_most=1)
    unknown = [term.words[0] for term, count in zip(words, held, strict=True) if not count]
    ways = dict.fromkeys(apart for word in unknown if len(word) <= _MOST_SPLIT for apart in _apart(word))
    parts = _known(snapshot, [QueryTerm((one,), exact=True) for one in dict.fromkeys(chain(*ways))])
    held_parts = {term.words[0] for term in parts}
    return _known(snapshot, [QueryTerm(each) for each in ways if held_parts.issuperset(each)])


def is_written_apart(snapshot: Snapshot, words: Sequence[str], word: str) -> bool:
    """Return whether documents hold a word of a question in parts, or run together with the words beside it."""
    ways = list(_apart(word)) if len(word) <= _MOST_SPLIT else []
    together = ["".join(pair) for pair in pairwise(words) if word in pair]
    asked = [QueryTerm((one,), exact=True) for one in dict.fromkeys([*together, *chain(*ways)])]
    known = {term.words[0] for term in _known(snapshot, asked)}
    parts = [QueryTerm(each) for each in ways if known.issuperset(each)]
    return not known.isdisjoint(together) or bool(_known(snapshot, parts))


def _apart(word: str) -> Iterator[Words]:
    """Yield ways to write a word as several."""
    kinds = tuple(_KINDS.findall(word))
    if len(kinds) > 1:
        yield kinds
    yield from ((word[:place], word[place:]) for place in range(2, len(word) - 1))
