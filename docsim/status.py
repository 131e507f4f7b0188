"""Status: what an index holds, said honestly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from docsim import approximate, generations, tuning
from docsim.approximate import Facts, Settings
from docsim.database import FILE
from docsim.index import Index

__all__ = ["EncoderStatus", "FailureStatus", "SearchStatus", "Sizes", "SourceStatus", "Status", "read_status"]


@dataclass(frozen=True, slots=True)
class EncoderStatus:
    """The encoder that the index answers with."""

    name: str
    fingerprint: str
    dim: int


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """How passages are searched.

    Attributes:
        index_type: What was asked for.
        factory: FAISS factory string of the approximate index; None while all passages are searched exactly.
        target: The recall@10 asked for.
        recall: The recall@10 measured when the approximate index was tuned; 1 for exact search.
        tuned: Passages it was tuned for; None for exact search.
        warnings: Why it should be tuned anew, a sentence each.
    """

    index_type: str
    factory: str | None
    target: float
    recall: float
    tuned: int | None
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk."""

    database: int
    snapshot: int
    encoder: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source; ``complete`` is false while it is being read, and after a run that was stopped half way."""

    kind: str
    location: str
    documents: int
    started: str
    finished: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """A document that could not be read at the last try."""

    source: str
    path: str
    reason: str
    failed: str


@dataclass(frozen=True, slots=True)
class Status:
    """What an index holds."""

    index: str
    documents: int
    passages: int
    failed: int
    generation: int
    encoder: EncoderStatus
    search: SearchStatus
    sizes: Sizes
    sources: list[SourceStatus]
    failures: list[FailureStatus]


def read_status(index: Index) -> Status:
    """Return what ``index`` holds, from one committed state."""
    store = index.store
    with store.reading():
        generation = index.generation()
        sources = store.rows(
            "SELECT kind, location, count(document), started, finished"
            " FROM sources LEFT JOIN origins ON source = number GROUP BY number ORDER BY number"
        )
        failures = store.rows(
            "SELECT location, path, reason, failed FROM failures JOIN sources ON source = number ORDER BY path"
        )
        documents = store.value("SELECT count(*) FROM documents")
        passages = store.value("SELECT count(*) FROM passages")
        asked = tuning.settings(store)
        known = approximate.written(generations.directory(index.path, generation.number))
    return Status(
        index=str(index.path),
        documents=documents,
        passages=passages,
        failed=len(failures),
        generation=generation.number,
        encoder=EncoderStatus(generation.encoder, generation.fingerprint, generation.dim),
        search=_search(asked, known, passages),
        sizes=_sizes(index.path, generations.directory(index.path, generation.number)),
        sources=[_source(*row) for row in sources],
        failures=[FailureStatus(*row) for row in failures],
    )


def _search(asked: Settings, known: Facts | None, passages: int) -> SearchStatus:
    if known is None or not known.factory:
        return SearchStatus(asked.kind, None, asked.recall, 1.0, None, [])
    doubts = tuning.doubts(known, passages)
    return SearchStatus(asked.kind, known.factory, asked.recall, known.recall, known.passages, doubts)


def _source(kind: str, location: str, documents: int, started: str, finished: str | None) -> SourceStatus:
    return SourceStatus(kind, location, documents, started, finished, complete=finished is not None)


def _sizes(index: Path, generation: Path) -> Sizes:
    return Sizes(
        database=sum(map(_size, index.glob(f"{FILE}*"))),
        snapshot=sum(map(_size, generation.glob("*.faiss"))),
        encoder=sum(map(_size, (generation / "encoder").glob("*"))),
    )


def _size(path: Path) -> int:
    """Return a file's bytes; none when a writer has just removed it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
