"""Preparing a training: from a starting point and texts to a job for the trainer.

starting point + documents or examples + config  ->  TrainingJob (tower, batches, probe, loss)  ->  Trainer
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.data.batch_layout import BatchOptions, Ids, InputFormat, input_format, tokenize
from docsim.training.data.corpus import TokenizedCorpus, held_out, tokenize_corpus
from docsim.training.data.document_pairs import SpanBatches, SpanRecipe
from docsim.training.data.hard_negatives import bm25_negatives, embedding_negatives
from docsim.training.data.labelled_examples import ExampleBatches, Examples, split_examples
from docsim.training.data.teacher_embeddings import BatchesWithTeacher, embed_passages
from docsim.training.data.used_questions import BatchesWithQuestions, UsedPairs, used_pairs
from docsim.training.loop.config import TeacherConfig, TrainingConfig
from docsim.training.loop.probe import ExamplesProbe, HalvesProbe, QuestionsProbe, embedded
from docsim.training.loop.trainer import TrainingJob
from docsim.training.towers.saving import EncoderParts
from docsim.training.towers.starting_point import StartingPoint, set_token_weights
from docsim.use.judgements import Judged

__all__ = ["LEAST_PROBED", "SHORT", "job_from_documents", "job_from_examples", "training_job"]

_LOSSES = {"scored": ("cosent", "mse"), "positive": ("softmax",), "triplet": ("triplet", "softmax")}
"""Losses that can be trained on each kind of examples; the first is the default."""

SHORT = 512
"""Tokens of a document that is too short for two of the longest spans, so that its pairs teach little."""

LEAST_PROBED = 10
"""With fewer questions that are not trained on, only documents tell when training ends."""

_NEGATIVES, _SKIPPED = 10, 5  # hard negatives of a document; nearest documents left out
_CORPUS_SHARE = 0.25  # of the corpus' inverse document frequencies in the token weights
_EMBEDDED_TOKENS = 512  # of a document when its nearest neighbours are searched


def training_job(
    start: StartingPoint,
    texts: Iterable[Document] | Examples,
    config: TrainingConfig,
    *,
    teacher: TeacherConfig | None = None,
    used: Judged | None = None,
) -> TrainingJob:
    """Return the job of training on examples or documents.

    ``used`` are the judgements from what people asked about the documents; they are learned from as well.

    Raises:
        TrainingError: See ``job_from_documents`` and ``job_from_examples``.
    """
    if isinstance(texts, Examples):
        return job_from_examples(start, texts, config)
    return job_from_documents(start, texts, config, teacher=teacher, used=used)


def job_from_documents(
    start: StartingPoint,
    documents: Iterable[Document],
    config: TrainingConfig,
    *,
    teacher: TeacherConfig | None = None,
    used: Judged | None = None,
) -> TrainingJob:
    """Return the job of training on documents without labels, on what a teacher and people's questions teach, if any.

    Raises:
        TrainingError: There are too few documents, too few different ones, or the loss needs labels.
    """
    _check_needs_no_labels(config)
    new = start.parts.kind == "average" and not start.adapted
    parts = _damped(start.parts) if config.damped and new else start.parts
    if teacher:
        documents = list(documents)  # they are read twice
    corpus = tokenize_corpus(documents, parts)
    held = held_out(corpus, seed=config.seed)
    job = TrainingJob(
        tower=parts.tower,
        batches=_span_batches(corpus, held, parts, config),
        probe=HalvesProbe(corpus, held, input_format=input_format(parts), seed=config.seed),
        objective=config.objective,
        digest=config.digest(corpus.digest, start.parent or start.name),
        before_first_step=_weighting(parts, corpus) if config.corpus_weights and new else None,
        keep_lengths=config.keep_lengths and start.parts.kind == "average",
        held_out=[corpus.documents[row].id for row in held],
        preprocessing=parts.preprocessing,
    )
    if used is not None and used.questions:
        job = _with_questions(job, used_pairs(used, corpus, parts, without=held), corpus, parts, config)
    weight = _teacher_weight(teacher, corpus) if teacher else 0.0
    return _with_teacher(job, documents, parts, config, teacher, weight=weight) if teacher and weight else job


def _check_needs_no_labels(config: TrainingConfig) -> None:
    if config.objective.loss != "softmax":
        raise TrainingError(
            f"expected the loss softmax, since documents have no labels; got {config.objective.loss!r}. Use softmax, "
            "or train on labelled pairs"
        )


def job_from_examples(start: StartingPoint, examples: Examples, config: TrainingConfig) -> TrainingJob:
    """Return the job of training on labelled examples.

    Raises:
        TrainingError: The loss does not fit this kind of examples, or all examples are the same.
    """
    allowed = _LOSSES[examples.kind]
    if config.objective.loss not in allowed:
        raise TrainingError(
            f"expected the loss {' or '.join(allowed)} for {examples.kind} examples; got {config.objective.loss!r}"
        )
    expected = input_format(start.parts)
    split = split_examples(examples, seed=config.seed)
    train, kept = (_sides(part, start.parts, expected) for part in (split.train, split.held_out))
    return TrainingJob(
        tower=start.parts.tower,
        batches=ExampleBatches(split.train, train, BatchOptions(expected, config.batch_size, config.seed)),
        probe=ExamplesProbe(split.held_out, kept, input_format=expected),
        objective=config.objective,
        digest=config.digest(examples.digest(), start.parent or start.name),
    )


def _span_batches(
    corpus: TokenizedCorpus, held: Sequence[int], parts: EncoderParts, config: TrainingConfig
) -> SpanBatches:
    """Return batches of pairs made from the documents that are not held out."""
    parts.tower.compile(jit_compile=False)
    expected = input_format(parts)
    rows = sorted(set(range(len(corpus.documents))) - set(held))
    negatives = _hard_negatives(parts.tower, corpus, expected, config.negatives)
    if negatives is not None:
        negatives = np.where(np.isin(negatives, rows), negatives, -1)
    return SpanBatches(
        corpus,
        rows,
        recipe=_shortened(config.recipe, expected),
        options=BatchOptions(expected, config.batch_size, config.seed),
        negatives=negatives,
    )


def _weighting(parts: EncoderParts, corpus: TokenizedCorpus) -> Callable[[], None]:
    """Return a function that mixes the corpus' inverse document frequencies into a tower's token weights."""
    return partial(set_token_weights, parts.tower, corpus.inverse_frequencies(), share=_CORPUS_SHARE)


def _teacher_weight(teacher: TeacherConfig, corpus: TokenizedCorpus) -> float:
    """Return the configured weight of the teacher, or the one that did best for documents of such lengths."""
    if teacher.weight is not None:
        return teacher.weight
    return float(np.median([len(document.body) for document in corpus.documents]) <= SHORT)


def _with_teacher(
    job: TrainingJob,
    documents: Iterable[Document],
    parts: EncoderParts,
    config: TrainingConfig,
    teacher: TeacherConfig,
    *,
    weight: float,
) -> TrainingJob:
    """Return the job with a teacher's embeddings of the documents beside its pairs."""
    held = set(job.held_out)
    taught = embed_passages(
        (document for document in documents if document.id not in held),
        parts,
        teacher.teacher,
        cache=teacher.cache,
        seed=config.seed,
        progress=teacher.progress,
    )
    options = BatchOptions(input_format(parts), config.batch_size, config.seed)
    return replace(
        job,
        batches=BatchesWithTeacher(job.batches, taught, options),
        objective=replace(job.objective, guidance=weight),
        digest=hashlib.sha256(f"{job.digest} {taught.digest}".encode()).hexdigest(),
        teacher=taught.teacher,
    )


