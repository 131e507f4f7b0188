"""Status: what an index holds, said honestly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from docsim.engine.local import ann, ann_tuning, snapshots
from docsim.engine.local.ann import Facts, Settings
from docsim.engine.local.database import FILE
from docsim.engine.local.store import Generation, Store
from docsim.index import Index

__all__ = [
    "EncoderStatus",
    "FailureStatus",
    "GenerationStatus",
    "SearchStatus",
    "Sizes",
    "SourceStatus",
    "Status",
    "read_generations",
    "read_status",
]


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
class GenerationStatus:
    """One generation.

    Attributes:
        number: Its number.
        state: ``live``, ``retired`` or ``building``.
        encoder: Its encoder's name.
        fingerprint: Its encoder's fingerprint.
        dim: Components of its embeddings.
        created: When it was begun.
        published: When it went live last; None if it never did.
        documents: Documents that are embedded in it.
        bytes: Room that its embeddings and files take.
        passed: Whether it passed the checks before publishing; None if it was not checked.
        sound: Whether it passed all but perhaps that of quality, so that it may be published; None if not checked.
        metrics: What it was measured at then, by name.
        adapter: Whether its encoder answers already, over the live embeddings.
    """

    number: int
    state: str
    encoder: str
    fingerprint: str
    dim: int
    created: str
    published: str | None
    documents: int
    bytes: int
    passed: bool | None
    metrics: dict[str, float]
    adapter: bool = False
    sound: bool | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What an index holds."""

    index: str
    documents: int
    passages: int
    failed: int
    generation: int
    encoder: EncoderStatus
    building: GenerationStatus | None
    search: SearchStatus
    sizes: Sizes
    sources: list[SourceStatus]
    failures: list[FailureStatus]


def read_status(index: Index) -> Status:
    """Return what ``index`` holds, from one committed state."""
    store = index.store
    with store.reading():
        generation = index.generation()
        sources, failures = _sources(store), _failures(store)
        documents = store.value("SELECT count(*) FROM documents")
        passages = store.value("SELECT count(*) FROM passages")
        building = [_generation(store, index.path, one) for one in store.generations("building")]
        asked = ann_tuning.settings(store)
        known = ann.written(snapshots.directory(index.path, generation.number))
    return Status(
        index=str(index.path),
        documents=documents,
        passages=passages,
        failed=len(failures),
        generation=generation.number,
        encoder=EncoderStatus(generation.encoder, generation.fingerprint, generation.dim),
        building=building[0] if building else None,
        search=_search(asked, known, passages),
        sizes=_sizes(index.path, snapshots.directory(index.path, generation.number)),
        sources=sources,
        failures=failures,
    )


def _sources(store: Store) -> list[SourceStatus]:
    rows = store.rows(
        "SELECT kind, location, count(document), started, finished"
        " FROM sources LEFT JOIN origins ON source = number GROUP BY number ORDER BY number"
    )
    return [_source(*row) for row in rows]


def _failures(store: Store) -> list[FailureStatus]:
    rows = store.rows(
        "SELECT location, path, reason, failed FROM failures JOIN sources ON source = number ORDER BY path"
    )
    return [FailureStatus(*row) for row in rows]


def read_generations(index: Index) -> list[GenerationStatus]:
    """Return the generations of ``index``, oldest first, from one committed state."""
    with index.store.reading():
        return [_generation(index.store, index.path, one) for one in index.store.generations()]


def _generation(store: Store, path: Path, one: Generation) -> GenerationStatus:
    sql = "SELECT count(*), coalesce(sum(length(vectors)), 0) FROM embeddings WHERE generation = ?"
    documents, size = store.rows(sql, one.number)[0]
    verdict = store.rows("SELECT passed, summary FROM verdicts WHERE generation = ?", one.number)
    passed, summary = verdict[0] if verdict else (None, "{}")
    told = json.loads(summary)
    files = sum(map(_size, snapshots.directory(path, one.number).rglob("*")))
    return GenerationStatus(
        number=one.number,
        state=one.state,
        encoder=one.encoder,
        fingerprint=one.fingerprint,
        dim=one.dim,
        created=one.created,
        published=one.published,
        documents=documents,
        bytes=size + files,
        passed=None if passed is None else bool(passed),
        metrics=told.get("metrics", {}),
        adapter=(row := store.adapter()) is not None and row.generation == one.number,
        sound=None if passed is None else bool(told.get("sound", passed)),
    )


def _search(asked: Settings, known: Facts | None, passages: int) -> SearchStatus:
    doubts = ann_tuning.doubts(known, passages)
    if known is None or not known.factory:
        return SearchStatus(asked.kind, None, asked.recall, 1.0, None, doubts)
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
