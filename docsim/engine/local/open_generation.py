"""An open generation: one committed state of the local engine, with everything that answers from it.

It joins what must never be mixed: the SQLite transaction that sees the state, the vectors of just that state, and the
encoder in whose space they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.common_snapshot import CommonSnapshot
from docsim.engine.local import document_checks, filtering, sampling, word_storage
from docsim.engine.local.generations import Allowed, View
from docsim.engine.local.notices import Notices, into
from docsim.engine.local.store import Store
from docsim.engine.records import (
    Counts,
    Embeddings,
    Generation,
    Neighbours,
    Numbers,
    Stacked,
)
from docsim.engine.words.index import WordIndex
from docsim.filters.condition import Condition

__all__ = ["OpenGeneration"]


@dataclass(frozen=True, slots=True)
class OpenGeneration(CommonSnapshot):
    """A ``docsim.engine.base.Snapshot``; to be used inside ``store.reading()`` only.

    Attributes:
        store: The database, in a transaction that sees the state.
        view: The vectors of that state, and what was found out about it.
        load_encoder: Gives the encoder in whose space the vectors are.
        notices: What is damaged and was worked around; kept as long as the index is open.
    """

    store: Store
    view: View
    load_encoder: Callable[[], Encoder]
    notices: Notices

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is damaged and was worked around, a sentence each."""
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

    def metadata_values(self, field: str, numbers: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return kind and value of a metadata field of some documents, by number."""
        return self.store.metadata_values(field, numbers)

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        """Return a piece from somewhere in each document, and its beginning."""
        with into(self.notices):
            return sampling.excerpts(self.store, numbers, characters)

    def sample(self, most: int) -> Numbers:
        """Return up to ``most`` documents from all over the index."""
        known = self.view.known
        if known.sample is None or len(known.sample) < min(most, self.counts().documents):
            known.sample = sampling.sample(self.view, most)
        return known.sample[:most]

    def _meeting(self, where: Condition) -> NDArray[np.int64]:
        return filtering.meeting(self.store, lambda: self._words, where)

    def _allowed(self, where: Condition | None) -> Allowed:
        return self.view.allowed(where, self._meeting)

    def _allowed_numbers(self, where: Condition | None) -> Numbers | None:
        return self._allowed(where).numbers

    # Vectors

    def embedded(self) -> Numbers:
        """Return the documents that have embeddings here, by ascending number."""
        held = self.view.vectors.holds(self.view.documents[:, 0])
        return np.sort(self.view.documents[held, 1])

    def knn(
        self, queries: NDArray[np.float32], k: int, *, where: Condition | None = None, exact: bool = False
    ) -> Neighbours:
        """Return the documents of the ``k`` passages nearest to each query."""
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

    def repeated_lines(self) -> frozenset[str]:
        """Return the lines that passages leave out, because most pages of a source repeat them."""
        return document_checks.repeated_lines(self.store)
