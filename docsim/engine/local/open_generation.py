"""An open generation: one committed state of the local engine, with everything that answers from it.

It joins what must never be mixed: the SQLite transaction that sees the state, the vectors of just that state, and the
encoder in whose space they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local import document_checks, filtering, sampling, word_storage
from docsim.engine.local.generations import Allowed, View
from docsim.engine.local.notices import Notices, into
from docsim.engine.local.store import Store
from docsim.engine.records import (
    Counts,
    Embeddings,
    Generation,
    KnownWord,
    Neighbours,
    Numbers,
    QueryTerm,
    Stacked,
    StoredDocument,
)
from docsim.engine.words import lexicon, matches, term_postings
from docsim.engine.words.index import WordIndex
from docsim.filters.condition import Condition
from docsim.models import Passage

__all__ = ["OpenGeneration"]


@dataclass(frozen=True, slots=True)
class OpenGeneration:
    """A ``docsim.engine.base.Snapshot``; to be used inside ``store.reading()`` only.

    Attributes:
        store: The database, in a transaction that sees the state.
        view: The vectors of that state, and what was found out about it.
        load_encoder: Gives the encoder in whose space the vectors are.
        notices: What is damaged and was answered around; kept as long as the index is open.
    """

    store: Store
    view: View
    load_encoder: Callable[[], Encoder]
    notices: Notices

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is damaged and was answered around, a sentence each."""
        return tuple(self.notices.values())

    @property
    def revision(self) -> int:
        """The state's number."""
        return self.view.revision

    @property
    def generation(self) -> Generation:
        """The generation that is searched."""
        return self.view.generation

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the encoder in whose space the embeddings are."""
        return self.view.fingerprint

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return self.view.vectors.dim

    @property
    def mapped_from(self) -> int | None:
        """How many passages the alignment was learned from that maps the embeddings; None when they are not mapped."""
        return self.view.mapping.row.passages if self.view.mapping else None

    @property
    def encoder(self) -> Encoder:
        """The encoder in whose space the embeddings are.

        Raises:
            EncoderError: It is missing, damaged or not the one that made the embeddings.
        """
        return self.load_encoder()

    @property
    def background(self) -> dict[int | str | None, NDArray[np.float32]]:
        """What search noted of this state."""
        return self.view.known.background

    # Documents

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""
        known = self.view.known
        if known.counts is None:
            known.counts = self.store.counts()
        return known.counts

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        return self.store.number(id)

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

    def metadata_values(self, field: str, numbers: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return kind and value of a metadata field of some documents, by number."""
        return self.store.metadata_values(field, numbers)

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        """Return a piece from somewhere in each document, and its beginning."""
        return sampling.excerpts(self.store, numbers, characters)

    def sample(self, most: int) -> Numbers:
        """Return up to ``most`` documents from all over the index."""
        known = self.view.known
        if known.sample is None or len(known.sample) < min(most, self.counts().documents):
            known.sample = sampling.sample(self.view, most)
        return known.sample[:most]

    def matching(self, where: Condition) -> int:
        """Return how many documents meet a condition."""
        return len(self._meeting(where))

    def _meeting(self, where: Condition) -> NDArray[np.int64]:
        return filtering.meeting(self.store, lambda: self._words, where)

    def _allowed(self, where: Condition | None) -> Allowed:
        return self.view.allowed(where, self._meeting)

    # Vectors

    def embedded(self) -> Numbers:
        """Return the documents that have embeddings here, by ascending number."""
        held = self.view.vectors.holds(self.view.documents[:, 0])
        return np.sort(self.view.documents[held, 1])

    def knn(
        self, queries: NDArray[np.float32], k: int, *, where: Condition | None = None, exact: bool = False
    ) -> Neighbours:
        """Return the ``k`` passages nearest to each query, told by their documents."""
        vectors = self._allowed(where).vectors
        found = (vectors.exact() if exact else vectors).search(queries, k)
        return Neighbours(found.similarities, self.view.owners(found.ids), exhausted=k >= len(vectors))

    def embeddings(self, numbers: Numbers) -> list[Embeddings]:
        """Return the embeddings of some documents, ``float16 (passages, dim)`` each; not to be changed or kept.

        Raises:
            StoreError: Embeddings are missing or damaged.
        """
        positions = self.view.positions_of(numbers)
        rows = self.view.rows(positions)
        if not np.array_equal(self.view.documents[positions, 1], numbers) or not all(map(len, rows)):
            raise self.store.damaged()
        return rows

    def stacked(self, numbers: Numbers) -> Stacked:
        """Return the embeddings of some documents as one array.

        Raises:
            StoreError: Embeddings are missing or damaged.
        """
        positions = self.view.positions_of(numbers)
        found = self.view.stacked(positions)
        if not np.array_equal(self.view.documents[positions, 1], numbers) or not found.counts.all():
            raise self.store.damaged()
        return found

    # Words

    @property
    def _words(self) -> WordIndex:
        known = self.view.known
        if known.words is None:
            with into(self.notices):
                known.words = word_storage.refreshed(self.store, self.store.path.parent, known.earlier_words)
            known.earlier_words = None
        return known.words

    def text_search(
        self, terms: Sequence[QueryTerm], *, rest: Sequence[QueryTerm] = (), where: Condition | None = None
    ) -> matches.Matches:
        """Return every document that holds at least one of some terms, scored by BM25."""
        allowed = self._allowed(where).numbers
        return matches.matches(self._words, terms, rest=rest, allowed=allowed)

    def repeated_lines(self) -> frozenset[str]:
        """Return the lines that passages leave out, because most pages of a source repeat them."""
        return document_checks.repeated_lines(self.store)

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
        return lexicon.like(self._words, word, edits=edits, most=most, allowed=self._allowed(where).numbers)

    def words_beginning(self, beginning: str, *, most: int, where: Condition | None = None) -> list[KnownWord]:
        """Return words that documents hold and that begin in some way, those that most documents hold first."""
        return lexicon.beginning(self._words, beginning, most=most, allowed=self._allowed(where).numbers)
