"""Distillation from texts: a static student learns a teacher's embeddings of real passages.

Distillation from the vocabulary alone (``distill.from_vocabulary``) shows the teacher one token at a time. Here the
student's token vectors and weights continue to learn from the teacher's embeddings of spans of 64 to 128 tokens, so
that they reflect what tokens mean in context.

    documents -> spans -> the teacher's embeddings, cached -> ``distill.student`` -> encoder directory
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.progress import SILENT, Progress
from docsim.training.data.batch_layout import Floats, epoch_order, input_format, tokenize
from docsim.training.data.embedding_cache import EmbeddingCache
from docsim.training.distill.student import DistillationSet, StudentConfig, train_student
from docsim.training.distill.teacher import Teacher
from docsim.training.towers.kinds import compact, trainable
from docsim.training.towers.saving import EncoderParts, Lineage, save

__all__ = ["DistilledStudent", "TextSpans", "cut_spans", "distill_texts", "save_student", "teacher_embeddings"]

_MIN_SPAN, _MAX_SPAN = 64, 128  # tokens of a span, by the teacher's tokenizer
_MIN_DOCUMENT = 16  # tokens; a shorter document says too little
_MAX_CHARACTERS = 100_000  # of a document
_MIN_SPANS, _MAX_SPANS = 20, 20_000
_HELD_OUT, _MAX_HELD_OUT = 0.1, 500


@dataclass(frozen=True, slots=True)
class TextSpans:
    """The texts that the teacher embeds.

    Attributes:
        texts: Spans of documents.
        documents: Number of the document that each span is from, int64 ``(spans,)``.
    """

    texts: tuple[str, ...]
    documents: NDArray[np.int64]

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of the texts."""
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DistilledStudent:
    """A student that has learned from texts.

    Attributes:
        parts: The student, with int8 token vectors.
        before: ``student.agreement`` with the teacher on the held-out spans before the first step.
        after: The same of the weights that were kept.
        steps: Steps after which these weights were reached.
        spans: Number of spans that it learned from.
        digest: SHA-256 (64 hex digits) of teacher, texts and configuration.
    """

    parts: EncoderParts
    before: float
    after: float
    steps: int
    spans: int
    digest: str


def cut_spans(documents: Iterable[Document], tokenizer: Tokenizer, *, seed: int = 0) -> TextSpans:
    """Cut documents into spans of 64 to 128 tokens; of more than 20,000 spans, return a random sample.

    The last span of a document may be as short as 16 tokens.

    Args:
        documents: Documents to cut.
        tokenizer: The teacher's tokenizer.
        seed: Random seed.

    Raises:
        TrainingError: There are fewer than 20 different spans.
    """
    random = np.random.default_rng([seed, 3])
    found: dict[str, int] = {}
    for number, document in enumerate(documents):
        for text in _cut(document.text[:_MAX_CHARACTERS], tokenizer, random):
            found.setdefault(text, number)
    if len(found) < _MIN_SPANS:
        raise TrainingError(
            f"expected texts that make at least {_MIN_SPANS} spans of up to {_MAX_SPAN} tokens; got {len(found)}. "
            "Add more texts"
        )
    texts = list(found)
    rows = np.sort(random.permutation(len(texts))[:_MAX_SPANS])
    return TextSpans(tuple(texts[row] for row in rows), np.array([found[texts[row]] for row in rows], dtype=np.int64))


