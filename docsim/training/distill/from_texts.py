"""Distillation from texts: a static student learns what its teacher makes of real passages.

Distilling the vocabulary (``distill.vocabulary``) hears the teacher on one token at a time. Here the student's
token vectors and weights then learn from the teacher's embeddings of spans of 64 to 128 tokens, so that tokens come to
mean what they mean in company.

    documents -> spans -> the teacher's embeddings, cached -> ``docsim.training.distill.student`` -> encoder directory
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.data.batches import epoch_order, framing, tokenised
from docsim.training.data.embedding_cache import EmbeddingCache
from docsim.training.distill.student import Floats, Lesson, Progress, Tuning, taught
from docsim.training.distill.teacher import Teacher
from docsim.training.towers.artefact import Lineage, Parts, save
from docsim.training.towers.kinds import compact, trainable

__all__ = ["Learnt", "Spans", "learn_from_texts", "saved", "spans_of", "teacher_embeddings"]

_SHORTEST, _LONGEST = 64, 128  # tokens of a span, the teacher's
_SHORTEST_DOCUMENT = 16  # tokens; a shorter one says too little
_MOST_CHARACTERS = 100_000  # of a document
_MOST_SPANS = 20_000
_LEAST_SPANS = 20
_HELD_OUT, _MOST_HELD_OUT = 0.1, 500


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
    key = "\0".join([teacher.digest, teacher.pooling, str(teacher.max_tokens)])
    said = partial(progress, "Asking the teacher about texts") if progress else None
    rows = EmbeddingCache(cache, key, teacher.embed).rows(texts, progress=said)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


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
    tower = trainable(parts.tower)
    most = min(frame.most, teacher.max_tokens - teacher.tokenizer.num_special_tokens_to_add(is_pair=False))
    ids = tokenised(spans.texts, parts, most=most)  # no more of a span than the teacher reads
    done = taught(tower, Lesson(ids, targets, held, frame), tuning, progress=progress)
    settled = asdict(replace(tuning, time_limit=None))
    material = hashlib.sha256(f"{teacher.digest} {spans.digest()} {settled}".encode()).hexdigest()
    return Learnt(
        replace(parts, tower=compact(tower)), done.before, done.after, done.steps, int((~held).sum()), material
    )


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


def _cut(text: str, tokenizer: Tokenizer, random: np.random.Generator) -> list[str]:
    """Cut a text between tokens into spans of 64 to 128 of them; what is left at the end is one if it has 16."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    spans, start = [], 0
    while len(offsets) - start >= _SHORTEST_DOCUMENT:
        end = min(len(offsets), start + int(random.integers(_SHORTEST, _LONGEST + 1)))
        spans.append(text[offsets[start][0] : offsets[end - 1][1]])
        start = end
    return spans


def _held_out(spans: Spans, seed: int) -> NDArray[np.bool_]:
    """Return which spans to hold out, bool ``(spans,)``: a tenth, all spans of a document or none if there are enough.

    Where there are too few documents for that, spans are drawn whatever their document.
    """
    wanted = min(_MOST_HELD_OUT, max(5, int(len(spans.texts) * _HELD_OUT)))
    numbers = np.unique(spans.documents)
    groups = spans.documents if len(numbers) >= _LEAST_SPANS else np.arange(len(spans.texts))
    held = np.zeros(len(spans.texts), dtype=np.bool_)
    for group in np.unique(groups)[epoch_order(len(np.unique(groups)), seed=seed, epoch=0)]:
        if held.sum() >= wanted:
            break
        held |= groups == group
    return held
