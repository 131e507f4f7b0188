"""Distillation from texts: a static student learns what its teacher makes of real passages.

Distilling the vocabulary (``docsim.training.distill``) hears the teacher on one token at a time. Here the student's
token vectors and weights then learn from the teacher's embeddings of spans of 64 to 128 tokens, so that tokens come to
mean what they mean in company. The loss of one batch of spans, with student embeddings ``s`` and teacher embeddings
``t``, is

    mean(1 - cos(W s_i, t_i))  +  5 mean((cos(s_i, s_j) - cos(t_i, t_j))^2)  over i != j

The first term is regression on the teacher's embeddings (Reimers and Gurevych, EMNLP 2020, section 2, with a cosine for
the squared distance). The learnt map ``W`` is there even when the widths agree, because the student's components are
principal components in an order of their own; it is dropped afterwards. As it may stretch, the second term asks that
the student's own cosines, which are what searching uses, be the teacher's: relational distillation (Park et al., CVPR
2019, section 3.2). Documents held out decide which weights are kept, the untrained ones among them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoder import Encoder
from docsim.errors import TrainingError
from docsim.records import Document
from docsim.training.artefact import Lineage, Parts, save
from docsim.training.batches import Framing, Ids, epoch_order, framing, tokenised
from docsim.training.probe import embedded
from docsim.training.siamese import optimizer
from docsim.training.teacher import Teacher
from docsim.training.towers import compact, trainable

__all__ = ["Learnt", "Spans", "Tuning", "agreement", "learn_from_texts", "saved", "spans_of", "teacher_embeddings"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, for people, how much of it is done, and of how much."""

_SHORTEST, _LONGEST = 64, 128  # tokens of a span, the teacher's
_SHORTEST_DOCUMENT = 16  # tokens; a shorter one says too little
_MOST_CHARACTERS = 100_000  # of a document
_MOST_SPANS = 20_000
_LEAST_SPANS = 20
_CACHED_AT_ONCE = 256
_HELD_OUT, _MOST_HELD_OUT = 0.1, 500
_RELATIONS = 5.0
_WEIGHTS_SHARE = 0.1  # learning rate of token weights: most are far smaller than 1


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the student learns from texts.

    Attributes:
        steps: Most steps.
        batch: Spans in a batch.
        learning_rate: Of token vectors and of the map.
        probe_every: Steps between measurements.
        patience: Measurements without a rise after which learning ends.
        time_limit: Seconds that steps may take; None for no limit.
        seed: Of spans, batches and the documents held out.
    """

    steps: int = 1000
    batch: int = 128
    learning_rate: float = 1e-3
    probe_every: int = 50
    patience: int = 4
    time_limit: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            TrainingError: A number is out of its range.
        """
        for name in ("steps", "probe_every", "patience", "learning_rate"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"expected {name} above 0; got {getattr(self, name)}")
        if self.batch < 2 or (self.time_limit is not None and self.time_limit <= 0):
            raise TrainingError(
                f"expected a batch of at least 2 and a time limit above 0; got {self.batch} and {self.time_limit}"
            )


