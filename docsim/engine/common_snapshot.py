"""What snapshots of both engines answer alike: from the stored documents, and from the words index.

What the methods return is described in ``docsim.engine.snapshot.Snapshot``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import KnownWord, Numbers, QueryTerm, StoredDocument
from docsim.engine.words import lexicon, matches, term_postings
from docsim.engine.words.index import WordIndex
from docsim.filters.condition import Condition
from docsim.models import Passage

__all__ = ["CommonSnapshot"]


class _Documents(Protocol):
    """What reads the stored documents."""

    def numbers(self, ids: Sequence[str]) -> dict[str, int]: ...
    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]: ...
    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]: ...
    def passages_of(self, numbers: Sequence[int]) -> dict[int, list[Passage]]: ...
    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]: ...


class CommonSnapshot(ABC):
    """The part of a ``docsim.engine.snapshot.Snapshot`` that does not depend on the engine.

    Attributes:
        store: Reads in a transaction that sees the state.
    """

    __slots__ = ()

    store: _Documents

    @property
    @abstractmethod
    def _words(self) -> WordIndex:
        """The words of the state."""

    @abstractmethod
    def _meeting(self, where: Condition) -> Numbers:
        """Return the documents that meet a condition, by ascending number."""

    @abstractmethod
    def _allowed_numbers(self, where: Condition | None) -> Numbers | None:
        """Return the documents that may be found, by ascending number; None for all."""

    # Documents

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the documents with some ids, without those that are not there."""
        return self.store.numbers(ids)

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return some documents by number, without those that are not there."""
        return self.store.documents(numbers)

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        """Yield every document by ascending number."""
        return self.store.scan(characters=characters)

    def passages(self, numbers: Sequence[int]) -> dict[int, list[Passage]]:
        """Return the passages of some documents, in order, by the document's number."""
        return self.store.passages_of(numbers)

    def passage_counts(self) -> dict[int, int]:
        """Return how many passages each document has, by ascending number."""
        return dict(self.store.rows("SELECT number, passages FROM documents ORDER BY number"))

    def matching(self, where: Condition) -> int:
        """Return how many documents meet a condition."""
        return len(self._meeting(where))

    # Words

    def text_search(
        self, terms: Sequence[QueryTerm], *, rest: Sequence[QueryTerm] = (), where: Condition | None = None
    ) -> matches.Matches:
        """Return every document that holds at least one of some terms, scored by BM25."""
        allowed = self._allowed_numbers(where)
        return matches.matches(self._words, terms, rest=rest, allowed=allowed)

    def holds(self, number: int, terms: Sequence[QueryTerm]) -> NDArray[np.bool_]:
        """Return which of some terms a document holds, ``bool (terms,)``."""
        return matches.holds(self._words, number, terms)

    def frequencies(self, terms: Sequence[QueryTerm], *, at_most: int | None = None) -> list[int]:
        """Return how many documents hold each term, but no more than ``at_most``."""
        counts = term_postings.frequencies(self._words, terms)
        return counts if at_most is None else [min(count, at_most) for count in counts]

    def stems(self, words: Sequence[str]) -> dict[str, str]:
        """Return the stem of each word, in the language of most documents."""
        return matches.stemmed(self._words, words)

    def stem_frequencies(self, stems: Sequence[str]) -> dict[str, int]:
        """Return how many documents hold each stem, without those that none holds."""
        counts = self._words.stem_counts(stems)
        return {stem: count for stem, count in zip(stems, counts, strict=True) if count}

    def words_like(self, word: str, *, edits: int, most: int, where: Condition | None = None) -> list[KnownWord]:
        """Return words that documents hold and that differ from one in a few letters, the nearest first."""
        return lexicon.like(self._words, word, edits=edits, most=most, allowed=self._allowed_numbers(where))

    def words_beginning(self, beginning: str, *, most: int, where: Condition | None = None) -> list[KnownWord]:
        """Return words that documents hold and that begin in some way, those that most documents hold first."""
        return lexicon.beginning(self._words, beginning, most=most, allowed=self._allowed_numbers(where))
