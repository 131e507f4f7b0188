"""The seam: the protocols through which docsim uses whatever stores its documents and vectors.

An engine keeps one index: documents, their passages, and for every generation the embeddings of the passages under one
encoder. Search, analysis, re-indexing and maintenance are written against these protocols only. There is no SQL here,
no FAISS object and no row number. `docsim.engine.local` keeps an index in a directory of one machine,
`docsim.engine.postgres` in a PostgreSQL database, and the tests have a tiny third engine made of dictionaries and
NumPy. All pass the same conformance suite.

    Engine      an open index; gives snapshots to read, a writer to write, a rebuilder to change generations
    Snapshot    one committed state of one generation: all its answers come from that state
    Sources     which source holds which document under which path
    Writer      adds, changes and removes documents; one transaction at a time
    Rebuilder   fills, publishes and removes generations

A document is known to its user by an ``id`` and to its engine by a ``number``, a positive whole number that is never
given to another document. Similarities are inner products of unit vectors, in [-1, 1]. Lexical scores are opaque:
higher is better, and only scores of one query can be compared.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from docsim.engine.records import Generation, GenerationFacts, SearchFacts, Sizes, Soundness
from docsim.engine.snapshot import Snapshot, TextMatches
from docsim.engine.writing import Rebuilder, Sources, Writer

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder

__all__ = ["Engine", "Rebuilder", "Snapshot", "Sources", "TextMatches", "Writer"]


class Engine(Protocol):
    """An open index. Reading is safe from several threads."""

    @property
    def address(self) -> str:
        """Where the index is, as the user names it."""

    @property
    def folder(self) -> Path:
        """The folder on this machine for files that belong to the index without being part of it.

        These are the record of use, the server's tokens, and locks. If the index is a directory, it is that directory.
        """

    @property
    def encoder(self) -> Encoder:
        """The encoder of the generation that is searched now, loaded when first asked for.

        Raises:
            EncoderError: It is missing, damaged or not the one that made the embeddings.
        """

    def close(self) -> None:
        """Close the index; safe to call twice."""

    def at(self, generation: int) -> Engine:
        """Open the same index again, to read one generation, whatever its state."""

    # Reading

    def generation(self) -> Generation:
        """Return the generation that is searched now.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """

    def prepare(self) -> None:
        """Load what the first search needs, several things at a time."""

    def snapshot(self, *, encoder: bool = False) -> AbstractContextManager[Snapshot]:
        """Read one committed state: the block sees nothing of what others write meanwhile.

        Args:
            encoder: Also load the encoder of that state, so that its failure is reported here.

        Raises:
            StoreError: There is no such generation, or the index is damaged.
            EncoderError: ``encoder`` is on, and the encoder is missing or damaged.
            IndexChanged: At the end of the block, if the index was changed during it and this engine could not hide the
                change. Discard everything that was read, and run the block again; a function decorated with
                ``docsim.engine.retrying.retried`` does so by itself.
        """

    def sources(self) -> Sources:
        """Return what is known about sources, as of the last commit."""

    # Writing

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

    def training(self, *, wait: bool) -> AbstractContextManager[None]:
        """Be the one process that trains an encoder for the index.

        Raises:
            IndexLocked: Another process is training and ``wait`` is off.
        """

    def is_rebuilding(self) -> bool:
        """Return whether a process is changing generations now."""

    # Files that belong to the index

    def encoder_directory(self, number: int) -> Path:
        """Return a directory that holds the encoder of a generation."""

    def base_directory(self, number: int) -> Path:
        """Return the directory of the encoder that a generation's was trained from; its own if there is none."""

    def report_directory(self, number: int) -> Path:
        """Return the directory where the report about a generation goes."""

    def workspace(self) -> Path:
        """Return a directory to train in; it may be removed when nobody is training."""

    def note(self, key: str) -> str | None:
        """Return the note that was stored under a name, a short text, or None."""

    def keep_note(self, key: str, text: str) -> None:
        """Store a note, a short text, under a name. Notes do not affect search results."""

    def notes(self) -> dict[str, str]:
        """Return all notes by their names."""

    # Looking after it

    def generations(self) -> list[GenerationFacts]:
        """Return all generations and how far they have come, oldest first."""

    def search_facts(self) -> SearchFacts:
        """Return how passages are searched."""

    def sizes(self) -> Sizes:
        """Return how many bytes the index takes."""

    def soundness(self) -> Soundness:
        """Check the stored embeddings of the generation that is searched."""

    def problems(self) -> list[str]:
        """Return what is wrong with the stored data and files, a sentence each."""

    def repair(self, *, index_type: str | None = None, recall: float | None = None, wait: bool = False) -> list[str]:
        """Rebuild what can be rebuilt from what is stored.

        Args:
            index_type: Search with this index type from now on, see ``Index.create``.
            recall: Tune it to this recall.
            wait: Wait for another process that is writing.

        Returns:
            The ids of the documents that cannot be rebuilt, and stay damaged until their source is indexed again.

        Raises:
            UsageError: There is no such index type or recall.
            IndexLocked: Another process is writing and ``wait`` is off.
        """
