"""Lexical search: BM25 over titles and texts, in SQLite's FTS5.

FTS5 lowers case, removes accents, stems (Porter) and splits at all that is neither letter nor digit, so an identifier
like ``max_retry-count`` is a sequence of words in its index. A query is split here into words, and every identifier in
it, whichever style it is written in, into a phrase of its parts, the parts themselves and the parts run together, so
that ``readFile``, ``read_file`` and "read file" find each other; the words of a short query are run together, too. All
of them are quoted: no text is ever FTS5 syntax.

BM25 (Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4)) is FTS5's own, with k1 = 1.2 and b = 0.75.
"""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.store import Store
from docsim.models import Document

__all__ = ["Lexicon", "Scores", "Term", "Terms", "scores", "terms"]

TITLE_WEIGHT = 2.0
"""What a word in the title counts, where one in the text counts 1; measured, see docs/ranking.md."""

REPEATED = 0.7
"""A term that a query has n times counts as much as n to this power of its kind; measured, see docs/ranking.md."""

MOST_TERMS = 80
"""A query is asked by its most telling terms, at most so many; measured, see docs/ranking.md."""

MOST_ROWS = 10_000
"""Terms are left out, the most frequent first, so that they occur in no more documents than this, all together."""

MOST_COUNTED = 2_000
"""Different terms of a query that are looked up, at most: what it repeats most, then what comes first."""

MOST_KEPT = 4_000_000
"""Scores that a lexicon keeps, of all its terms together; 12 bytes each."""

MOST_JOINED = 6
"""Words of a query, at most, for neighbours among them to be run together, too; see docs/ranking.md."""

_RUNS = (2, 3, 4)
"""So many neighbours."""

