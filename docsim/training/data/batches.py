"""Batches: what one training step sees. A batch depends on its number and the seed alone, never on those before it.

That makes resuming exact: step 101 sees the same texts whether or not the process that did steps 1 to 100 is still
alive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.tokenizer import damped
from docsim.training.towers.artefact import Parts

__all__ = ["Batch", "Batches", "Framing", "Ids", "epoch_order", "framing", "padded", "tokenised"]

Ids = NDArray[np.int32]
"""Token ids: of one text ``(tokens,)``, or of several, padded at the end, ``(texts, tokens)``."""

_WIDTHS = 32  # padded widths are multiples of it, so that few shapes come up


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's texts and what is known of them.

    Attributes:
        sides: Two or three blocks of ids ``(texts, tokens)``, padded: anchors and positives, perhaps negatives.
        labels: What the loss is told by name: ``scores`` float32 ``(texts,)``, ``excluded`` bool ``(texts, texts)``.
    """

    sides: tuple[Ids, ...]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


class Batches(Protocol):
    """A source of batches without end."""

    per_epoch: int
    """Batches in which every document or example comes about once."""

    def batch(self, step: int) -> Batch:
        """Return batch number ``step``, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """What a tower expects around a text's own tokens, and how long the whole may be.

    Attributes:
        before: Ids such as that of ``[CLS]``; empty for most towers.
        after: Ids such as that of ``[SEP]``.
        padding_id: Fills short rows of a block.
        most: Tokens of its own that a text may have.
        damped: Whether a token that a text repeats counts less than once each time.
    """

    before: Ids
    after: Ids
    padding_id: int
    most: int
    damped: bool = False

    def block(self, texts: Sequence[Ids]) -> Ids:
        """Return texts, cut and framed, as one padded block ``(texts, tokens)``."""
        ends = len(self.before) + len(self.after)
        cut = [text[: self.most] for text in texts]
        framed = [np.concatenate([self.before, text, self.after]) for text in cut] if ends else cut
        block = padded(framed, padding_id=self.padding_id, widest=self.most + ends)
        return damped(block, padding=self.padding_id) if self.damped else block


def framing(parts: Parts) -> Framing:
    """Return how texts are framed for an encoder's tower."""
    before: list[int] = []
    after: list[int] = []
    if parts.preprocessing.special_tokens:
        own = parts.tokenizer.encode("a", add_special_tokens=False).ids
        whole = parts.tokenizer.encode("a").ids
        start = next(i for i in range(len(whole)) if whole[i : i + len(own)] == own)
        before, after = whole[:start], whole[start + len(own) :]
    most = parts.max_tokens - len(before) - len(after)
    ends = (np.array(before, dtype=np.int32), np.array(after, dtype=np.int32))
    return Framing(*ends, parts.preprocessing.padding_id, most, parts.preprocessing.damped)


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the numbers below ``count`` in an order that depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def padded(texts: Sequence[Ids], *, padding_id: int, widest: int) -> Ids:
    """Return texts as one block ``(texts, tokens)``, its width the next multiple of 32 or ``widest``."""
    longest = max((len(text) for text in texts), default=1)
    width = min(max(1, -(-longest // _WIDTHS)) * _WIDTHS, max(longest, widest))
    block = np.full((len(texts), width), padding_id, dtype=np.int32)
    for row, text in zip(block, texts, strict=True):
        row[: len(text)] = text
    return block


def tokenised(texts: Sequence[str], parts: Parts, *, most: int | None = None) -> list[Ids]:
    """Return each text's ids without special tokens, never empty.

    Args:
        texts: Any texts.
        parts: The encoder whose tokenizer is used.
        most: Tokens to keep of a text; all when not given.
    """
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.no_padding()
    if most is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(most)
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    empty = [parts.preprocessing.empty_id]
    return [np.array(encoding.ids or empty, dtype=np.int32) for encoding in encodings]