@dataclass(frozen=True, slots=True)
class Spans:
    """What the teacher is asked about.

    Attributes:
        texts: Spans of documents.
        documents: Number of the document that each is from, int64 ``(spans,)``.
    """

    texts: tuple[str, ...]
    documents: NDArray[np.int64]

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of the texts."""
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Learnt:
    """A student that learnt from texts.

    Attributes:
        parts: The student, its token vectors small again.
        before: ``agreement`` with the teacher on the spans held out, before the first step.
        after: The same of what was kept.
        steps: Steps after which the kept weights were reached.
        spans: How many spans it learnt from, those held out not counted.
        material: SHA-256 (64 hex digits) of teacher, texts and tuning.
    """

    parts: Parts
    before: float
    after: float
    steps: int
    spans: int
    material: str


def spans_of(documents: Iterable[Document], tokenizer: Tokenizer, *, seed: int = 0) -> Spans:
    """Cut documents into spans of 64 to 128 tokens each, the last of a document perhaps shorter; of too many, draw.

    Args:
        documents: What to cut.
        tokenizer: The teacher's.
        seed: Of the spans' lengths, and of which are drawn.

    Raises:
        TrainingError: There are fewer than 20 different spans.
    """
    random = np.random.default_rng([seed, 3])
    found: dict[str, int] = {}
    for number, document in enumerate(documents):
        for text in _cut(document.text[:_MOST_CHARACTERS], tokenizer, random):
            found.setdefault(text, number)
    if len(found) < _LEAST_SPANS:
        raise TrainingError(
            f"expected texts that make at least {_LEAST_SPANS} spans of up to {_LONGEST} tokens; got {len(found)}. "
            "Name more with --texts"
        )
    texts = list(found)
    rows = np.sort(random.permutation(len(texts))[:_MOST_SPANS])
    return Spans(tuple(texts[row] for row in rows), np.array([found[texts[row]] for row in rows], dtype=np.int64))


def teacher_embeddings(
    teacher: Teacher, texts: Sequence[str], cache: Path, *, progress: Progress | None = None
) -> Floats:
    """Return the teacher's embeddings, unit rows float32 ``(len(texts), width)``, asked for only once.

    Args:
        teacher: Who to ask.
        texts: What about.
        cache: Directory of what it said; made when missing. A run that was killed goes on from there.
        progress: Called after every 256 texts.
    """
    cache.mkdir(parents=True, exist_ok=True)
    blocks = []
    for begin in range(0, len(texts), _CACHED_AT_ONCE):
        some = texts[begin : begin + _CACHED_AT_ONCE]
        content = "\0".join([teacher.digest, teacher.pooling, str(teacher.max_tokens), *some])
        blocks.append(_asked(teacher, some, cache / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.npy"))
        if progress:
            progress("Asking the teacher about texts", begin + len(some), len(texts))
    rows = np.concatenate(blocks)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def agreement(student: Floats, teacher: Floats) -> float:
    """Return Pearson's correlation, in [-1, 1], of the student's cosines of all pairs of texts with the teacher's.

    Args:
        student: Unit rows ``(texts, dim)``.
        teacher: Unit rows ``(texts, width)``.
    """
    pairs = np.triu_indices(len(student), k=1)
    own, wanted = (student @ student.T)[pairs], (teacher @ teacher.T)[pairs]
    if own.std() < 1e-7 or wanted.std() < 1e-7:
        return 0.0
    return float(np.corrcoef(own, wanted)[0, 1])


def learn_from_texts(
    parts: Parts,
    teacher: Teacher,
    documents: Iterable[Document],
    *,
    tuning: Tuning,
    cache: Path,
    progress: Progress | None = None,
) -> Learnt:
    """Return a student that has learnt from its teacher's embeddings of texts.

    Args:
        parts: An ``average`` encoder; it is left as it is.
        teacher: Who it was distilled from.
        documents: Texts.
        tuning: How long and how fast.
        cache: Directory of the teacher's embeddings.
        progress: Called now and then.

    Raises:
        TrainingError: There are too few texts, or the loss is no longer a number.
    """
    spans = spans_of(documents, teacher.tokenizer, seed=tuning.seed)
    targets = teacher_embeddings(teacher, spans.texts, cache, progress=progress)
    held = _held_out(spans, tuning.seed)
    frame = framing(parts)
    lesson = _Lesson(tokenised(spans.texts, parts, most=frame.most), targets, held, frame)
    tower = trainable(parts.tower)
    before, after, steps = _taught(tower, lesson, tuning, progress)
    settled = asdict(replace(tuning, time_limit=None))
    material = hashlib.sha256(f"{teacher.digest} {spans.digest()} {settled}".encode()).hexdigest()
    return Learnt(replace(parts, tower=compact(tower)), before, after, steps, int((~held).sum()), material)


def saved(learnt: Learnt, out: Path, teacher: Teacher, *, name: str, seed: int) -> Encoder:
    """Write the student as an encoder directory.

    Raises:
        EncoderError: ``out`` holds something else.
    """
    metrics = {
        "agreement_before": round(learnt.before, 6),
        "agreement_after": round(learnt.after, 6),
        "steps": learnt.steps,
        "spans": learnt.spans,
    }
    lineage = Lineage(seed=seed, teacher=teacher.name, material=learnt.material, metrics=metrics)
    return save(learnt.parts, out, name=name, lineage=lineage)