def _with_questions(
    job: TrainingJob, used: UsedPairs, corpus: TokenizedCorpus, parts: EncoderParts, config: TrainingConfig
) -> TrainingJob:
    """Return the job with pairs of people's questions beside those made from documents."""
    batches, probe, expected = job.batches, job.probe, input_format(parts)
    if not used.learn or not isinstance(batches, SpanBatches) or not isinstance(probe, HalvesProbe):
        return job
    options = BatchOptions(expected, config.batch_size, config.seed)
    recipe = _shortened(config.recipe, expected)
    asked = len({one.number for one in used.probe})
    return replace(
        job,
        batches=BatchesWithQuestions(batches, corpus, used.learn, recipe=recipe, options=options),
        probe=QuestionsProbe(probe, corpus, used.probe, input_format=expected) if asked >= LEAST_PROBED else probe,
        digest=hashlib.sha256(f"{job.digest} {used.digest}".encode()).hexdigest(),
    )


def _damped(parts: EncoderParts) -> EncoderParts:
    return replace(parts, preprocessing=replace(parts.preprocessing, damped=True))


def _sides(examples: Examples, parts: EncoderParts, expected: InputFormat) -> list[list[Ids]]:
    """Return the ids of the examples' texts, one list per side."""
    sides = zip(*examples.texts, strict=True)
    return [tokenize(side, parts, max_tokens=expected.max_text_tokens) for side in sides]


def _shortened(recipe: SpanRecipe, expected: InputFormat) -> SpanRecipe:
    """Return the recipe with spans no longer than what the tower reads."""
    longest = min(recipe.longest, expected.max_text_tokens)
    return replace(recipe, longest=longest, shortest=min(recipe.shortest, longest))


def _hard_negatives(
    tower: keras.Model, corpus: TokenizedCorpus, expected: InputFormat, source: str
) -> NDArray[np.int64] | None:
    """Return numbers of hard negatives ``(documents, any)``, or None if there are to be none."""
    found = []
    if source in ("bm25", "both"):
        found.append(bm25_negatives(corpus, count=_NEGATIVES, skip=_SKIPPED))
    if source in ("encoder", "both"):
        bodies = [document.body[:_EMBEDDED_TOKENS] for document in corpus.documents]
        embeddings = embedded(tower, bodies, expected)
        found.append(embedding_negatives(corpus, embeddings, count=_NEGATIVES, skip=_SKIPPED))
    return np.concatenate(found, axis=1) if found else None
