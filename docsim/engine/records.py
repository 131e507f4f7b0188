"""The records that cross the seam between docsim and an engine: see ``docsim.engine.base``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.models import Document, Passage
from docsim.text.storing import composed, storable

__all__ = [
    "DISTRUSTED",
    "Copied",
    "Counts",
    "Embedded",
    "Embeddings",
    "Generation",
    "GenerationFacts",
    "Holder",
    "KnownWord",
    "Neighbours",
    "Numbers",
    "Origin",
    "QueryTerm",
    "RecordedFailure",
    "RecordedSource",
    "RecordedVerdict",
    "SearchFacts",
    "Sizes",
    "Soundness",
    "SourceName",
    "Stacked",
    "StoredDocument",
    "Unembedded",
]

Embeddings = NDArray[np.float16]
"""Embeddings as they are kept: ``float16 (passages, dim)``, unit rows but for rounding."""

Numbers = NDArray[np.int64]
"""Numbers of documents, ``int64 (n,)``."""


@dataclass(frozen=True, slots=True)
class Stacked:
    """The embeddings of some documents, one document after the other.

    Attributes:
        rows: ``(passages, dim)``, unit rows but for rounding.
        counts: How many rows each document has, at least 1, ``int64 (documents,)``.
    """

    rows: NDArray[np.floating]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Generation:
    """The embeddings of every passage under one encoder.

    Attributes:
        number: Counts from 1 and is never used again.
        state: ``live`` (it answers), ``building`` or ``retired`` (it was live once, or its build was given up).
        fingerprint: Fingerprint of its encoder.
        encoder: The encoder's name.
        dim: Components of an embedding.
        created: When it was begun, ISO 8601 in UTC.
        published: When it last went live; None if it never did.
    """

    number: int
    state: str
    fingerprint: str
    encoder: str
    dim: int
    created: str
    published: str | None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it is kept.

    Attributes:
        number: The engine's name for it.
        document: What the user gave.
        digest: SHA-256 of its content, as ``Document.digest`` computes it.
        passages: How many passages it was split into.
    """

    number: int
    document: Document
    digest: str
    passages: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """A document with its passages and their embeddings, one row a passage."""

    document: Document
    passages: tuple[Passage, ...]
    vectors: Embeddings


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A document that a generation has no embeddings of.

    Attributes:
        number: The document's number.
        document: Its id, title and text; metadata are left out, as they are not embedded.
        passages: Its passages, at least one.
        version: Changes whenever the passages do; handed back with the embeddings, so that late ones are not kept.
    """

    number: int
    document: Document
    passages: tuple[Passage, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much an index holds."""

    documents: int
    passages: int


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of an index that was verified.

    Attributes:
        documents: How many documents it has.
        revision: The state that it is of.
        generations: How many generations it has.
        bytes: The size of its files.
    """

    documents: int
    revision: int
    generations: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest passages of each query, best first, told by their documents.

    Attributes:
        similarities: ``float32 (queries, n)`` inner products, descending.
        documents: ``int64 (queries, n)``: which document each passage belongs to.
        exhausted: Whether these are all passages that may be found.
    """

    similarities: NDArray[np.float32]
    documents: NDArray[np.int64]
    exhausted: bool


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A word, or a phrase of words in a row, to search for.

    Attributes:
        words: Folded words, at least one; see ``docsim.text``.
        weight: What a match of it counts, above 0.
        language: The language that the words are in, ISO 639-1; None where it is not known.
        exact: Whether only the very word counts, and none that shares its stem. Phrases always are exact.
        beginning: Whether every word counts that begins with the only one of ``words``.
    """

    words: tuple[str, ...]
    weight: float = 1.0
    language: str | None = None
    exact: bool = False
    beginning: bool = False


@dataclass(frozen=True, slots=True)
class KnownWord:
    """A word that documents hold.

    Attributes:
        word: The word, folded.
        documents: How many documents hold it, at least 1.
        edits: How many letters differ from the word that was asked for: left out, added, changed, or two neighbours
            swapped.
    """

    word: str
    documents: int
    edits: int = 0


@dataclass(frozen=True, slots=True)
class SourceName:
    """What a source is known by in an index.

    Attributes:
        kind: ``folder``, ``file``, ``records``, ``export``, ``stdin``, ``python`` or ``api``.
        location: Unique in the index: an absolute path, or any name for what is not in the file system.
        name: Short; put before a document's path when another source already holds a document of that id.
    """

    kind: str
    location: str
    name: str

    def __post_init__(self) -> None:
        for field in ("location", "name"):
            object.__setattr__(self, field, storable(_spelled_out(getattr(self, field))))

    @property
    def is_gone(self) -> bool:
        """Whether it was in the file system and no longer is. A path that is not UTF-8 cannot be looked up."""
        is_file = self.kind in ("folder", "file", "records", "export") and "\\udc" not in self.location
        return is_file and not Path(self.location).exists()

    def path_of(self, file: Path) -> str | None:
        """Return the path that a file has in this source; None where it is outside.

        Args:
            file: Its absolute path, with symbolic links resolved.
        """
        if self.kind not in ("folder", "file"):
            return None
        location = Path(os.path.realpath(self.location))
        if self.kind == "file":
            name = Path(self.location).name if location == file else None
        else:
            name = file.relative_to(location).as_posix() if file.is_relative_to(location) else None
        # as in docsim.ingest.sources
        return None if name is None else composed(os.fsencode(name).decode("utf-8", "backslashreplace"))


DISTRUSTED = ""
"""The digest of a path whose document is damaged, so that its source brings the document back."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The number of the document that a source's path stands for, and the digest that the path was last read with."""

    document_number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Holder:
    """One of the paths that stand for a document.

    Attributes:
        source_number: Number of the source that the path belongs to.
        path: The path.
        source: That source.
        digest: What the path was last read with.
        read: When that source began to be read the last time, ISO 8601 in UTC; None if it was not read to its end, or
            this path could not be read then.
    """

    source_number: int
    path: str
    source: SourceName
    digest: str
    read: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """A source as an index knows it.

    Attributes:
        number: The engine's name for it.
        source: What the user calls it.
        documents: How many of its paths stand for documents.
        started: When it was last read, ISO 8601 in UTC.
        finished: When it was last read to its end; None while it is being read, and after a run that was stopped.
    """

    number: int
    source: SourceName
    documents: int
    started: str
    finished: str | None


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """A document that could not be read the last time, and why.

    Attributes:
        location: That of its source.
        path: Its path in the source.
        reason: Why, one clause for people.
        failed: When, ISO 8601 in UTC.
    """

    location: str
    path: str
    reason: str
    failed: str


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """What was found when a generation was compared with the live one.

    Attributes:
        passed: Whether it may be published.
        sound: Whether everything but quality was as it should be.
        metrics: What its answers were measured at, by name.
        questions: What they were measured on; None if they were not.
    """

    passed: bool
    sound: bool
    metrics: dict[str, float]
    questions: str | None


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """A generation and how far it has come.

    Attributes:
        generation: The generation.
        documents: Documents that it has embeddings of.
        bytes: Room that its embeddings and files take.
        verdict: What the gate found; None before.
        is_mapped: Whether its encoder answers already, over the live generation's embeddings.
    """

    generation: Generation
    documents: int
    bytes: int
    verdict: RecordedVerdict | None
    is_mapped: bool


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """How passages are searched.

    Attributes:
        index_type: What was asked for.
        factory: The approximate index, as its engine names it (in FAISS, its factory string); None while every passage
            is compared.
        target: The recall@10 that was asked for.
        recall: The recall@10 that was measured; 1.0 for exact search.
        tuned: How many passages it was tuned for; None for exact search.
        warnings: Why it should be tuned again, a sentence each.
    """

    index_type: str
    factory: str | None
    target: float
    recall: float
    tuned: int | None
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk: of documents and embeddings, of what makes searching these fast, and of the live encoder."""

    database: int
    search: int
    encoder: int


@dataclass(frozen=True, slots=True)
class Soundness:
    """Whether a generation has what it should have.

    Attributes:
        documents: How many documents there are.
        lacking: How many of them have no embeddings in the generation.
        early: How many of these should have: they came before the generation was last brought up to date.
        damaged: Numbers of the documents whose embeddings are altered, not finite or not of unit norm.
    """

    documents: int
    lacking: int
    early: int
    damaged: tuple[int, ...]


def _spelled_out(text: str) -> str:
    """Return text with each byte of a file name that is not UTF-8 spelled out, as a backslash and ``udc..``."""
    return text.encode("utf-8", "backslashreplace").decode()
