"""Batches for training, and how texts become padded blocks of token ids.

A batch depends only on its number and the seed, never on earlier batches. That makes resuming exact: step 101 sees the
same texts whether or not the process that ran steps 1 to 100 is still alive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.encoding.tokenizer import damped
from docsim.errors import TrainingError
from docsim.training.towers.saving import EncoderParts

__all__ = [
    "Batch",
    "BatchOptions",
    "Batches",
    "Floats",
    "Ids",
    "InputFormat",
    "epoch_order",
    "input_format",
    "pad",
    "tokenize",
]

Floats = NDArray[np.float32]

Ids = NDArray[np.int32]
"""Token ids: of one text ``(tokens,)``, or of several, padded at the end, ``(texts, tokens)``."""

_WIDTHS = 32  # padded widths are multiples of this, so that training compiles for few shapes


@dataclass(frozen=True, slots=True)
class Batch:
    """The texts of one training step, and their labels.

    Attributes:
        sides: Blocks of padded ids ``(texts, tokens)``: anchors, positives, perhaps negatives and a teacher's texts.
        labels: Labels for the loss, by name: ``scores`` float32 ``(texts,)``, ``excluded`` bool ``(texts, texts)``,
            ``taught`` float32 ``(texts, width)``. See ``docsim.training.loop.losses``.
    """

    sides: tuple[Ids, ...]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


class Batches(Protocol):
    """An endless source of batches."""

    per_epoch: int
    """Number of batches in which every document or example occurs about once."""

    def batch(self, step: int) -> Batch:
        """Return batch number ``step``, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class InputFormat:
    """The input that a tower expects: special tokens, padding and the longest text.

    Attributes:
        prefix: Ids before a text, such as that of ``[CLS]``, and of what the encoder wants before documents; empty for
            most towers.
        suffix: Ids after a text, such as that of ``[SEP]``.
        padding_id: Id that fills short rows of a block.
        max_text_tokens: Tokens that a text may have, special tokens not included.
        damped: Whether each further occurrence of a token in a text counts less.
        query_prefix: Ids before a question, where they differ from those before other texts.
    """

    prefix: Ids
    suffix: Ids
    padding_id: int
    max_text_tokens: int
    damped: bool = False
    query_prefix: Ids | None = None

    def block(self, texts: Sequence[Ids], *, questions: bool = False) -> Ids:
        """Return texts, truncated and with special tokens, as one padded block ``(texts, tokens)``.

        Args:
            texts: Token ids of each text.
            questions: Whether the texts stand for what users ask, not for documents.
        """
        before = self.query_prefix if questions and self.query_prefix is not None else self.prefix
        special = len(before) + len(self.suffix)
        cut = [text[: self.max_text_tokens] for text in texts]
        whole = [np.concatenate([before, text, self.suffix]) for text in cut] if special else cut
        block = pad(whole, padding_id=self.padding_id, widest=self.max_text_tokens + special)
        return damped(block, padding=self.padding_id) if self.damped else block


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How batches are drawn and laid out.

    Attributes:
        input_format: Input that the tower expects.
        size: Pairs, triplets or passages in a batch; fewer if there are fewer texts.
        seed: Random seed.
    """

    input_format: InputFormat
    size: int
    seed: int


def input_format(parts: EncoderParts) -> InputFormat:
    """Return the input that an encoder's tower expects."""
    before: list[int] = []
    after: list[int] = []
    if parts.preprocessing.special_tokens:
        own = parts.tokenizer.encode("a", add_special_tokens=False).ids
        whole = parts.tokenizer.encode("a").ids
        start = next(i for i in range(len(whole)) if whole[i : i + len(own)] == own)
        before, after = whole[:start], whole[start + len(own) :]
    given = parts.preprocessing
    wanted = (given.document_prefix, given.query_prefix)
    document, query = ([*before, *_ids_of_prefix(prefix, parts)] for prefix in wanted)
    most = parts.max_tokens - max(len(document), len(query)) - len(after)
    if most < 1:
        raise TrainingError(
            f"expected prefixes that leave room for a text in the {parts.max_tokens} tokens that the encoder reads; "
            f"got {given.query_prefix!r} and {given.document_prefix!r}"
        )
    return InputFormat(
        np.array(document, dtype=np.int32),
        np.array(after, dtype=np.int32),
        given.padding_id,
        most,
        given.damped,
        np.array(query, dtype=np.int32) if query != document else None,
    )


def _ids_of_prefix(prefix: str, parts: EncoderParts) -> list[int]:
    """Return the ids of a prefix. The blank at its end belongs to the next word for the tokenizers that keep blanks."""
    ids: list[int] = parts.tokenizer.encode(prefix.rstrip(), add_special_tokens=False).ids
    return ids


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return a random order of the numbers below ``count`` that depends on seed and epoch alone, int64 ``(count,)``."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def pad(texts: Sequence[Ids], *, padding_id: int, widest: int) -> Ids:
    """Return texts as one padded block ``(texts, tokens)``.

    Args:
        texts: Token ids of each text.
        padding_id: Id that fills short rows.
        widest: Tokens of the longest possible text. The width is the next multiple of 32, but no more than this.
    """
    longest = max((len(text) for text in texts), default=1)
    width = min(max(1, -(-longest // _WIDTHS)) * _WIDTHS, max(longest, widest))
    block = np.full((len(texts), width), padding_id, dtype=np.int32)
    for row, text in zip(block, texts, strict=True):
        row[: len(text)] = text
    return block


def tokenize(texts: Sequence[str], parts: EncoderParts, *, max_tokens: int | None = None) -> list[Ids]:
    """Return the token ids of each text, without special tokens. A text without tokens gets the encoder's empty id.

    Args:
        texts: Any texts.
        parts: The encoder whose tokenizer is used.
        max_tokens: Tokens to keep of each text; None for all.
    """
    tokenizer = Tokenizer.from_str(parts.tokenizer.to_str())
    tokenizer.no_padding()
    if max_tokens is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_tokens)
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    empty = [parts.preprocessing.empty_id]
    return [np.array(encoding.ids or empty, dtype=np.int32) for encoding in encodings]
