"""The seam: what docsim needs of the place that keeps documents and vectors, and nothing of how it keeps them.

An engine keeps one index: documents, their passages, and for every generation the embeddings of the passages under one
encoder. Search, analysis, re-indexing and maintenance are written against these protocols only. There is no SQL here,
no FAISS object and no row number; `docsim.engine.local` is the engine of one machine, and the tests hold a second, tiny
one made of dictionaries and NumPy. Both pass the same conformance suite.

    Engine      an open index; gives snapshots to read, a writer to write, a rebuilder to change generations
    Snapshot    one committed state of one generation: everything asked of it is answered from that state
    Sources     which source holds which document under which path
    Writer      adds, changes and removes documents; one transaction at a time
    Rebuilder   fills, publishes and removes generations

A document is known to its user by an ``id`` and to its engine by a ``number``, a positive whole number that is never
given to another document. Similarities are inner products of unit vectors, in [-1, 1]. Lexical scores are opaque:
higher is better, and only scores of one query can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import (
    Counts,
    Embedded,
    Embeddings,
    Generation,
    GenerationFacts,
    Holder,
    Neighbours,
    Numbers,
    Origin,
    QueryTerm,
    RecordedFailure,
    RecordedSource,
    SearchFacts,
    SourceName,
    StoredDocument,
    Unembedded,
    Verdict,
)
from docsim.models import Failure, Passage

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment
    from docsim.encoding.encoder import Encoder
    from docsim.filters.conditions import Filter as Condition

__all__ = ["Engine", "Rebuilder", "Snapshot", "Sources", "TextMatches", "Writer"]


class TextMatches(Protocol):
    """The documents that hold at least one of some terms."""

    def __len__(self) -> int:
        """Return how many there are."""

    def best(self, n: int) -> Numbers:
        """Return the ``n`` documents that match best, best first, ties by number."""

    def of(self, documents: Numbers) -> NDArray[np.float32]:
        """Return the scores of some documents, ``float32 (n,)``; 0 for those that match nothing."""


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
    def is_mapped(self) -> bool:
        """Whether the embeddings are the generation's, mapped into the space of another encoder."""

    @property
    def encoder(self) -> Encoder:
        """The encoder in whose space the embeddings are, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder that is kept is not the one that made the embeddings.
            EncoderError: It is missing or damaged.
        """

    @property
    def background(self) -> dict[int | None, NDArray[np.float32]]:
        """What search noted of this state: see ``docsim.search.percentiles``. Shared by all snapshots of the state."""

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""

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

    def sample(self, most: int) -> Numbers:
        """Return up to ``most`` documents from all over the index; the same ones as long as the documents are."""

    def excerpts(self, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
        """Return two pieces of title and text of some documents, each of about this many characters.

        The first piece comes from somewhere in the document, always the same place; the second is its beginning.
        """

    def matching(self, where: Condition) -> int:
        """Return how many documents meet a condition."""

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

        Raises:
            StoreError: Embeddings are missing or damaged.
        """

    def text_search(self, terms: Sequence[QueryTerm], *, where: Condition | None = None) -> TextMatches:
        """Return every document that holds at least one of some terms, scored."""

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


# Writing


class Sources(Protocol):
    """Which source holds which document under which path."""

    def sources(self) -> list[RecordedSource]:
        """Return every source, in the order in which they were first read."""

    def failures(self) -> list[RecordedFailure]:
        """Return the documents that could not be read the last time, by path."""

    def paths(self, source: int, *, most: int | None = None) -> list[str]:
        """Return the paths of a source that stand for documents, or some of them."""

    def origin(self, source: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""

    def holders(self, number: int) -> list[Holder]:
        """Return every path that stands for a document."""

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return some documents by number, without those that are not there."""

    def read_from(self, file: Path) -> int | None:
        """Return the number of the document that was read from a file, given by its absolute path, or None."""


class Writer(Sources, Protocol):
    """What the one writer of an index can do. Every change belongs into the block of ``transaction``."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is."""

    def open_source(self, number: int | None, source: SourceName) -> int:
        """Record that a source, new when it has no number, is being read; return its number."""

    def close_source(self, number: int, failures: Iterable[Failure]) -> None:
        """Record that a source was read to its end, and what could not be read."""

    def put(self, embedded: Embedded, *, number: int | None) -> int:
        """Add a document, or replace document ``number``, with embeddings of the live generation; return its number.

        In every other generation the document has no embeddings from then on.
        """

    def remove(self, number: int) -> None:
        """Remove a document and all that belongs to it."""

    def link(self, source: int, path: str, *, document: int, digest: str) -> None:
        """Record that a path stands for a document, and was read with this digest."""

    def claim(self, source: int, path: str, *, document: int) -> None:
        """Forget every other path that stands for a document, since this path has changed it."""

    def unlink(self, source: int, path: str) -> bool:
        """Forget a path; remove its document, and return True, when no other path stands for it."""

    def configure(self, index_type: str | None, recall: float | None) -> None:
        """Choose how passages are searched from the next ``optimize`` on; what is not given stays as it is.

        Raises:
            UsageError: There is no such index type or recall.
        """

    def optimize(self) -> None:
        """Bring up to date what makes searching fast; an index answers the same without it, only more slowly."""


class Rebuilder(Protocol):
    """What the one process that changes the generations of an index can do."""

    def live(self) -> Generation:
        """Return the live generation.

        Raises:
            UsageError: The index was never finished.
        """

    def generations(self, state: str | None = None) -> list[Generation]:
        """Return the generations, or those in one state, oldest first."""

    def begin(self, encoder: Encoder, *, base: Encoder | None = None) -> Generation:
        """Add a generation without embeddings, and keep its encoder, and what that was trained from."""

    def resume(self, number: int) -> None:
        """Let a retired generation be built again, from what it has."""

    def encoder(self, generation: Generation, *, check_only: bool = False) -> Encoder | None:
        """Return the encoder of a generation; None when its files were only checked.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """

    def restore_encoder(self, generation: Generation, encoder: Encoder) -> None:
        """Put an encoder with the right fingerprint in the place of a damaged one."""

    def counts(self) -> Counts:
        """Return how many documents and passages there are."""

    def missing(self, number: int) -> int:
        """Return how many documents have no embeddings in a generation."""

    def unembedded(self, number: int, *, after: int = 0) -> AbstractContextManager[Iterator[Unembedded]]:
        """Read the documents above number ``after`` that a generation lacks, in order, from one committed state."""

    def embed(self, number: int, embedded: Sequence[tuple[Unembedded, Embeddings]]) -> None:
        """Add embeddings to a generation in one transaction, but for documents that have changed since."""

    def optimize(self, number: int) -> None:
        """Bring up to date what makes searching a generation fast."""

    def record(self, number: int, verdict: Verdict) -> None:
        """Keep what was found about a generation."""

    def publish(self, number: int, catch_up: Callable[[], object]) -> None:
        """Make a generation the live one in one transaction, once ``catch_up`` has embedded what was written meanwhile.

        Raises:
            StoreError: It lacks a document, so that it cannot answer.
        """

    def drop(self, number: int) -> bool:
        """Give up building a generation; return whether it is kept, because it was live before."""

    def remove(self, numbers: Iterable[int]) -> int:
        """Remove generations that are not live; return how many bytes were freed."""

    def map_live(self, number: int, alignment: Alignment) -> None:
        """Let the encoder of a generation that is being built answer at once, over the live embeddings, mapped."""

    def mapping(self) -> Alignment | None:
        """Return what maps the live embeddings; None when nothing does, or it cannot be read."""

    def unmap(self, number: int) -> bool:
        """Let the live generation's own encoder answer again; return whether it did not."""


class Engine(Protocol):
    """An open index. Reading is safe from several threads."""

    @property
    def address(self) -> str:
        """Where the index is, as the user names it."""

    def close(self) -> None:
        """Close the index; safe to call twice."""

    def generation(self) -> Generation:
        """Return the generation that is searched now.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """

    def prepare(self) -> None:
        """Load, side by side, what the first search needs."""

    def snapshot(self, *, encoder: bool = False) -> AbstractContextManager[Snapshot]:
        """See one committed state for the length of the block.

        Args:
            encoder: Whether the state's encoder is needed, which is then known to be there.
        """

    def sources(self) -> Sources:
        """Return what is known about sources, as of the last commit."""

    def writer(self, *, wait: bool) -> AbstractContextManager[Writer]:
        """Be the one writer.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
            DocsimError: The index cannot be written to.
        """

    def rebuilder(self, *, wait: bool) -> AbstractContextManager[Rebuilder]:
        """Be the one process that changes generations; a writer may write meanwhile.

        Raises:
            IndexLocked: Another process is re-indexing and ``wait`` is off.
        """

    def at(self, generation: int) -> Engine:
        """Open the same index again, to read one generation, whatever its state."""
