"""Guides: a teacher's embeddings of a corpus' own passages, as a second target of label-free training.

    documents -> passages, drawn -> the teacher's embeddings, cached -> beside each batch of pairs, some passages

The loss of pairs says what belongs together in this corpus; the teacher says how alike its passages are. Nothing of the
teacher is needed afterwards. Which documents it helps with is for ``docsim.training.loop.learning`` to say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.models import Document
from docsim.training.data.batches import Batch, Batches, Framing, Ids, epoch_order, tokenised
from docsim.training.data.embedding_cache import EmbeddingCache
from docsim.training.towers.artefact import Parts

__all__ = ["Guide", "GuidedBatches", "Progress", "guide"]

Floats = NDArray[np.float32]

Progress = Callable[[int, int], None]
"""Called with how many passages the teacher has embedded, and of how many."""

_CHARACTERS = 500  # of a passage: about 128 tokens, what a teacher embeds fast
_MOST_PASSAGES = 8_000


@dataclass(frozen=True, slots=True)
class Guide:
    """What a teacher makes of some passages.

    Attributes:
        ids: Token ids of each passage, the student's.
        targets: The teacher's embeddings, unit rows ``(passages, width)``.
        digest: SHA-256 (64 hex digits) of the teacher and the passages.
        teacher: The teacher's name, for people.
    """

    ids: Sequence[Ids]
    targets: Floats
    digest: str
    teacher: str


class GuidedBatches:
    """Batches of pairs, each with as many passages beside them and the teacher's embeddings of those."""

    def __init__(self, batches: Batches, guide: Guide, *, framing: Framing, size: int, seed: int) -> None:
        """Put up to ``size`` passages of ``guide`` beside each batch."""
        self._batches, self._guide, self._framing, self._seed = batches, guide, framing, seed
        self._size = min(size, len(guide.ids))
        self.per_epoch = batches.per_epoch

    def batch(self, step: int) -> Batch:
        """Return batch number ``step``, from 0: one more side, and ``taught``, unit rows ``(passages, width)``."""
        pairs = self._batches.batch(step)
        epoch, place = divmod(step, len(self._guide.ids) // self._size)
        order = epoch_order(len(self._guide.ids), seed=self._seed, epoch=epoch)
        rows = order[place * self._size : (place + 1) * self._size]
        side = self._framing.block([self._guide.ids[row] for row in rows.tolist()])
        return Batch((*pairs.sides, side), {**pairs.labels, "taught": self._guide.targets[rows]})


def guide(
    documents: Iterable[Document],
    parts: Parts,
    teacher: Encoder,
    *,
    cache: Path,
    seed: int = 0,
    progress: Progress | None = None,
) -> Guide:
    """Let a teacher embed passages of documents, at most 8,000, drawn by lot.

    Args:
        documents: What to learn from; those that are held out not among them.
        parts: The student's.
        teacher: Any encoder.
        cache: Directory of what the teacher said; made when missing. A run that was killed goes on from there.
        seed: Of what is drawn.
        progress: Called after every 256 passages.
    """
    texts = [text for document in documents for text in _passages(document)]
    drawn = np.sort(np.random.default_rng([seed, 4]).permutation(len(texts))[:_MOST_PASSAGES])
    texts = [texts[place] for place in drawn.tolist()]
    targets = EmbeddingCache(cache, teacher.fingerprint, teacher.encode).rows(texts, progress=progress)
    digest = hashlib.sha256("\0".join([teacher.fingerprint, *texts]).encode("utf-8", "surrogatepass"))
    return Guide(tokenised(texts, parts), targets, digest.hexdigest(), teacher.name)


def _passages(document: Document) -> list[str]:
    """Return what is embedded of a document, in pieces that are shorter than an index's passages."""
    return passages.inputs(document, passages.split(document.text, target=_CHARACTERS, overlap=0))
