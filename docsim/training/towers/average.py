"""Towers: Keras models from token ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.

Written with ``keras.ops`` only, so that any Keras backend can train them and ``model.export`` can turn them into ONNX.
Id 0 is padding in every tower, and counts for nothing.

The ``average`` tower is one layer, a weighted sum of token vectors, and a normalisation. Its token vectors are kept
as int8 beside one float per token, a quarter of the size: the float that undoes the rounding is the token's weight
anyway. ``with_float_rows`` makes it trainable, ``with_int8_rows`` makes it small again.

``docsim.training.towers.kinds`` builds the other towers and loads them all.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

__all__ = [
    "PADDING_ID",
    "UnitLength",
    "WeightedTokenSum",
    "average_tower",
    "stored_rows",
    "token_vectors",
    "with_float_rows",
    "with_int8_rows",
]

PADDING_ID = 0
_LARGEST_INT8 = 127


@keras.saving.register_keras_serializable(package="docsim")
class WeightedTokenSum(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Sums the vectors of a text's tokens, each times its token's weight: ids ``(texts, tokens)`` to ``(texts, dim)``.

    Padding counts for nothing. The sum is one matrix product per text, weights ``(1, tokens)`` times vectors
    ``(tokens, dim)``, which ONNX Runtime does several times faster than a masked sum.

    Attributes:
        rows: Token vectors ``(vocabulary, dim)``, int8 or float32; only float32 ones can be trained.
        weights_by_token: Token weights ``(vocabulary,)`` float32.
    """

    def __init__(self, vocabulary: int, dim: int, *, storage: str = "int8", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if storage not in ("int8", "float32"):
            raise ValueError(f"storage must be 'int8' or 'float32', not {storage!r}")
        self.vocabulary, self.dim, self.storage = vocabulary, dim, storage

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the variables, all zero."""
        learnt = self.storage == "float32"
        self.rows = self.add_weight(
            name="rows", shape=(self.vocabulary, self.dim), dtype=self.storage, initializer="zeros", trainable=learnt
        )
        self.weights_by_token = self.add_weight(
            name="weights_by_token", shape=(self.vocabulary,), dtype="float32", initializer="zeros", trainable=learnt
        )

    def call(self, ids: Any) -> Any:
        """Return the weighted sums, float32 ``(texts, dim)``."""
        weights = ops.take(self.weights_by_token, ids, axis=0)
        if self.storage == "float32":  # as int8, padding's weight is zero and cannot be trained
            weights *= ops.cast(ops.not_equal(ids, PADDING_ID), "float32")
        vectors = ops.cast(ops.take(self.rows, ids, axis=0), "float32")
        return ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), vectors), 1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return ``(texts, dim)``."""
        return (input_shape[0], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        return {**super().get_config(), "vocabulary": self.vocabulary, "dim": self.dim, "storage": self.storage}


@keras.saving.register_keras_serializable(package="docsim")
class UnitLength(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Divides each row by its Euclidean length; a row of zeros, such as one of padding alone, stays one."""

    SMALLEST_SQUARE = 1e-30

    def call(self, rows: Any) -> Any:
        """Return rows of length one, of the same shape."""
        squares = ops.sum(rows * rows, axis=-1, keepdims=True)
        return rows / ops.sqrt(ops.maximum(squares, self.SMALLEST_SQUARE))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape."""
        return input_shape


def average_tower(vectors: NDArray[np.float32], *, storage: str = "int8") -> keras.Model:
    """Return the tower that sums token vectors and scales the sum to length one.

    Args:
        vectors: Token vectors times token weights, ``(vocabulary, dim)``; row 0 belongs to padding.
        storage: ``int8`` to keep and run, ``float32`` to train.

    Returns:
        A model from ids ``(texts, tokens)`` int32 to unit rows ``(texts, dim)`` float32.
    """
    vocabulary, dim = vectors.shape
    layer = WeightedTokenSum(vocabulary, dim, storage=storage, name="tokens")
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    tower = keras.Model(ids, UnitLength(name="unit_length")(layer(ids)), name="average")
    layer.set_weights(stored_rows(vectors, storage=storage))
    return tower


def token_vectors(tower: keras.Model) -> NDArray[np.float32]:
    """Return the token vectors times token weights of an average tower, float32 ``(vocabulary, dim)``."""
    layer = tower.get_layer("tokens")
    rows = ops.convert_to_numpy(layer.rows).astype(np.float32)
    weights = ops.convert_to_numpy(layer.weights_by_token)
    return np.asarray(rows * weights[:, None], dtype=np.float32)


def with_float_rows(tower: keras.Model) -> keras.Model:
    """Return an average tower that computes the same and can be trained."""
    return average_tower(token_vectors(tower), storage="float32")


def with_int8_rows(tower: keras.Model) -> keras.Model:
    """Return an average tower that computes the same up to rounding, a quarter of the size."""
    return average_tower(token_vectors(tower), storage="int8")


def stored_rows(vectors: NDArray[np.float32], *, storage: str) -> list[NDArray[Any]]:
    """Return what a layer of ``WeightedTokenSum`` keeps of token vectors times weights ``(vocabulary, dim)``.

    Padding's vector and weight become zero: what is stored as int8 is not masked.

    Returns:
        Rows ``(vocabulary, dim)`` of the type that ``storage`` names, ``int8`` or ``float32``, and the weight of each,
        float32 ``(vocabulary,)``.
    """
    vectors = np.where(np.arange(len(vectors))[:, None] == PADDING_ID, 0, vectors).astype(np.float32)
    return list(_quantised(vectors) if storage == "int8" else _directions(vectors))


def _quantised(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 rows and the float per row that undoes the rounding; the largest component of each row is 127."""
    largest = np.abs(vectors).max(axis=1).astype(np.float32)
    scale = np.where(largest > 0, largest / _LARGEST_INT8, 1).astype(np.float32)
    return np.rint(vectors / scale[:, None]).astype(np.int8), np.where(largest > 0, scale, 0).astype(np.float32)


def _directions(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit rows and their lengths: what a token means, and how much it counts."""
    lengths = np.linalg.norm(vectors, axis=1).astype(np.float32)
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32), lengths
