"""Learning: from texts or examples to a trained encoder, the whole way.

    start -> material or examples -> job (tower, batches, probe, loss) -> Trainer -> encoder directory

This is what ``docsim train`` runs. ``Plan`` holds everything that can be chosen; its defaults are what did best in
docs/training.md, and are the same for every knowledge base.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.data import negatives
from docsim.training.data.batches import Framing, Ids, framing, tokenised
from docsim.training.data.guide import GuidedBatches, Progress, guide
from docsim.training.data.material import Material, prepared
from docsim.training.data.pairs import Examples, PairBatches, split_examples
from docsim.training.data.spans import SpanBatches, SpanRecipe, held_out
from docsim.training.loop.probe import HalvesProbe, PairsProbe, embedded
from docsim.training.loop.siamese import Objective
from docsim.training.loop.trainer import Job, Outcome, Schedule
from docsim.training.towers.artefact import Lineage, Parts, save
from docsim.training.towers.kinds import compact
from docsim.training.towers.starts import Start, weigh

__all__ = ["MINERS", "SHORT", "Plan", "Teaching", "from_documents", "from_examples", "job", "saved"]

MINERS = ("none", "bm25", "encoder", "both")
"""Where hard negatives come from."""

_LOSSES = {"scored": ("cosent", "mse"), "positive": ("softmax",), "triplet": ("triplet", "softmax")}
"""Losses by the kind of examples they can learn from; the first is the default."""

SHORT = 512
"""Tokens of a document that is too short for two spans of the longest kind, and so has little to teach by itself."""

_NEGATIVES, _SKIPPED = 10, 5  # hard negatives of a text; nearest ones that are left out
_CORPUS_SHARE = 0.5  # of the corpus' inverse document frequencies beside a tower's own token weights
_DOCUMENT_TOKENS = 512  # of a document that is embedded to find its neighbours


@dataclass(frozen=True, slots=True)
class Teaching:
    """A teacher, and how to ask it.

    Attributes:
        teacher: Any encoder.
        cache: Directory of its embeddings.
        weight: Of what it says, beside the loss of pairs; see ``losses.guided``. None for 1 where documents are short,
            half of them at most ``SHORT`` tokens long, and 0 where they are not, which leaves the teacher unasked.
        progress: Called after every 256 passages that it embedded.
    """

    teacher: Encoder
    cache: Path
    weight: float | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse a weight that is no number, or below 0.

        Raises:
            TrainingError: It is.
        """
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise TrainingError(f"expected a weight of the teacher of at least 0; got {self.weight:g}")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that can be chosen about a training.

    Attributes:
        objective: The loss.
        schedule: How long and how fast.
        recipe: How documents make pairs.
        batch: Pairs in a batch.
        seed: Seed of all that is random.
        mined: Where hard negatives come from, one of ``MINERS``.
        corpus_weights: Whether an ``average`` tower that was not adapted to a corpus before starts with token weights
            half from the corpus: the geometric mean of its own and of inverse document frequencies.
        damped: Whether such a tower learns, and then encodes, with tokens that a text repeats counting less each time.
    """

    objective: Objective = field(default_factory=Objective)
    schedule: Schedule = field(default_factory=Schedule)
    recipe: SpanRecipe = field(default_factory=SpanRecipe)
    batch: int = 512
    seed: int = 0
    mined: str = "none"
    corpus_weights: bool = True
    damped: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            TrainingError: The batch is smaller than two pairs, or the miner unknown.
        """
        if self.batch < 2:
            raise TrainingError(f"expected a batch of at least 2; got {self.batch}")
        if self.mined not in MINERS:
            raise TrainingError(f"expected hard negatives from {', '.join(MINERS)}; got {self.mined!r}")

    def digest(self, material: str, parent: str) -> str:
        """Return the SHA-256 (64 hex digits) of what is learned from what, and how pairs are made of it."""
        how = [
            material,
            parent,
            asdict(self.recipe),
            self.batch,
            self.seed,
            self.mined,
            self.corpus_weights,
            self.damped,
        ]
        return hashlib.sha256(json.dumps(how).encode()).hexdigest()


def job(origin: Start, texts: Iterable[Document] | Examples, plan: Plan, *, teaching: Teaching | None = None) -> Job:
    """Return the job of learning from examples, or from documents.

    Raises:
        TrainingError: As ``from_documents`` and ``from_examples``.
    """
    if isinstance(texts, Examples):
        return from_examples(origin, texts, plan)
    return from_documents(origin, texts, plan, teaching=teaching)


def from_documents(
    origin: Start, documents: Iterable[Document], plan: Plan, *, teaching: Teaching | None = None
) -> Job:
    """Return the job of learning from documents without labels, and from a teacher if there is one.

    Raises:
        TrainingError: There are too few documents, all are the same, or the loss needs labels.
    """
    if plan.objective.loss != "softmax":
        raise TrainingError(
            f"the loss {plan.objective.loss!r} needs labels, which documents have not; use softmax, or give --pairs"
        )
    fresh = origin.parts.kind == "average" and not origin.adapted
    parts = _damped(origin.parts) if plan.damped and fresh else origin.parts
    frame = framing(parts)
    documents = list(documents) if teaching else documents
    material = prepared(documents, parts)
    held = held_out(material, seed=plan.seed)
    made = Job(
        parts.tower,
        _spans(material, held, parts, frame, plan),
        HalvesProbe(material, held, framing=frame, seed=plan.seed),
        plan.objective,
        plan.digest(material.digest, origin.parent),
        _weighing(parts, material) if plan.corpus_weights and fresh else None,
        [material.texts[row].id for row in held],
        parts.preprocessing,
    )
    weight = _weight(teaching, material) if teaching else 0.0
    return _guided(made, documents, parts, plan, teaching, weight=weight) if teaching and weight else made


