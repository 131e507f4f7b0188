"""Training an encoder: on the documents of an index or a corpus, without labels, or on labelled examples.

Keras, which takes seconds to import, is imported only when a training begins: the command line uses the records of this
module for its options, and has to start quickly.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docsim.encoding.encoder import MANIFEST_FILE, Encoder
from docsim.errors import UsageError
from docsim.models import Document, TrainingOptions
from docsim.progress import SILENT, Progress
from docsim.use import judgements

if TYPE_CHECKING:
    from docsim.training.data.labelled_examples import Examples
    from docsim.training.loop.checkpoint import ProgressPoint
    from docsim.training.loop.config import TeacherConfig, TrainingConfig
    from docsim.training.loop.report import TowerSnapshot
    from docsim.training.loop.trainer import TrainingJob, TrainingResult
    from docsim.training.towers.starting_point import StartingPoint

__all__ = [
    "CORPUS",
    "CorpusTexts",
    "IndexTexts",
    "LabelledTexts",
    "TrainOptions",
    "Trained",
    "TrainingTexts",
    "check_directory",
    "train",
]


CORPUS = "corpus"
"""A start for training: a vocabulary and token vectors that are made of the documents alone."""


@dataclass(frozen=True, slots=True)
class IndexTexts:
    """The documents of the index in a directory, and what people asked of it.

    Attributes:
        path: The index's directory.
        use: Whether the record of use is learned from, if there is one.
    """

    path: Path
    use: bool = True


@dataclass(frozen=True, slots=True)
class CorpusTexts:
    """The documents of a folder or file, as ``docsim.ingest.sources`` reads them."""

    source: str


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """A table of scored pairs, positive pairs or triplets.

    Attributes:
        file: A ``.csv``, ``.tsv`` or ``.jsonl`` file.
        score_range: The lowest and the highest score.
    """

    file: Path
    score_range: tuple[float, float] = (0.0, 1.0)


TrainingTexts = IndexTexts | CorpusTexts | LabelledTexts


@dataclass(frozen=True, slots=True)
class TrainOptions(TrainingOptions):
    """How to train, what to start from and what to write.

    Attributes:
        name: The encoder's name for people; by default that of its directory.
        start: What to start from: an encoder's directory or name, ``scratch``, or ``CORPUS``.
        precision: ``float32``, ``float16`` or ``bfloat16``.
        epochs: Passes over the texts, instead of ``steps``.
        teacher: Directory of an encoder whose embeddings are learned from as well.
        teacher_weight: Weight of what the teacher teaches; by default 1 for short documents and 0 for others.
        resume: Continue a training that was killed.
        report: Directory for a report.
        tensorboard: Directory for TensorBoard logs.
    """

    name: str | None = None
    start: str = "fast"
    precision: str = "float32"
    epochs: int | None = None
    teacher: Path | None = None
    teacher_weight: float | None = None
    resume: bool = False
    report: Path | None = None
    tensorboard: Path | None = None

    @property
    def asks_teacher(self) -> bool:
        """Whether there is a teacher that may be asked."""
        return self.teacher is not None and self.teacher_weight != 0


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training.

    Attributes:
        encoder: The encoder that was written.
        probe: What was measured while training, for people.
        before: The probe before training.
        after: The probe of the weights that were kept.
        steps: Steps that were done.
        kept: The step whose weights were kept; 0 when nothing was better than the start.
        learned: Whether the encoder knows more than one that was there before: a step was kept, or what training
            started from was made of the documents.
        ended: Why training ended: ``steps``, ``patience`` or ``time``.
        teacher: The name of the teacher that was asked; None when none was.
        seconds: How long training took.
    """

    encoder: Encoder
    probe: str
    before: float
    after: float
    steps: int
    kept: int
    learned: bool
    ended: str
    teacher: str | None
    seconds: float


def train(
    texts: TrainingTexts,
    out: Path,
    options: TrainOptions = TrainOptions(),
    *,
    progress: Progress = SILENT,
) -> Trained:
    """Train an encoder and write it to a directory.

    Args:
        texts: What to learn from.
        out: Directory to write; an encoder that is already there is replaced. A checkpoint, and the teacher's
            embeddings, are kept beside it, so that a training that was killed can be resumed.
        options: How to train.
        progress: Told what is being done.

    Raises:
        UsageError: ``out`` holds something else, or there is nothing to read at the corpus.
        TrainingError: There are too few texts, an option is out of its range, or there is no training to resume.
        EncoderError: The start or the teacher is missing or damaged.
    """
    check_directory(out)
    from docsim.training.loop.defaults import training_config, with_epochs
    from docsim.training.loop.preparation import training_job
    from docsim.training.towers.starting_point import make_starting_point

    if options.start == CORPUS and isinstance(texts, LabelledTexts):
        raise UsageError("expected documents, from which a vocabulary can be made; got labelled examples")
    examples = _examples(texts)
    learned: Iterable[Document] | Examples = examples or _documents(texts, options.seed)
    if options.start == CORPUS and examples is None:
        learned = documents = list(_documents(texts, options.seed))  # standard input can be read only once
        start = _corpus_start(documents, options)
    else:
        start = make_starting_point(options.start, kind=options.tower, precision=options.precision, seed=options.seed)
    config = training_config(options, examples, start=start.parts.kind)
    job = training_job(
        start,
        learned,
        config,
        teacher=_teacher(options, out, progress),
        used=judgements.of_index(texts.path) if isinstance(texts, IndexTexts) and texts.use else None,
    )
    return _Training(start, job, with_epochs(config, options.epochs, job.batches.per_epoch), options).run(out, progress)


