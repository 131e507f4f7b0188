"""Reading: one committed state of an index, and what text search finds in it: see ``docsim.engine.base``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

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
from docsim.models import Passage

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder
    from docsim.filters.condition import Condition

__all__ = ["Snapshot", "TextMatches"]


class TextMatches(Protocol):
    """The documents that hold at least one of some terms."""

    def __len__(self) -> int:
        """Return how many there are."""

    def best(self, n: int) -> Numbers:
        """Return the ``n`` documents that match best, best first, ties by number."""

    def of(self, documents: Numbers) -> NDArray[np.float32]:
        """Return the scores of some documents, ``float32 (n,)``; 0 for those that match nothing.

        Scores may have any scale of the order of BM25's: differences below 1e-4 count as none when scores are fused.
        """


class Snapshot(Protocol):
    """One committed state of one generation; to be used inside the block of ``Engine.snapshot`` only."""

    @property
    def revision(self) -> int:
        """The state's number: it grows with every write that changes answers."""

    @property
    def generation(self) -> Generation:
        """The generation that is searched."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the encoder in whose space the embeddings are."""

    @property
    def dim(self) -> int:
        """Components of an embedding."""

    @property
    def mapped_from(self) -> int | None:
        """How many passages an alignment was learned from that maps the embeddings into the space of another encoder.

        None when the embeddings are the generation's own.
        """

    @property
    def encoder(self) -> Encoder:
        """The encoder in whose space the embeddings are, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder that is kept is not the one that made the embeddings.
            EncoderError: It is missing or damaged.
        """

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the engine found damaged and works around, a sentence each; more may be found while it is read."""

    @property
    def background(self) -> dict[int | str | None, NDArray[np.float32]]:
        """What search noted of this state, see ``docsim.search.percentiles`` and ``docsim.search.vocabulary``.

        Shared by all snapshots of the state.
        """

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the documents with some ids, without those that are not there."""

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return some documents by number, without those that are not there."""

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        """Yield every document by ascending number, few in memory at a time.

        Args:
            characters: Cut every text after this many; the whole text when not given.
        """

    def passages(self, numbers: Sequence[int]) -> dict[int, list[Passage]]:
        """Return the passages of some documents, in order, by the document's number."""

    def metadata_values(self, field: str, numbers: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return kind and value of a metadata field of some documents, by number, without those that lack it."""

    def passage_counts(self) -> dict[int, int]:
        """Return how many passages each document has, by ascending number."""

    def sample(self, most: int) -> Numbers:
        """Return up to ``most`` documents from all over the index; the same ones as long as the documents are."""

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        """Return two pieces of title and text of some documents, each of about this many characters.

        The first piece comes from somewhere in the document, always the same place; the second is its beginning.
        """

    def matching(self, where: Condition) -> int:
        """Return how many documents meet a condition."""

    def embedded(self) -> Numbers:
        """Return the documents that have embeddings here, by ascending number."""

    def knn(
        self, queries: NDArray[np.float32], k: int, *, where: Condition | None = None, exact: bool = False
    ) -> Neighbours:
        """Return the ``k`` passages nearest to each query, or all when there are fewer.

        Args:
            queries: ``float32 (n, dim)``, unit rows.
            k: At least 1.
            where: What the passages' documents have to meet.
            exact: Compare every passage, also where an approximate index could propose some.
        """

    def embeddings(self, numbers: Numbers) -> list[Embeddings]:
        """Return the embeddings of some documents, ``float16 (passages, dim)`` each.

        They may lie in memory that the engine shares and gives back. Do not change them, and do not use them
        outside the snapshot's block: copy what is to be kept longer.

        Raises:
            StoreError: Embeddings are missing or damaged.
        """

    def stacked(self, numbers: Numbers) -> Stacked:
        """Return the embeddings of some documents as one array, which is quicker for many.

        Raises:
            StoreError: Embeddings are missing or damaged.
        """

    def text_search(
        self, terms: Sequence[QueryTerm], *, rest: Sequence[QueryTerm] = (), where: Condition | None = None
    ) -> TextMatches:
        """Return every document that holds at least one of some terms, scored.

        Args:
            terms: What to search for.
            rest: Terms that find nothing, but count in what ``TextMatches.of`` returns.
            where: What documents have to meet.
        """

    def repeated_lines(self) -> frozenset[str]:
        """Return the lines that passages leave out, because most pages of a source repeat them."""

    def holds(self, number: int, terms: Sequence[QueryTerm]) -> NDArray[np.bool_]:
        """Return which of some terms a document holds, ``bool (terms,)``."""

    def frequencies(self, terms: Sequence[QueryTerm], *, at_most: int | None = None) -> list[int]:
        """Return how many documents hold each term.

        Args:
            terms: What to count.
            at_most: Count no further than this, as counting "the" may take as long as everything else.
        """

    def stems(self, words: Sequence[str]) -> dict[str, str]:
        """Return what text search takes each word for: words of one stem match each other."""

    def stem_frequencies(self, stems: Sequence[str]) -> dict[str, int]:
        """Return how many documents hold each stem, without those that none holds."""

    def words_like(self, word: str, *, edits: int, most: int, where: Condition | None = None) -> list[KnownWord]:
        """Return words that documents hold and that differ from one in a few letters.

        Fewest edits come first, then what most documents hold, then in the order of the words.

        Args:
            word: A folded word of letters.
            edits: How many letters may differ, at least 1; see ``KnownWord``.
            most: Return at most this many.
            where: What documents have to meet; others do not count.
        """

    def words_beginning(self, beginning: str, *, most: int, where: Condition | None = None) -> list[KnownWord]:
        """Return words that documents hold and that begin in some way, those that most documents hold first.

        Args:
            beginning: Folded, at least one character.
            most: Return at most this many.
            where: What documents have to meet; others do not count.
        """
