"""A teacher's embeddings of a corpus' passages, as a second target beside the pairs of training without labels.

    documents -> passages, sampled -> the teacher's embeddings, cached -> passages added to each batch of pairs

The loss on pairs teaches what belongs together in this corpus; the teacher teaches how similar its passages are. The
trained encoder does not need the teacher. ``docsim.training.loop.preparation`` decides when a teacher helps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from docsim.encoding.documents import encode_texts
from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.models import Document
from docsim.progress import SILENT, Progress
from docsim.training.data.batch_layout import Batch, Batches, BatchOptions, Floats, Ids, epoch_order, tokenize
from docsim.training.data.embedding_cache import EmbeddingCache
from docsim.training.towers.saving import EncoderParts

__all__ = ["BatchesWithTeacher", "TeacherEmbeddings", "embed_passages"]

_CHARACTERS = 500  # of a passage: about 128 tokens, which a teacher embeds quickly
_MAX_PASSAGES = 8_000


@dataclass(frozen=True, slots=True)
class TeacherEmbeddings:
    """A teacher's embeddings of some passages.

    Attributes:
        ids: Token ids of each passage, by the student's tokenizer.
        targets: The teacher's embeddings, unit rows ``(passages, width)``.
        digest: SHA-256 (64 hex digits) of the teacher and the passages.
        teacher: The teacher's display name.
    """

    ids: Sequence[Ids]
    targets: Floats
    digest: str
    teacher: str


class BatchesWithTeacher:
    """Batches of pairs, each with passages and the teacher's embeddings of them."""

    def __init__(self, batches: Batches, taught: TeacherEmbeddings, options: BatchOptions) -> None:
        """Add up to ``options.size`` passages of ``taught`` to each of ``batches``."""
        self._batches, self._taught, self._options = batches, taught, options
        self._size = min(options.size, len(taught.ids))
        self.per_epoch = batches.per_epoch

    def batch(self, step: int) -> Batch:
        """Return batch ``step``, from 0, with one more side and the label ``taught``: unit rows ``(texts, width)``."""
        pairs, taught = self._batches.batch(step), self._taught
        epoch, place = divmod(step, len(taught.ids) // self._size)
        order = epoch_order(len(taught.ids), seed=self._options.seed, epoch=epoch)
        rows = order[place * self._size : (place + 1) * self._size]
        side = self._options.input_format.block([taught.ids[row] for row in rows.tolist()])
        return Batch((*pairs.sides, side), {**pairs.labels, "taught": taught.targets[rows]})


def embed_passages(
    documents: Iterable[Document],
    parts: EncoderParts,
    teacher: Encoder,
    *,
    cache: Path,
    seed: int = 0,
    progress: Progress = SILENT,
) -> TeacherEmbeddings:
    """Embed passages of documents with a teacher; of more than 8,000 passages, a random sample.

    Args:
        documents: Documents to learn from, without those that are held out.
        parts: The student.
        teacher: Any encoder.
        cache: Directory in which the embeddings are kept, created if missing. A run that was killed resumes from it.
        seed: Random seed.
        progress: Told after every 256 passages.
    """
    texts = [text for document in documents for text in _passages(document)]
    drawn = np.sort(np.random.default_rng([seed, 4]).permutation(len(texts))[:_MAX_PASSAGES])
    texts = [texts[position] for position in drawn.tolist()]
    embed = partial(encode_texts, teacher, role="document")
    targets = EmbeddingCache(cache, teacher.fingerprint, embed).rows(texts, progress=progress)
    digest = hashlib.sha256("\0".join([teacher.fingerprint, *texts]).encode("utf-8", "surrogatepass"))
    return TeacherEmbeddings(tokenize(texts, parts), targets, digest.hexdigest(), teacher.name)


def _passages(document: Document) -> list[str]:
    """Return a document's passages as they are embedded; they are shorter than an index's passages."""
    return passages.inputs(document, passages.split(document.text, target=_CHARACTERS, overlap=0))
