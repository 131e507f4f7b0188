"""Copying an index to another place or another engine: from a directory to PostgreSQL, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path

import numpy as np

from docsim.engine import opening
from docsim.engine.base import Engine, Snapshot
from docsim.engine.importing import Carried, Importer, Kept, KeptGeneration, PathOf
from docsim.engine.records import Copied, Embeddings, Generation, GenerationFacts, Origin
from docsim.errors import StoreError, UsageError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.progress import SILENT, Progress

__all__ = ["copy_index"]

_DOCUMENTS = 500
"""Documents of a transaction."""


def copy_index(source: str | Path, target: str | Path, *, wait: bool = False, progress: Progress = SILENT) -> Copied:
    """Copy an index with all its generations, and verify the copy; an interrupted copy goes on.

    Nobody may write to either meanwhile; searching goes on. The copy has documents, sources, embeddings, all
    generations with their encoders and reports, and notes. Tokens, and what was recorded of use, stay where they are.

    Args:
        source: The index's directory or address.
        target: Where the copy goes; there must be no index yet.
        wait: Wait for other processes that are writing.
        progress: Told what is being done.

    Raises:
        UsageError: There is an index at ``target``, or both are the same.
        IndexLocked: Another process is writing and ``wait`` is off.
        StoreError: There is no finished index, it is damaged, or the copy cannot be written.
    """
    if opening.shown(source) == opening.shown(target):
        raise UsageError(f"expected two places to copy from and to, got {opening.shown(source)} twice")
    engine = opening.open_engine(source)
    with ExitStack() as stack:
        stack.callback(engine.close)
        stack.enter_context(engine.rebuilder(wait=wait))
        stack.enter_context(engine.writer(wait=wait))
        kept = _kept(engine)
        with opening.importer(target, wait=wait) as importer:
            _copy(engine, kept, importer, progress)
        facts = engine.generations()
    progress.say("Verifying the copy.")
    return _verified(target, facts)


def _kept(engine: Engine) -> Kept:
    """Return what an index keeps beside its documents."""
    live, search = engine.generation(), engine.search_facts()
    with engine.snapshot() as snapshot:
        revision = snapshot.revision
    found = engine.sources()
    return Kept(
        mark=f"{engine.address} {revision} {live.number} {live.published}",
        revision=revision,
        generations=tuple(_generation(engine, one) for one in engine.generations()),
        sources=tuple(found.sources()),
        failures=tuple(found.failures()),
        notes=engine.notes(),
        index_type=search.index_type,
        recall=search.target,
    )


def _generation(engine: Engine, facts: GenerationFacts) -> KeptGeneration:
    number = facts.generation.number
    encoder, base, report = (
        engine.encoder_directory(number),
        engine.base_directory(number),
        engine.report_directory(number),
    )
    return KeptGeneration(
        facts.generation,
        facts.verdict,
        encoder,
        base if base != encoder else None,
        report if report.is_dir() else None,
    )


def _copy(engine: Engine, kept: Kept, importer: Importer, progress: Progress) -> None:
    last = importer.begin(kept)
    with ExitStack() as stack:
        snapshot = stack.enter_context(engine.snapshot())
        others = {}
        for one in kept.generations:
            at = engine.at(one.generation.number)
            stack.callback(at.close)
            others[one.generation.number] = stack.enter_context(at.snapshot())
        numbers = [number for number in snapshot.passage_counts() if number > last]
        progress.begin("Copying", len(numbers))
        embedded = {number: set(other.embedded().tolist()) for number, other in others.items()}
        for start in range(0, len(numbers), _DOCUMENTS):
            some = numbers[start : start + _DOCUMENTS]
            importer.add(list(_carried(engine, snapshot, others, embedded, some)))
            progress.advance(len(some))
    importer.finish(kept)


def _carried(
    engine: Engine,
    snapshot: Snapshot,
    others: dict[int, Snapshot],
    embedded: dict[int, set[int]],
    numbers: Sequence[int],
) -> Iterator[Carried]:
    """Yield some documents with all that belongs to them."""
    stored, spans, sources = snapshot.documents(numbers), snapshot.passages(numbers), engine.sources()
    rows: dict[int, dict[int, Embeddings]] = {}
    for generation, other in others.items():
        here = [number for number in numbers if number in embedded[generation]]
        held = other.embeddings(np.array(here, np.int64)) if here else []
        rows[generation] = {number: one.copy() for number, one in zip(here, held, strict=True)}
    for number in numbers:
        holders = sources.holders(number)
        yield Carried(
            stored[number],
            tuple(spans[number]),
            {generation: held[number] for generation, held in rows.items() if number in held},
            tuple(PathOf(one.source_number, one.path, Origin(number, one.digest)) for one in holders),
        )


def _verified(target: str | Path, facts: Sequence[GenerationFacts]) -> Copied:
    """Check that a copy is sound, and has what the original has."""
    with Index.open(target) as index:
        problems = verify.problems(index)
        if not problems and _told(index.engine.generations()) != _told(facts):
            problems = ["it has other generations"]
        if problems:
            raise StoreError(f"the copy at {opening.shown(target)} is not sound: {problems[0]}")
        with index.engine.snapshot() as snapshot:
            documents, revision = snapshot.counts().documents, snapshot.revision
        size = sum(astuple(index.engine.sizes()))
        return Copied(documents, revision, len(facts), size)


def _told(facts: Sequence[GenerationFacts]) -> list[tuple[object, ...]]:
    """Return what has to be the same of generations."""
    names = Generation.__slots__
    return [(*(getattr(one.generation, name) for name in names), one.documents, one.verdict) for one in facts]