def _corpus_start(documents: Sequence[Document], options: TrainOptions) -> StartingPoint:
    """Return a tower whose vocabulary and token vectors come from some documents."""
    from docsim.training.towers.starting_point import starting_point
    from docsim.training.wordvectors.from_corpus import corpus_parts

    parts = corpus_parts([f"{one.title}\n{one.text}" for one in documents], seed=options.seed)
    return starting_point(parts, name=CORPUS, kind=options.tower, precision=options.precision, seed=options.seed)


def check_directory(out: Path) -> None:
    """Check that an encoder can be written to a directory, so that no training is lost at its end.

    Raises:
        UsageError: The directory holds something other than an encoder.
    """
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST_FILE).is_file():
        raise UsageError(
            f"expected a new or empty directory, or an encoder to replace, at {out}; there is something else"
        )


def _examples(texts: TrainingTexts) -> Examples | None:
    if not isinstance(texts, LabelledTexts):
        return None
    from docsim.training.data.labelled_examples import read_examples

    return read_examples(texts.file, score_range=texts.score_range)


def _documents(texts: TrainingTexts, seed: int) -> Iterable[Document]:
    from docsim.training.data.document_sources import documents_of_corpus, documents_of_index

    if isinstance(texts, IndexTexts):
        return documents_of_index(texts.path, seed=seed)
    assert isinstance(texts, CorpusTexts)
    return documents_of_corpus(texts.source, seed=seed)


def _teacher(options: TrainOptions, out: Path, progress: Progress) -> TeacherConfig | None:
    """Return how the teacher is asked; its embeddings are kept beside ``out``, for the next training."""
    if options.teacher is None or not options.asks_teacher:
        return None
    from docsim.training.loop.config import TeacherConfig

    cache = out.absolute().with_name(f".{out.name}.cache")
    return TeacherConfig(Encoder.load(options.teacher), cache, options.teacher_weight, progress)


@dataclass(frozen=True, slots=True)
class _Training:
    """A training that is ready to begin."""

    start: StartingPoint
    job: TrainingJob
    config: TrainingConfig
    options: TrainOptions

    def run(self, out: Path, progress: Progress) -> Trained:
        """Train, save and report; the checkpoint is kept beside the encoder until that is saved."""
        from docsim.training.loop.trained_encoder import save_trained_encoder
        from docsim.training.loop.trainer import Trainer

        checkpoint = out.absolute().with_name(f".{out.name}.training") / "checkpoint.npz"
        before = self._snapshot()
        trainer = Trainer(self.job, self.config.schedule, checkpoint=checkpoint)
        result = trainer.run(resume=self.options.resume, progress=progress, measured=self._logging())
        name = self.options.name or out.name
        encoder = save_trained_encoder(self.start, self.job, result, out=out, name=name, seed=self.config.seed)
        if before is not None:
            self._report(before, result, encoder)
        checkpoint.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            checkpoint.parent.rmdir()
        return self._trained(result, encoder)

    def _snapshot(self) -> TowerSnapshot | None:
        """Return what a report shows of the tower as it is now; None when there is to be no report."""
        if self.options.report is None:
            return None
        from docsim.training.loop.report import take_snapshot

        return take_snapshot(self.job.tower, self.job.probe)

    def _logging(self) -> Callable[[ProgressPoint], None] | None:
        """Return what writes measurements to TensorBoard logs, where they are wanted."""
        if self.options.tensorboard is None:
            return None
        from docsim.training.loop.tensorboard import tensorboard_callback

        return tensorboard_callback(self.options.tensorboard)

    def _report(self, before: TowerSnapshot, result: TrainingResult, encoder: Encoder) -> None:
        from docsim.training.loop.report import write_report

        after, directory = self._snapshot(), self.options.report
        assert after is not None
        assert directory is not None
        start, seed = self.start.name, self.config.seed
        facts = {"name": encoder.name, "start": start, "seed": seed, "fingerprint": encoder.fingerprint}
        write_report(directory, result, before=before, after=after, probe=self.job.probe.name, facts=facts)

    def _trained(self, result: TrainingResult, encoder: Encoder) -> Trained:
        first, last, best = result.points[0], result.points[-1], result.best
        return Trained(
            encoder=encoder,
            probe=self.job.probe.name,
            before=first.probe,
            after=best.probe,
            steps=last.step,
            kept=best.step,
            learned=best.step > 0 or self.options.start == CORPUS,
            ended=result.ended,
            teacher=self.job.teacher,
            seconds=last.seconds,
        )
