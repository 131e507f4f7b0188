"""Teachers: sentence encoders in a local directory, from which faster ones learn.

A teacher is any transformer that docsim can import with its weights (``docsim.training.imports``). It computes in
docsim's own layers, so PyTorch is not needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.errors import TrainingError
from docsim.training.data.batch_layout import Floats
from docsim.training.imports.checkpoint import FAMILIES
from docsim.training.imports.model_directory import WEIGHTS_FILE, ModelDirectory
from docsim.training.imports.static_model import is_static
from docsim.training.imports.transformer_model import transformer_parts
from docsim.training.towers.layers import PADDING_ID

__all__ = ["Teacher", "load_teacher"]

_BATCH_TOKENS = 4096
_POOLING = "pooling"  # the layer that takes the states of tokens


@dataclass(frozen=True, slots=True)
class Teacher:
    """A sentence encoder to learn from.

    Attributes:
        name: Name of its directory, for display.
        digest: SHA-256 of its weights.
        tower: Model from ids ``(texts, tokens)``, 0 for padding, to unit rows ``(texts, width)``.
        tokenizer: Adds special tokens; does not pad or truncate.
        pooling: How token states become one row: ``mean``, ``max``, ``first`` or ``last``.
        max_tokens: Longest text that it reads, special tokens included.
        prefix: What stands before every text that it embeds, as it was trained to read documents.
    """

    name: str
    digest: str
    tower: keras.Model
    tokenizer: Tokenizer
    pooling: str
    max_tokens: int
    prefix: str = ""

    @property
    def width(self) -> int:
        """The width of token states."""
        return int(self.tower.get_layer(_POOLING).input[0].shape[-1])

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the teacher's embeddings of ``texts``, float32 ``(texts, dim)``, unit rows.

        The prefix is put before each text, and both together are truncated to ``max_tokens``.
        """
        tokenizer = Tokenizer.from_str(self.tokenizer.to_str())
        tokenizer.enable_truncation(self.max_tokens)
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast([self.prefix + text for text in texts])]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        embeddings = np.empty((len(ids), self.tower.output_shape[-1]), dtype=np.float32)
        while order:
            count = max(1, _BATCH_TOKENS // len(ids[order[0]]))
            rows, order = order[:count], order[count:]
            embeddings[rows] = _computed(self.tower, _padded([ids[row] for row in rows]))
        return embeddings

    def states(self, ids: NDArray[np.int32]) -> Floats:
        """Return the state of each token of one batch.

        Args:
            ids: Token ids, special tokens included and 0 for padding, ``(texts, tokens)``; no more tokens than the
                model has positions.

        Returns:
            float32 ``(texts, tokens, width)``.
        """
        states = keras.Model(self.tower.input, self.tower.get_layer(_POOLING).input[0])
        return _computed(states, ids)


def load_teacher(path: str | Path) -> Teacher:
    """Load a teacher from a local directory.

    Raises:
        TrainingError: A file is missing or unreadable, or the architecture is not supported.
    """
    model = ModelDirectory.open(path)
    if is_static(model):
        raise TrainingError(
            f"expected a teacher of one of the families {', '.join(FAMILIES)} at {model.path}; it is a static "
            "embedding, which can be imported as it is"
        )
    parts = transformer_parts(model)
    parts.tower.trainable = False
    return Teacher(
        name=model.name,
        digest=hashlib.sha256((model.core / WEIGHTS_FILE).read_bytes()).hexdigest(),
        tower=parts.tower,
        tokenizer=parts.tokenizer,
        pooling=model.pooling(),
        max_tokens=parts.max_tokens,
        prefix=model.prompts().document,
    )


def _padded(ids: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    block = np.full((len(ids), max(map(len, ids))), PADDING_ID, dtype=np.int32)
    for row, one in zip(block, ids, strict=True):
        row[: len(one)] = one
    return block


def _computed(model: keras.Model, ids: NDArray[np.int32]) -> Floats:
    return np.asarray(keras.ops.convert_to_numpy(model(ids, training=False)), dtype=np.float32)
