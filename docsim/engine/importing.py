"""Importing: what a copy of an index from one engine to another is made of.

Numbers of documents, sources and generations stay what they were. While a copy is made it does not answer; it knows
what it is a copy of, so that one that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from docsim.engine.records import (
    Embeddings,
    Generation,
    Origin,
    RecordedFailure,
    RecordedSource,
    RecordedVerdict,
    StoredDocument,
)
from docsim.errors import UsageError
from docsim.models import Passage

__all__ = ["Carried", "Importer", "Kept", "KeptGeneration", "PathOf", "occupied"]


@dataclass(frozen=True, slots=True)
class PathOf:
    """A path of a source, and what it stands for."""

    source_number: int
    path: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Carried:
    """A document with all that belongs to it.

    Attributes:
        stored: The document.
        passages: Its passages, in order.
        embeddings: Its embeddings by generation, ``float16 (passages, dim)`` each, of those that have them.
        paths: The paths that stand for it.
    """

    stored: StoredDocument
    passages: tuple[Passage, ...]
    embeddings: Mapping[int, Embeddings]
    paths: tuple[PathOf, ...]


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """A generation without its embeddings.

    Attributes:
        generation: The generation.
        verdict: What the gate found; None if it was not asked.
        encoder: The folder of its encoder.
        base: The folder of what that was trained from; None if it was not.
        report: The folder of the report about it; None if there is none.
    """

    generation: Generation
    verdict: RecordedVerdict | None
    encoder: Path
    base: Path | None
    report: Path | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What an index keeps beside its documents.

    Attributes:
        mark: Tells the state that is copied from every other one.
        revision: The state's number.
        generations: Oldest first.
        sources: In the order of their numbers.
        failures: What could not be read.
        notes: Small texts by their names.
        index_type: How passages are searched.
        recall: What approximate search is tuned to.
    """

    mark: str
    revision: int
    generations: tuple[KeptGeneration, ...]
    sources: tuple[RecordedSource, ...]
    failures: tuple[RecordedFailure, ...]
    notes: Mapping[str, str]
    index_type: str
    recall: float


class Importer(Protocol):
    """Writes a copy of an index; its owner holds the writer's lock."""

    def begin(self, kept: Kept) -> int:
        """Begin a copy, or go on with one of the same state; return the number of the last document that it has.

        An unfinished copy of another state is made anew.

        Raises:
            UsageError: There is an index already.
        """

    def add(self, documents: Sequence[Carried]) -> None:
        """Add documents in one transaction, in ascending order of their numbers."""

    def finish(self, kept: Kept) -> None:
        """Let the copy answer, and make what makes searching it fast."""


def occupied(address: str) -> UsageError:
    """Return the error for a place where there is an index already."""
    return UsageError(f"expected no index at {address}, found one; copy to another place, or remove it first")
