"""Adapting an index: train its encoder on its own documents, and re-index with the result.

Training always starts from the encoder that the index had before it was first adapted, which is kept beside each
adapted generation. What was learned from is noted in the index, so that nothing is trained twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from docsim.encoding.encoder import MANIFEST_FILE, Encoder, fingerprint_of
from docsim.engine.base import Engine
from docsim.engine.records import Generation
from docsim.engine.retrying import retried
from docsim.errors import EncoderError, EncoderGone, IndexChanged, IndexLocked, StoreError
from docsim.index import Index
from docsim.jobs.train import CORPUS, IndexTexts, Trained, TrainOptions, train
from docsim.maintenance import vocabulary_advice
from docsim.progress import SILENT, Progress
from docsim.reindex import reindexing
from docsim.reindex.examination import DEFAULT_GATE, GateOptions
from docsim.reindex.reindexing import Reindexed
from docsim.use import judgements

__all__ = ["RECIPE", "AdaptOptions", "Adapted", "Task", "adapt", "carry_out", "note", "task"]

RECIPE = 3
"""Raised whenever training makes another encoder of the same documents, so that indexes are adapted anew."""

_KEY = "adapted"

_LOOKS = 5
"""How often what is to be done is found out again, because generations were removed meanwhile."""


@dataclass(frozen=True, slots=True)
class AdaptOptions:
    """How to adapt an index.

    Attributes:
        start: Directory of the encoder to start from; by default the one that the index had before it was adapted.
        teacher: Directory of an encoder whose embeddings are learned from as well.
        teacher_weight: Weight of what the teacher teaches; by default 1 for short documents and 0 for others.
        time_limit: Seconds after which training ends, with the best weights so far.
        seed: Seed of everything that is random.
        gate: What the new generation has to pass to be published.
        use: Whether what people asked is learned from, if it is recorded.
        wait: Wait for another process that is training or re-indexing.
    """

    start: Path | None = None
    teacher: Path | None = None
    teacher_weight: float | None = None
    time_limit: float | None = None
    seed: int = 0
    gate: GateOptions = DEFAULT_GATE
    use: bool = True
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learned from what.

    Attributes:
        base: The encoder to start from.
        digest: SHA-256 (64 hex digits) of the documents, the start and the settings.
        known: The encoder that came of this before; None when it is to be trained.
        live: Number of the live generation.
        is_live: Whether ``known`` is what the index answers with.
        is_futile: Whether nothing was learned from this before, so that there is nothing to train.
    """

    base: Encoder
    digest: str
    known: Encoder | None
    live: int
    is_live: bool
    is_futile: bool = False


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of adapting an index.

    Attributes:
        task: What was to be done.
        trained: What came of the training; None when the encoder was there already, or nothing was learned before.
        reindexed: How the re-index ended; where nothing was learned, ``unchanged`` says so, and there was none.
    """

    task: Task
    trained: Trained | None
    reindexed: Reindexed


def adapt(
    index: Index,
    options: AdaptOptions = AdaptOptions(),
    *,
    progress: Progress = SILENT,
) -> Adapted:
    """Train on the documents of an index, and on what people asked of it, and re-index with the result.

    An encoder that learned nothing is not published: the index goes on answering with the one that it has.

    Nothing is trained when neither the documents nor their use, the start, the settings nor docsim's recipe of training
    have changed since the last time.

    Args:
        index: The index.
        options: How to do it.
        progress: Told what is being done.

    Raises:
        TrainingError: There are too few documents.
        EncoderError: The encoder to start from, or the teacher, is missing or damaged.
        IndexLocked: Another process is training or re-indexing and ``wait`` is off.
        StoreError: The index cannot be written to.
    """
    return carry_out(index, task(index, options), options, progress=progress)


def task(index: Index, options: AdaptOptions = AdaptOptions()) -> Task:
    """Return what adapting an index has to do.

    Raises:
        EncoderError: The encoder to start from, or the teacher, is missing or damaged.
    """
    engine = index.engine
    live, contents, base = _contents(engine, options.start)
    digest = hashlib.sha256(f"{base.fingerprint} {_settings(options)}".encode())
    for content in contents:
        digest.update(content.encode())
    digest.update(judgements.of_index(index.path).digest().encode() if options.use else b"")
    noted = json.loads(engine.note(_KEY) or "{}")
    is_noted = noted.get("digest") == digest.hexdigest()
    fingerprint = str(noted.get("encoder", "")) if is_noted else ""
    places = [engine.encoder_directory(one.generation.number) for one in engine.generations()]
    known = _known([*places, _trained_directory(index)], fingerprint) if fingerprint else None
    is_futile = is_noted and not fingerprint
    return Task(base, digest.hexdigest(), known, live.number, live.fingerprint == fingerprint, is_futile)


@retried
def _contents(engine: Engine, start: Path | None) -> tuple[Generation, list[str], Encoder]:
    """Return the live generation, the digests of all documents, ordered by id, and the encoder to start from."""
    with engine.snapshot() as snapshot:
        found = sorted((one.document.id, one.digest) for one in snapshot.scan(characters=0))
        live = snapshot.generation
    try:
        base = Encoder.load(start or engine.base_directory(live.number))
    except EncoderError as error:
        if start is not None or engine.generation().number == live.number:
            raise
        raise IndexChanged("the generation that was live was removed; try again in a moment") from error
    return live, [digest for _, digest in found], base


def carry_out(index: Index, found: Task, options: AdaptOptions, *, progress: Progress = SILENT) -> Adapted:
    """Do what ``task`` found is to be done; see ``adapt``.

    It is found out again where others have removed the generation whose encoder was to be used.
    """
    for _ in range(_LOOKS - 1):
        try:
            return _carried_out(index, found, options, progress)
        except EncoderGone:
            found = task(index, options)
    return _carried_out(index, found, options, progress)


def _carried_out(index: Index, found: Task, options: AdaptOptions, progress: Progress) -> Adapted:
    started = time.perf_counter()
    if found.is_futile:
        return Adapted(found, None, _unchanged(found, started))
    if found.known:
        adapted = Adapted(found, None, _reindexed(index, found, found.known, options, progress))
        with suppress(IndexLocked), index.engine.training(wait=False):
            shutil.rmtree(index.engine.workspace(), ignore_errors=True)  # the generation has the encoder now
        return adapted
    with index.engine.training(wait=options.wait):  # until the generation has it, or another training would remove it
        kept = _with_kept_base(index, found)
        trained = _trained(index, kept, options, progress)
        reindexed = (
            _reindexed(index, kept, trained.encoder, options, progress)
            if trained.learned
            else _unchanged(found, started)
        )
        shutil.rmtree(index.engine.workspace(), ignore_errors=True)
    return Adapted(found, trained, reindexed)


def _reindexed(index: Index, found: Task, encoder: Encoder, options: AdaptOptions, progress: Progress) -> Reindexed:
    return reindexing.reindex(
        index,
        encoder,
        base=found.base,
        gate=options.gate,
        wait=options.wait,
        progress=SILENT if found.is_live else progress,
    )


def _unchanged(found: Task, started: float) -> Reindexed:
    """Return what is said where nothing was learned."""
    before = " before, and neither they nor the options have changed" if found.is_futile else ""
    told = (
        f"Training on these documents found nothing better than the start{before}, so nothing is published; generation "
        f"{found.live} goes on answering."
    )
    return Reindexed(found.live, found.live, True, 0, time.perf_counter() - started, unchanged=told)


def note(index: Index, found: Task, encoder: Encoder | None) -> None:
    """Record what encoder came of a task; None when nothing was learned.

    Raises:
        StoreError: The index cannot be written to.
    """
    index.engine.keep_note(
        _KEY, json.dumps({"digest": found.digest, "encoder": encoder.fingerprint if encoder else ""})
    )


def _settings(options: AdaptOptions) -> str:
    """Return what decides about the result beside documents and start, the recipe of this docsim among it."""
    teacher = f" {fingerprint_of(options.teacher)} {options.teacher_weight}" if options.teacher else ""
    return f"recipe {RECIPE} {options.seed} {options.time_limit}{teacher}"


def _with_kept_base(index: Index, found: Task) -> Task:
    """Begin an empty workspace; keep in it the encoder to start from if a generation holds it, which may be removed.

    Raises:
        EncoderGone: It was removed already.
        StoreError: The workspace cannot be written.
    """
    workspace, base = index.engine.workspace(), found.base
    try:
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir()
        if index.path.resolve() not in base.path.resolve().parents:
            return found
        shutil.copytree(base.path, workspace / "base")
        return replace(found, base=Encoder.load(workspace / "base"))
    except (OSError, EncoderError) as error:
        if not (base.path / MANIFEST_FILE).is_file():
            raise EncoderGone(f"the encoder at {base.path} was removed meanwhile; choose one again") from error
        raise StoreError(f"could not write to {workspace}: {error}; what was committed before is safe") from error


def _trained(index: Index, found: Task, options: AdaptOptions, progress: Progress) -> Trained:
    """Train as the only process that does, and note what came of it."""
    wanted = TrainOptions(
        name=f"{index.path.resolve().name}-adapted",
        start=_start(index, found.base, options, progress),
        teacher=options.teacher,
        teacher_weight=options.teacher_weight,
        seed=options.seed,
        time_limit=options.time_limit,
    )
    trained = train(IndexTexts(index.path, options.use), _trained_directory(index), wanted, progress=progress)
    note(index, found, trained.encoder if trained.learned else None)
    return trained


def _start(index: Index, base: Encoder, options: AdaptOptions, progress: Progress) -> str:
    """Return what training starts from: the documents alone where a shipped encoder would spell them out."""
    if options.start is not None or vocabulary_advice.suits(index, base):
        return str(base.path)
    progress.say("Making a vocabulary of these documents, as the encoder would read their words letter by letter.")
    return CORPUS


def _trained_directory(index: Index) -> Path:
    return index.engine.workspace() / "encoder"


def _known(places: list[Path], fingerprint: str) -> Encoder | None:
    """Return the encoder with a fingerprint, if it is in one of some directories."""
    for place in places:
        try:
            if fingerprint_of(place) == fingerprint:
                return Encoder.load(place)
        except EncoderError:
            continue
    return None
