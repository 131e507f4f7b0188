"""Text search of the local engine: BM25 over titles and texts, by SQLite's FTS5.

FTS5 lowers case, removes accents, stems (Porter) and splits at every character that is neither letter nor digit. All
words of a term are quoted, so that no text is ever taken for FTS5's query syntax. BM25 (Robertson & Zaragoza 2009,
Foundations and Trends in IR 3(4)) is FTS5's own, with k1 = 1.2 and b = 0.75.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.schema import TOKENIZE
from docsim.engine.local.store import Store
from docsim.engine.records import Numbers, QueryTerm

__all__ = ["Lexicon", "Matches", "matches", "stem_frequencies", "stems"]

TITLE_WEIGHT = 2.0
"""What a word in the title counts, where one in the text counts 1; measured, see docs/research/ranking.md."""

MOST_KEPT = 4_000_000
"""Scores that a lexicon keeps, of all its terms together; 12 bytes each."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The documents that hold at least one of some terms.

    Attributes:
        documents: ``int64 (n,)`` numbers, ascending.
        values: ``float32 (n,)`` BM25, above 0, higher is better.
    """

    documents: Numbers
    values: NDArray[np.float32]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.documents)

    def of(self, documents: Numbers) -> NDArray[np.float32]:
        """Return the scores of some documents, ``float32 (n,)``; 0 for those that match nothing."""
        if not len(self.documents):
            return np.zeros(len(documents), np.float32)
        places = np.minimum(np.searchsorted(self.documents, documents), len(self.documents) - 1)
        return np.where(self.documents[places] == documents, self.values[places], np.float32(0))

    def best(self, n: int) -> Numbers:
        """Return the ``n`` documents that match best, best first, ties by number."""
        near = np.arange(len(self.values))
        if n < len(near):  # the best in any order, and everything that ties with the last of them
            near = np.flatnonzero(self.values >= np.partition(self.values, -n)[-n])
        return self.documents[near[np.argsort(-self.values[near], kind="stable")[:n]]]


@dataclass(slots=True)
class Lexicon:
    """What was looked up of one committed state, kept for the next query. Safe to use from several threads.

    BM25 is a sum over terms, so what a term gives to each document is looked up once. Frequent terms take longest, and
    they are the ones that come again soonest.

    Attributes:
        counts: How many documents hold a term.
        at_least: Terms whose documents were not counted to the end.
        scores: What a term gives to the documents that hold it; the one that was looked up longest ago comes first.
        kept: How many scores those are.
    """

    counts: dict[str, int] = field(default_factory=dict)
    at_least: set[str] = field(default_factory=set)
    scores: dict[str, Matches] = field(default_factory=dict)
    kept: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, store: Store, term: QueryTerm, *, at_most: int | None = None) -> int:
        """Return how many documents hold a term, counting no further than ``at_most``."""
        phrase = _phrase(term)
        with self._lock:
            known = self.counts.get(phrase)
            if known is not None and (phrase not in self.at_least or (at_most is not None and at_most <= known)):
                return known
        sql = "SELECT count(*) FROM (SELECT 1 FROM documents_fts WHERE documents_fts MATCH ? LIMIT ?)"
        found = int(store.value(sql, phrase, -1 if at_most is None else at_most))
        with self._lock:
            self.counts[phrase] = found
            (self.at_least.add if found == at_most else self.at_least.discard)(phrase)
        return found

    def of(self, store: Store, term: QueryTerm) -> Matches:
        """Return the scores of all documents that hold a term."""
        phrase = _phrase(term)
        with self._lock:
            found = self.scores.get(phrase)
        if found is None:
            found = _looked_up(store, phrase)
            with self._lock:
                self._keep(phrase, found)
        return found

    def _keep(self, phrase: str, found: Matches) -> None:
        if phrase not in self.scores:
            self.kept += len(found)
        self.scores[phrase] = found
        while self.kept > MOST_KEPT and len(self.scores) > 1:
            self.kept -= len(self.scores.pop(next(iter(self.scores))))


def matches(store: Store, terms: Sequence[QueryTerm], lexicon: Lexicon, *, allowed: Numbers | None = None) -> Matches:
    """Return the scores of all documents, or of those allowed, that hold at least one of some terms.

    Args:
        store: Where terms are looked up.
        terms: What to search for, each once.
        lexicon: What is known about the state that ``store`` sees; what is missing is added.
        allowed: The documents that may be found, ``int64 (n,)``.
    """
    found = [lexicon.of(store, term) for term in terms]
    numbers = np.concatenate([np.zeros(0, np.int64), *(one.documents for one in found)])
    weights = [one.values * term.weight for one, term in zip(found, terms, strict=True)]
    values = np.concatenate([np.zeros(0, np.float32), *weights])
    if allowed is not None:
        kept = np.isin(numbers, allowed)
        numbers, values = numbers[kept], values[kept]
    documents, places = np.unique(numbers, return_inverse=True)
    return Matches(documents, np.bincount(places, weights=values, minlength=len(documents)).astype(np.float32))


def _phrase(term: QueryTerm) -> str:
    """Return a term as FTS5 takes it: in quotes."""
    return f'"{" ".join(term.words)}"'


def _looked_up(store: Store, phrase: str) -> Matches:
    sql = "SELECT rowid, -bm25(documents_fts, ?, 1.0) FROM documents_fts WHERE documents_fts MATCH ?"
    values = chain.from_iterable(store.rows(sql, TITLE_WEIGHT, phrase))
    rows = np.fromiter(values, np.float64).reshape(-1, 2)  # FTS5 yields them by rowid, ascending
    return Matches(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.float32))


def stems(words: Sequence[str]) -> dict[str, str]:
    """Return the stem of each word, by the tokenizer that the full-text index uses."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(word, tokenize = '{TOKENIZE}')")
        connection.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(words, instance)")
        connection.executemany("INSERT INTO words (rowid, word) VALUES (?, ?)", enumerate(words))
        return {words[row]: stem for stem, row in connection.execute("SELECT term, doc FROM stems")}
    finally:
        connection.close()


def stem_frequencies(store: Store, wanted: Sequence[str]) -> dict[str, int]:
    """Return how many documents hold each stem, without those that none holds."""
    store.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab(main, documents_fts, row)")
    sql = "SELECT term, doc FROM temp.terms WHERE term IN (SELECT value FROM json_each(?))"
    return dict(store.rows(sql, json.dumps(list(wanted))))
