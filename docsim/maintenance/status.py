"""Status: reports what an index holds."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from docsim.engine.records import Generation, GenerationFacts, RecordedSource, SearchFacts
from docsim.engine.retrying import retried
from docsim.filters.condition import Exists
from docsim.index import Index
from docsim.indexing import source_notes
from docsim.maintenance import vocabulary_advice
from docsim.models import LeftOut

__all__ = [
    "EncoderStatus",
    "FailureStatus",
    "GenerationStatus",
    "SizeStatus",
    "SourceStatus",
    "Status",
    "read_generations",
    "read_incomplete",
    "read_left_out",
    "read_sources",
    "read_status",
]


@dataclass(frozen=True, slots=True)
class EncoderStatus:
    """The encoder that the index answers with.

    Attributes:
        name: Its name.
        fingerprint: Its fingerprint.
        dim: Components of an embedding.
        unknown: The share of the documents' tokens that its vocabulary does not know, in [0, 1], by a sample; None if
            the encoder cannot be read.
        spelled_out: The share of their words that it spells out letter by letter, or does not know, likewise.
        advice: What to do about that; None where nothing needs to be done.
    """

    name: str
    fingerprint: str
    dim: int
    unknown: float | None = None
    spelled_out: float | None = None
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source.

    Attributes:
        kind: What it is.
        location: Where it is.
        documents: How many of its paths stand for documents.
        started: When it was last read, ISO 8601 in UTC.
        finished: When it was last read to its end.
        complete: False while it is being read, and after a run that was interrupted.
        gone: Whether it was in the file system and no longer is.
        left_out: How many of its files and folders are not read, by reason.
    """

    kind: str
    location: str
    documents: int
    started: str
    finished: str | None
    complete: bool
    gone: bool
    left_out: dict[str, int]


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
    search: SearchFacts
    sizes: SizeStatus
    sources: list[SourceStatus]
    failures: list[FailureStatus]
    incomplete: int


@retried
def read_status(index: Index) -> Status:
    """Return what an index holds, and how it is searched."""
    engine = index.engine
    generation = engine.generation()
    with engine.snapshot() as snapshot:
        counts = snapshot.counts()
        incomplete = snapshot.matching(Exists(("incomplete",)))
    failures = [FailureStatus(*astuple(one)) for one in engine.sources().failures()]
    building = [one for one in read_generations(index) if one.state == "building"]
    return Status(
        index=engine.address,
        documents=counts.documents,
        passages=counts.passages,
        failed=len(failures),
        generation=generation.number,
        encoder=_encoder(index, generation),
        building=building[0] if building else None,
        search=engine.search_facts(),
        sizes=SizeStatus(*astuple(engine.sizes())),
        sources=read_sources(index),
        failures=failures,
        incomplete=incomplete,
    )


def _encoder(index: Index, generation: Generation) -> EncoderStatus:
    found = vocabulary_advice.read_vocabulary(index)
    return EncoderStatus(
        name=generation.encoder,
        fingerprint=generation.fingerprint,
        dim=generation.dim,
        unknown=found.unknown if found else None,
        spelled_out=found.spelled_out if found else None,
        advice=vocabulary_advice.advice(found),
    )


@retried
def read_sources(index: Index) -> list[SourceStatus]:
    """Return the sources of an index, in the order in which they were first read."""
    return [_source(index, one) for one in index.engine.sources().sources()]


@retried
def read_left_out(index: Index) -> list[tuple[str, LeftOut]]:
    """Return what is not read, with the location of its source; of very many files the first."""
    return [
        (one.source.location, left)
        for one in index.engine.sources().sources()
        for left in source_notes.note(index.engine, one.number).left_out
    ]


@retried
def read_incomplete(index: Index) -> list[tuple[str, list[str]]]:
    """Return the documents of which something could not be read, and what, by id."""
    field = Exists(("incomplete",))
    with index.engine.snapshot() as snapshot:
        if not snapshot.matching(field):
            return []
        found = [one.document for one in snapshot.scan() if one.document.metadata.get("incomplete")]
    return sorted((one.id, list(one.metadata["incomplete"])) for one in found)


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


def _source(index: Index, one: RecordedSource) -> SourceStatus:
    return SourceStatus(
        kind=one.source.kind,
        location=one.source.location,
        documents=one.documents,
        started=one.started,
        finished=one.finished,
        complete=one.finished is not None,
        gone=one.source.is_gone,
        left_out=source_notes.note(index.engine, one.number).counts or {},
    )
