"""Writing: sources, the one writer and the one rebuilder of an index: see ``docsim.engine.base``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from docsim.engine.records import (
    Embedded,
    Embeddings,
    Generation,
    Holder,
    Origin,
    RecordedFailure,
    RecordedSource,
    RecordedVerdict,
    SourceName,
    StoredDocument,
    Unembedded,
)
from docsim.models import Failure, Passage

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment
    from docsim.encoding.encoder import Encoder

__all__ = ["Rebuilder", "Sources", "Writer"]


class Sources(Protocol):
    """Which source holds which document under which path."""

    def sources(self) -> list[RecordedSource]:
        """Return every source, in the order in which they were first read."""

    def failures(self) -> list[RecordedFailure]:
        """Return the documents that could not be read the last time, by path."""

    def paths(self, source_number: int, *, most: int | None = None) -> list[str]:
        """Return the paths of a source that stand for documents, or some of them."""

    def origin(self, source_number: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""

    def holders(self, number: int) -> list[Holder]:
        """Return every path that stands for a document."""

    def disputed(self) -> list[int]:
        """Return the documents that several paths stand for though they were read with different digests."""

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""

    def id(self, number: int) -> str | None:
        """Return the id of a document, or None when there is no such document."""

    def digest(self, number: int) -> str | None:
        """Return the digest of what a document's source held, or None when there is no such document."""

    def read_from(self, file: Path) -> int | None:
        """Return the number of the document that was read from a file, given by its absolute path, or None."""


class Writer(Sources, Protocol):
    """What the one writer of an index can do. Make every change inside the block of ``transaction``."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is."""

    def document(self, number: int) -> StoredDocument | None:
        """Return a document, or None when there is no such document."""

    def passages(self, number: int) -> list[Passage]:
        """Return the passages of a document, in order."""

    def note(self, key: str) -> str | None:
        """Return the note that was stored under a name, a short text, or None."""

    def keep_note(self, key: str, text: str) -> None:
        """Store a note, a short text, under a name."""

    def open_source(self, source_number: int | None, source: SourceName) -> int:
        """Record that a source, new when it has no number, is being read; return its number."""

    def close_source(self, source_number: int, failures: Iterable[Failure]) -> None:
        """Record that a source was read to its end, and what could not be read."""

    def forget_source(self, source_number: int) -> int:
        """Forget a source with its paths, failures, notes and own documents; return how many documents were removed."""

    def put(self, embedded: Embedded, *, number: int | None) -> int:
        """Add a document, or replace document ``number``, with embeddings of the live generation; return its number.

        In every other generation the document has no embeddings from then on.
        """

    def remove(self, number: int) -> None:
        """Remove a document and all that belongs to it."""

    def link(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Record that a path stands for a document, and was read with this digest."""

    def claim(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Forget every other path that stands for a document and was read with another digest than this path."""

    def unlink(self, source_number: int, path: str) -> bool:
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
            StoreError: The index was never finished.
        """

    def generations(self, state: str | None = None) -> Sequence[Generation]:
        """Return the generations, or those in one state, oldest first."""

    def encoder(self, generation: Generation) -> Encoder:
        """Return the encoder of a generation.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """

    def check_encoder(self, generation: Generation) -> None:
        """Check the files of a generation's encoder without loading it.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """

    def restore_encoder(self, generation: Generation, encoder: Encoder) -> None:
        """Put an encoder with the right fingerprint in the place of a damaged one."""

    def begin(self, encoder: Encoder, *, base: Encoder | None = None) -> Generation:
        """Add a generation without embeddings, and keep its encoder, and what that was trained from."""

    def resume(self, number: int) -> None:
        """Let a retired generation be built again, from what it has."""

    def missing(self, number: int) -> int:
        """Return how many documents have no embeddings in a generation."""

    def unembedded(self, number: int, *, after: int = 0) -> AbstractContextManager[Iterator[Unembedded]]:
        """Read the documents above number ``after`` that a generation lacks, in order, from one committed state."""

    def embed(self, number: int, embedded: Sequence[tuple[Unembedded, Embeddings]]) -> None:
        """Add embeddings to a generation in one transaction, except for documents that have changed since."""

    def optimize(self, number: int) -> None:
        """Bring up to date what makes searching a generation fast."""

    def settle(self) -> None:
        """Finish what a run that was killed after publishing had not finished, unless a writer is about to do it."""

    def record(self, number: int, verdict: RecordedVerdict) -> None:
        """Record the verdict about a generation."""

    def publish(self, number: int, catch_up: Callable[[], int]) -> int:
        """Make a generation the live one in one transaction; the one that was live is retired.

        Args:
            number: The generation.
            catch_up: Embeds what was written meanwhile, while no writer can write; returns how many documents that was.

        Returns:
            What ``catch_up`` returned; 0 where nothing was missing.

        Raises:
            StoreError: The generation lacks a document, so that it cannot answer.
        """

    def drop(self, number: int) -> bool:
        """Give up building a generation; return whether it is kept, because it was live before."""

    def remove(self, numbers: Iterable[int], *, wait: bool = False) -> int:
        """Remove generations that are not live, and free their disk space; return how many bytes were freed.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
        """

    def map_live(self, number: int, alignment: Alignment) -> None:
        """Let the encoder of a generation that is being built answer at once, by mapping the live embeddings for it."""

    def alignment(self, number: int) -> Alignment | None:
        """Return what maps the live embeddings for a generation; None when nothing does, or it cannot be read."""

    def unmap(self, number: int) -> bool:
        """Let the live generation's own encoder answer again; return whether another one had answered."""
