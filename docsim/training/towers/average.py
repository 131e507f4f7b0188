"""The ``average`` tower, a weighted sum of token vectors scaled to length one, and how token vectors are stored.

Token vectors are stored as int8 with one float per token, a quarter of the size of float32. The float that undoes the
rounding doubles as the token's weight, so it costs nothing extra. For training they are float32:
``docsim.training.towers.kinds`` has ``trainable`` and ``compact``, which convert a tower of any kind.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from docsim.training.towers.layers import PADDING_ID, UnitLength, WeightedTokenSum

__all__ = ["MAX_TOKENS", "TOKENS_LAYER", "average_tower", "stored_rows", "token_vectors"]

MAX_TOKENS = 32_768
"""Tokens of a text that an ``average`` tower reads by default: some 130,000 characters, and 32 MB of working memory."""

TOKENS_LAYER = "tokens"
"""Name of the layer that holds the token vectors, in towers of every kind."""

_LARGEST_INT8 = 127


def average_tower(vectors: NDArray[np.float32], *, storage: str = "int8") -> keras.Model:
    """Return the tower that sums token vectors and scales the sum to length one.

    Args:
        vectors: Token vectors times token weights, ``(vocabulary, dim)``; row 0 belongs to padding.
        storage: ``int8`` to save and run, ``float32`` to train.

    Returns:
        A model from ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.
    """
    vocabulary, dim = vectors.shape
    layer = WeightedTokenSum(vocabulary, dim, storage=storage, name=TOKENS_LAYER)
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    tower = keras.Model(ids, UnitLength(name="unit_length")(layer(ids)), name="average")
    layer.set_weights(stored_rows(vectors, storage=storage))
    return tower


def token_vectors(tower: keras.Model) -> NDArray[np.float32]:
    """Return a tower's token vectors times their token weights, float32 ``(vocabulary, width)``."""
    layer = tower.get_layer(TOKENS_LAYER)
    rows = ops.convert_to_numpy(layer.rows).astype(np.float32)
    weights = ops.convert_to_numpy(layer.weights_by_token)
    return np.asarray(rows * weights[:, None], dtype=np.float32)


def stored_rows(vectors: NDArray[np.float32], *, storage: str) -> list[NDArray[Any]]:
    """Return the variables of a ``WeightedTokenSum`` or ``TokenVectors`` layer that holds given token vectors.

    The vector and the weight of padding become zero, because int8 tables are not masked.

    Args:
        vectors: Token vectors times token weights, ``(vocabulary, dim)``.
        storage: ``int8`` or ``float32``.

    Returns:
        Rows ``(vocabulary, dim)`` of that type, and the weight of each row, float32 ``(vocabulary,)``.
    """
    vectors = np.where(np.arange(len(vectors))[:, None] == PADDING_ID, 0, vectors).astype(np.float32)
    return list(_quantised(vectors) if storage == "int8" else _directions(vectors))


def _quantised(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 rows, each with a largest component of 127, and the float per row that undoes the rounding."""
    largest = np.abs(vectors).max(axis=1).astype(np.float32)
    scale = np.where(largest > 0, largest / _LARGEST_INT8, 1).astype(np.float32)
    return np.rint(vectors / scale[:, None]).astype(np.int8), np.where(largest > 0, scale, 0).astype(np.float32)


def _directions(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit rows, what each token means, and their lengths, how much it counts."""
    lengths = np.linalg.norm(vectors, axis=1).astype(np.float32)
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32), lengths