_MOST_PARTS = 8
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase to look for.

    Attributes:
        phrase: As FTS5 takes it, in quotes.
        documents: How many hold it, at least 1; of a frequent one maybe only that more than ``MOST_ROWS`` do.
        weight: What it counts: occurrences in the query to the power of ``REPEATED``, so at least 1.
        worth: What it tells of the query: its occurrences times its rarity (tf-idf).
    """

    phrase: str
    documents: int
    weight: float
    worth: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What to look for, the most telling first.

    Attributes:
        telling: What is looked for.
        frequent: What is looked for, too, only when the telling ones do not find enough.
    """

    telling: tuple[Term, ...]
    frequent: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """How well documents match.

    Attributes:
        documents: ``int64 (n,)`` numbers, ascending, of all documents that hold at least one of the terms.
        values: ``float32 (n,)`` BM25, above 0, higher is better.
    """

    documents: NDArray[np.int64]
    values: NDArray[np.float32]

    def of(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores ``float32 (m,)`` of some documents; 0 for those that do not match."""
        if not len(self.documents):
            return np.zeros(len(documents), np.float32)
        places = np.minimum(np.searchsorted(self.documents, documents), len(self.documents) - 1)
        return np.where(self.documents[places] == documents, self.values[places], np.float32(0))

    def best(self, n: int) -> NDArray[np.int64]:
        """Return the numbers of the ``n`` documents that match best, best first, ties by number."""
        near = np.arange(len(self.values))
        if n < len(near):  # the best in any order, and what ties with the last of them
            near = np.flatnonzero(self.values >= np.partition(self.values, -n)[-n])
        return self.documents[near[np.argsort(-self.values[near], kind="stable")[:n]]]


@dataclass(slots=True)
class Lexicon:
    """What was looked up of one committed state, kept for the next query.

    BM25 is a sum over terms, so what a term gives to each document is looked up once. The terms that take long, which
    many documents hold, are those that come again soonest.

    Attributes:
        counts: How many documents hold a term; how many there are under the empty one.
        at_least: Terms whose documents were not counted to the end.
        scores: What a term gives to the documents that hold it, the one that was looked up longest ago first.
        kept: How many scores those are.
    """

    counts: dict[str, int] = field(default_factory=dict)
    at_least: set[str] = field(default_factory=set)
    scores: dict[str, Scores] = field(default_factory=dict)
    kept: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, store: Store, phrase: str, *, most: int = -1) -> int:
        """Return how many documents hold a term; how many there are for an empty one.

        Args:
            store: Where it is looked up.
            phrase: As FTS5 takes it, in quotes.
            most: Count no further than this, since "the" may take as long to count as all the rest; to the end when -1.
        """
        if phrase not in self.counts or (most < 0 and phrase in self.at_least):
            sql = "SELECT count(*) FROM (SELECT 1 FROM documents_fts WHERE documents_fts MATCH ? LIMIT ?)"
            found = store.value(sql, phrase, most) if phrase else store.value("SELECT count(*) FROM documents")
            self.counts[phrase] = found
            (self.at_least.add if found == most else self.at_least.discard)(phrase)
        return self.counts[phrase]

    def of(self, store: Store, phrase: str) -> Scores:
        """Return the scores of all documents that hold a term."""
        found = self.scores.get(phrase)
        if found is None:
            found = _looked_up(store, phrase)
            with self._lock:  # threads that read the same state share it
                self._keep(phrase, found)
        return found

    def _keep(self, phrase: str, found: Scores) -> None:
        if phrase not in self.scores:
            self.kept += len(found.documents)
        self.scores[phrase] = found
        while self.kept > MOST_KEPT and len(self.scores) > 1:
            self.kept -= len(self.scores.pop(next(iter(self.scores))).documents)


def terms(store: Store, document: Document, lexicon: Lexicon) -> Terms:
    """Return the terms to ask for what a text is about.

    Args:
        store: Where documents are counted.
        document: Title and text of the query.
        lexicon: What is known of the state that ``store`` sees; what is missing is added.
    """
    chunks = [_WORD.findall(chunk) for chunk in _CHUNK.findall(f"{document.title}\n{document.text}")]
    found = Counter(_phrases(chunks))
    joined = list(_joined(chunks))
    if joined and _document_holds_any(store, joined):  # seldom
        found.update(joined)
    counted = found.most_common(MOST_COUNTED)
    most = MOST_ROWS + 1 if len(counted) <= MOST_TERMS else -1  # else it decides which terms are taken
    matching = _matching(store, counted, lexicon, most=most)
    if most >= 0 and all(term.documents >= most for term in matching):
        matching = _matching(store, counted, lexicon, most=-1)  # the rarest of them will be asked for
    return _parted(sorted(matching, key=lambda term: (-term.worth, term.phrase))[:MOST_TERMS])


def _matching(store: Store, counted: Sequence[tuple[str, int]], lexicon: Lexicon, *, most: int) -> list[Term]:
    """Return the terms that documents hold, given how many times each is in the query."""
    total = lexicon.count(store, "")
    return [
        Term(phrase, documents, _weight(times), times * _rarity(documents, total))
        for phrase, times in counted
        if (documents := lexicon.count(store, phrase, most=most))
    ]


def _document_holds_any(store: Store, phrases: Sequence[str]) -> bool:
    sql = "SELECT 1 FROM documents_fts WHERE documents_fts MATCH ? LIMIT 1"
    return store.value(sql, " OR ".join(phrases)) is not None


def _weight(times: int) -> float:
    return float(times**REPEATED)


def _rarity(documents: int, total: int) -> float:
    """Return how much a term tells that ``documents`` of ``total`` hold, as BM25 has it; 0 for half or more."""
    return max(0.0, math.log((total - documents + 0.5) / (documents + 0.5)))


def _parted(terms: Sequence[Term]) -> Terms:
    """Part telling from frequent terms: those that are rare enough together, at least one."""
    by_frequency = sorted(terms, key=lambda term: term.documents)
    rows = np.cumsum([term.documents for term in by_frequency])
    telling = set(by_frequency[:1]) | {
        term for term, sum in zip(by_frequency, rows, strict=True) if sum <= MOST_ROWS and term.worth > 0
    }
    return Terms(tuple(term for term in terms if term in telling), tuple(term for term in terms if term not in telling))


def scores(
    store: Store, terms: Sequence[Term], lexicon: Lexicon, *, allowed: NDArray[np.int64] | None = None
) -> Scores:
    """Return the scores of all documents, or of those allowed, that hold at least one of some terms.

    Args:
        store: Where terms are looked up.
        terms: What to look for, each once.
        lexicon: What is known of the state that ``store`` sees; what is missing is added.
        allowed: Numbers of documents, ``int64 (n,)``.
    """
    found = [lexicon.of(store, term.phrase) for term in terms]
    numbers = np.concatenate([np.zeros(0, np.int64), *(one.documents for one in found)])
    weights = [one.values * term.weight for one, term in zip(found, terms, strict=True)]
    values = np.concatenate([np.zeros(0, np.float32), *weights])
    if allowed is not None:
        kept = np.isin(numbers, allowed)
        numbers, values = numbers[kept], values[kept]
    documents, places = np.unique(numbers, return_inverse=True)
    return Scores(documents, np.bincount(places, weights=values, minlength=len(documents)).astype(np.float32))


def _looked_up(store: Store, phrase: str) -> Scores:
    sql = "SELECT rowid, -bm25(documents_fts, ?, 1.0) FROM documents_fts WHERE documents_fts MATCH ?"
    values = chain.from_iterable(store.rows(sql, TITLE_WEIGHT, phrase))
    rows = np.fromiter(values, np.float64).reshape(-1, 2)  # FTS5 yields them by rowid, ascending
    return Scores(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.float32))


def _phrases(chunks: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the terms of a text, given the words of each of its chunks, as FTS5 strings, in quotes."""
    for words in chunks:
        parts = [part for word in words for part in _HUMP.split(word)]
        if len(parts) == 1:
            yield f'"{parts[0].lower()}"'
        elif len(parts) > 1:
            yield from _compound([word.lower() for word in words], [part.lower() for part in parts])


def _joined(chunks: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield neighbouring words of a short text run together, which may be how an identifier is written."""
    for length in _RUNS if len(chunks) <= MOST_JOINED else ():
        for start in range(len(chunks) - length + 1):
            run = chunks[start : start + length]
            if all(len(words) == 1 for words in run):
                joined = "".join(words[0].lower() for words in run)
                yield f'"{joined}"'


def _compound(words: list[str], parts: list[str]) -> Iterator[str]:
    """Yield what finds an identifier: itself, its words, and the other ways to write it."""
    if len(parts) <= _MOST_PARTS:
        yield f'"{" ".join(parts)}"'
        yield f'"{"".join(parts)}"'
    for word in words:
        if len(word) > 1 and not word.isdecimal() and word != "".join(parts):
            yield f'"{word}"'