def teacher_embeddings(teacher: Teacher, texts: Sequence[str], cache: Path, *, progress: Progress = SILENT) -> Floats:
    """Return the teacher's embeddings of texts, unit rows float32 ``(len(texts), width)``; each is computed only once.

    Args:
        teacher: The teacher.
        texts: Texts to embed.
        cache: Directory in which the embeddings are kept, created if missing. A run that was killed resumes from it.
        progress: Told after every 256 texts.
    """
    key = "\0".join(
        [teacher.digest, teacher.pooling, str(teacher.max_tokens), *([teacher.prefix] if teacher.prefix else [])]
    )
    rows = EmbeddingCache(cache, key, teacher.embed).rows(texts, progress=progress)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def distill_texts(
    parts: EncoderParts,
    teacher: Teacher,
    documents: Iterable[Document],
    *,
    config: StudentConfig,
    cache: Path,
    progress: Progress = SILENT,
) -> DistilledStudent:
    """Return a student that has learned a teacher's embeddings of texts.

    Args:
        parts: An ``average`` encoder to start from; it is not changed.
        teacher: The teacher that it was distilled from.
        documents: Texts.
        config: How long and how fast to train.
        cache: Directory of the teacher's embeddings.
        progress: Told what is being done.

    Raises:
        TrainingError: There are too few texts, or the loss is not finite.
    """
    spans = cut_spans(documents, teacher.tokenizer, seed=config.seed)
    targets = teacher_embeddings(teacher, spans.texts, cache, progress=progress)
    held = _held_out(spans, config.seed)
    tower = trainable(parts.tower)
    texts = DistillationSet(_ids(spans.texts, parts, teacher), targets, held, input_format(parts))
    result = train_student(tower, texts, config, progress=progress)
    settings = asdict(replace(config, time_limit=None))
    return DistilledStudent(
        parts=replace(parts, tower=compact(tower)),
        before=result.before,
        after=result.after,
        steps=result.steps,
        spans=int((~held).sum()),
        digest=hashlib.sha256(f"{teacher.digest} {spans.digest()} {settings}".encode()).hexdigest(),
    )


def save_student(student: DistilledStudent, out: Path, teacher: Teacher, *, name: str, seed: int) -> Encoder:
    """Write a student as an encoder directory.

    Args:
        student: The student.
        out: Directory to write; an encoder that is already there is replaced.
        teacher: Its teacher, named in the lineage.
        name: Display name of the encoder.
        seed: Random seed of the training.

    Raises:
        EncoderError: ``out`` holds something other than an encoder.
    """
    metrics = {
        "agreement_before": round(student.before, 6),
        "agreement_after": round(student.after, 6),
        "steps": student.steps,
        "spans": student.spans,
    }
    lineage = Lineage(seed=seed, teacher=teacher.name, material=student.digest, metrics=metrics)
    return save(student.parts, out, name=name, lineage=lineage)


def _ids(texts: Sequence[str], parts: EncoderParts, teacher: Teacher) -> list[NDArray[np.int32]]:
    """Return the student's ids of texts, no more of each than the teacher reads."""
    read = teacher.max_tokens - teacher.tokenizer.num_special_tokens_to_add(is_pair=False)
    return tokenize(texts, parts, max_tokens=min(input_format(parts).max_text_tokens, read))


def _cut(text: str, tokenizer: Tokenizer, random: np.random.Generator) -> list[str]:
    """Cut a text between tokens into spans of 64 to 128 tokens; the rest is a span of its own if it has 16."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    spans, start = [], 0
    while len(offsets) - start >= _MIN_DOCUMENT:
        end = min(len(offsets), start + int(random.integers(_MIN_SPAN, _MAX_SPAN + 1)))
        spans.append(text[offsets[start][0] : offsets[end - 1][1]])
        start = end
    return spans


def _held_out(spans: TextSpans, seed: int) -> NDArray[np.bool_]:
    """Return which spans to hold out, bool ``(spans,)``: a random tenth, taking all spans of a document or none.

    With fewer than 20 documents, spans are held out regardless of their document.
    """
    wanted = min(_MAX_HELD_OUT, max(5, int(len(spans.texts) * _HELD_OUT)))
    numbers = np.unique(spans.documents)
    groups = spans.documents if len(numbers) >= _MIN_SPANS else np.arange(len(spans.texts))
    held = np.zeros(len(spans.texts), dtype=np.bool_)
    for group in np.unique(groups)[epoch_order(len(np.unique(groups)), seed=seed, epoch=0)]:
        if held.sum() >= wanted:
            break
        held |= groups == group
    return held
