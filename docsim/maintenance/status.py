"""Status: reports what an index holds."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from docsim.engine.records import GenerationFacts, RecordedSource
from docsim.engine.retrying import retried
from docsim.index import Index

__all__ = [
    "EncoderStatus",
    "FailureStatus",
    "GenerationStatus",
    "SearchStatus",
    "SizeStatus",
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
class SourceStatus:
    """One source. ``complete`` is false while it is being read, and after a run that was interrupted."""

    kind: str
    location: str
    documents: int
    started: str
    finished: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class FailureStatus:
    """A document that could not be read the last time."""

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
        dim: The dimension of its embeddings.
        created: When it was begun, ISO 8601 in UTC.
        published: When it last went live; None if it never did.
        documents: How many documents it has embeddings of.
        bytes: The size of its embeddings and files.
        passed: Whether it passed the gate; None if it was not checked.
        metrics: What the gate measured, by metric name.
        adapter: Whether its encoder already answers, over mapped embeddings of the live generation.
        sound: Whether it passed every check of the gate except quality, so that it may be published; None if not
            checked.
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
class SearchStatus:
    """How passages are searched.

    Attributes:
        index_type: What was asked for.
        factory: The FAISS factory string of the approximate index; None while every passage is compared.
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
class SizeStatus:
    """Bytes on disk: of the database, of the live generation's FAISS file (``snapshot``), and of its encoder."""

    database: int
    snapshot: int
    encoder: int


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
    sizes: SizeStatus
    sources: list[SourceStatus]
    failures: list[FailureStatus]


@retried
def read_status(index: Index) -> Status:
    """Return what an index holds, and how it is searched."""
    engine = index.engine
    generation = engine.generation()
    with engine.snapshot() as snapshot:
        counts = snapshot.counts()
    failures = [FailureStatus(*astuple(one)) for one in engine.sources().failures()]
    building = [one for one in read_generations(index) if one.state == "building"]
    return Status(
        index=engine.address,
        documents=counts.documents,
        passages=counts.passages,
        failed=len(failures),
        generation=generation.number,
        encoder=EncoderStatus(generation.encoder, generation.fingerprint, generation.dim),
        building=building[0] if building else None,
        search=SearchStatus(*astuple(engine.search_facts())),
        sizes=SizeStatus(*astuple(engine.sizes())),
        sources=[_source(one) for one in engine.sources().sources()],
        failures=failures,
    )


@retried
def read_generations(index: Index) -> list[GenerationStatus]:
    """Return the generations of an index, oldest first."""
    return [_generation(one) for one in index.engine.generations()]


def _generation(facts: GenerationFacts) -> GenerationStatus:
    one, verdict = facts.generation, facts.verdict
    return GenerationStatus(
        number=one.number,
        state=one.state,
        encoder=one.encoder,
        fingerprint=one.fingerprint,
        dim=one.dim,
        created=one.created,
        published=one.published,
        documents=facts.documents,
        bytes=facts.bytes,
        passed=verdict.passed if verdict else None,
        metrics=verdict.metrics if verdict else {},
        adapter=facts.is_mapped,
        sound=verdict.sound if verdict else None,
    )


def _source(one: RecordedSource) -> SourceStatus:
    name = one.source
    return SourceStatus(
        name.kind, name.location, one.documents, one.started, one.finished, complete=one.finished is not None
    )