def from_examples(origin: Start, examples: Examples, plan: Plan) -> Job:
    """Return the job of learning from labelled examples.

    Raises:
        TrainingError: The loss cannot learn from examples of this kind, or all examples are the same.
    """
    allowed = _LOSSES[examples.kind]
    if plan.objective.loss not in allowed:
        raise TrainingError(
            f"expected the loss {' or '.join(allowed)} for {examples.kind} examples; got {plan.objective.loss!r}"
        )
    frame = framing(origin.parts)
    split = split_examples(examples, seed=plan.seed)
    train, kept = (_sides(part, origin, frame) for part in (split.train, split.held_out))
    batches = PairBatches(split.train, train, framing=frame, size=plan.batch, seed=plan.seed)
    probe = PairsProbe(split.held_out, kept, framing=frame)
    return Job(origin.parts.tower, batches, probe, plan.objective, plan.digest(examples.digest(), origin.parent))


def saved(origin: Start, job: Job, outcome: Outcome, plan: Plan, *, out: Path, name: str) -> Encoder:
    """Write the trained tower as an encoder directory, small as it was before training, with its lineage.

    Raises:
        EncoderError: ``out`` holds something else, or the ONNX export computes something else than the tower.
    """
    first, best = outcome.points[0], outcome.best
    lineage = Lineage(
        seed=plan.seed,
        parent=origin.parent,
        teacher=job.teacher,
        material=job.material,
        metrics={
            "probe_before": round(first.probe, 6),
            "probe_after": round(best.probe, 6),
            "steps": best.step,
            "seconds": round(outcome.points[-1].seconds, 1),
        },
        held_out=job.held_out,
        adapted=origin.adapted or bool(job.begin and best.step),
    )
    parts = replace(origin.parts, tower=compact(job.tower))
    if best.step and job.preprocessing:  # a start that was kept is kept as it was
        parts = replace(parts, preprocessing=job.preprocessing)
    return save(parts, out, name=name, lineage=lineage)


def _spans(material: Material, held: Sequence[int], parts: Parts, frame: Framing, plan: Plan) -> SpanBatches:
    """Return batches of pairs of the documents that are not held out."""
    parts.tower.compile(jit_compile=False)
    rows = sorted(set(range(len(material.texts))) - set(held))
    return SpanBatches(
        material,
        rows,
        recipe=_fitted(plan.recipe, frame),
        framing=frame,
        size=plan.batch,
        seed=plan.seed,
        negatives=_mined(parts.tower, material, rows, frame, plan.mined),
    )


def _weighing(parts: Parts, material: Material) -> Callable[[], None]:
    """Return what gives a tower token weights that are half the corpus'."""
    return partial(weigh, parts.tower, material.inverse_frequencies(), share=_CORPUS_SHARE)


def _weight(teaching: Teaching, material: Material) -> float:
    """Return how much the teacher counts: what was asked for, else what did best for documents of such lengths."""
    if teaching.weight is not None:
        return teaching.weight
    return float(np.median([len(text.body) for text in material.texts]) <= SHORT)


def _guided(
    job: Job, documents: Iterable[Document], parts: Parts, plan: Plan, teaching: Teaching, *, weight: float
) -> Job:
    """Return a job with a teacher's embeddings of the documents beside its pairs."""
    held = set(job.held_out)
    known = guide(
        (document for document in documents if document.id not in held),
        parts,
        teaching.teacher,
        cache=teaching.cache,
        seed=plan.seed,
        progress=teaching.progress,
    )
    return replace(
        job,
        batches=GuidedBatches(job.batches, known, framing=framing(parts), size=plan.batch, seed=plan.seed),
        objective=replace(job.objective, guidance=weight),
        material=hashlib.sha256(f"{job.material} {known.digest}".encode()).hexdigest(),
        teacher=known.teacher,
    )


def _damped(parts: Parts) -> Parts:
    return replace(parts, preprocessing=replace(parts.preprocessing, damped=True))


def _sides(examples: Examples, origin: Start, frame: Framing) -> list[list[Ids]]:
    """Return the ids of the examples' texts, a list per side."""
    return [tokenised(side, origin.parts, most=frame.most) for side in zip(*examples.texts, strict=True)]


def _fitted(recipe: SpanRecipe, frame: Framing) -> SpanRecipe:
    """Return the recipe with spans no longer than what the tower reads."""
    longest = min(recipe.longest, frame.most)
    return replace(recipe, longest=longest, shortest=min(recipe.shortest, longest))


def _mined(
    tower: keras.Model, material: Material, rows: Sequence[int], frame: Framing, source: str
) -> NDArray[np.int64] | None:
    """Return hard negatives of each text, those held out not among them."""
    found = []
    if source in ("bm25", "both"):
        found.append(negatives.by_bm25(material, count=_NEGATIVES, skip=_SKIPPED))
    if source in ("encoder", "both"):
        bodies = [text.body[:_DOCUMENT_TOKENS] for text in material.texts]
        embeddings = embedded(tower, bodies, frame)
        found.append(negatives.by_embedding(material, embeddings, count=_NEGATIVES, skip=_SKIPPED))
    if not found:
        return None
    numbers = np.concatenate(found, axis=1)
    return np.where(np.isin(numbers, rows), numbers, -1)
