"""Keras layers that the towers share: token vectors, pooling and scaling to unit length.

Id 0 is padding and stands at the end of a row. Layers that need to know where it is take the ids as a second input,
so nothing depends on Keras masks that are passed along implicitly.

The layers use ``keras.ops`` only, so that any Keras backend can train them and ``model.export`` can turn them into
ONNX. Saved encoders refer to them by their registered names (``docsim>WeightedTokenSum``): never rename these classes.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["PADDING_ID", "POOLINGS", "Pooling", "Shape", "Tensor", "TokenVectors", "UnitLength", "WeightedTokenSum"]

Tensor = Any
"""A tensor of the Keras backend. Keras has no type hints, so there is no type to check against."""

Shape = tuple[int | None, ...]
"""The shape of a tensor; None for an axis of any length."""

PADDING_ID = 0
POOLINGS = ("mean", "max", "first", "last")

_LOWEST = -1e9  # below every state; not infinity, which would turn a row of padding alone into NaN


@keras.saving.register_keras_serializable(package="docsim")
class WeightedTokenSum(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Sums the token vectors of a text, each times its token's weight: ids ``(texts, tokens)`` to ``(texts, dim)``.

    Padding counts for nothing. The sum is one matrix product per text, weights ``(1, tokens)`` times vectors
    ``(tokens, dim)``, which ONNX Runtime computes several times faster than a masked sum.

    Attributes:
        rows: Token vectors ``(vocabulary, dim)``, int8 or float32; only float32 vectors can be trained.
        weights_by_token: Token weights ``(vocabulary,)`` float32.
    """

    def __init__(self, vocabulary: int, dim: int, *, storage: str = "int8", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if storage not in ("int8", "float32"):
            raise ValueError(f"storage must be 'int8' or 'float32', not {storage!r}")
        self.vocabulary, self.dim, self.storage = vocabulary, dim, storage

    def build(self, input_shape: Shape) -> None:
        """Create the variables, all zero."""
        learned = self.storage == "float32"
        self.rows = self.add_weight(
            name="rows", shape=(self.vocabulary, self.dim), dtype=self.storage, initializer="zeros", trainable=learned
        )
        self.weights_by_token = self.add_weight(
            name="weights_by_token", shape=(self.vocabulary,), dtype="float32", initializer="zeros", trainable=learned
        )

    def call(self, ids: Tensor) -> Tensor:
        """Return the weighted sums, float32 ``(texts, dim)``."""
        weights = ops.take(self.weights_by_token, ids, axis=0)
        if self.storage == "float32":  # an int8 table holds a weight of zero for padding, which no training can change
            weights *= ops.cast(ops.not_equal(ids, PADDING_ID), "float32")
        vectors = ops.cast(ops.take(self.rows, ids, axis=0), "float32")
        return ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), vectors), 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(texts, dim)``."""
        return (input_shape[0], self.dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "vocabulary": self.vocabulary, "dim": self.dim, "storage": self.storage}


@keras.saving.register_keras_serializable(package="docsim")
class TokenVectors(WeightedTokenSum):
    """Looks up the vectors of a text's tokens: ids ``(texts, tokens)`` to ``(texts, tokens, dim)`` float32.

    As in ``WeightedTokenSum``, each vector is an int8 or float32 row times its token's weight, but the vectors are not
    summed. Padding gets zeros.
    """

    def call(self, ids: Tensor) -> Tensor:
        """Return the weighted vectors, float32 ``(texts, tokens, dim)``."""
        present = ops.cast(ops.not_equal(ids, PADDING_ID), "float32")
        weights = ops.take(self.weights_by_token, ids, axis=0) * present
        return ops.cast(ops.take(self.rows, ids, axis=0), "float32") * ops.expand_dims(weights, -1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(texts, tokens, dim)``."""
        return (*input_shape, self.dim)


@keras.saving.register_keras_serializable(package="docsim")
class Pooling(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Pools the states of a text's tokens into one row: ``(texts, tokens, width)`` to ``(texts, width)``.

    ``mean`` averages over the tokens. ``max`` takes the largest value of each component (Conneau et al. 2017,
    https://aclanthology.org/D17-1070/). ``first`` takes the first token's state, BERT's ``[CLS]``, and ``last`` that of
    the last token. Padding is ignored; a row of padding alone gives zeros.
    """

    def __init__(self, mode: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mode not in POOLINGS:
            raise ValueError(f"mode must be one of {', '.join(POOLINGS)}, not {mode!r}")
        self.mode = mode

    def call(self, states: Tensor, ids: Tensor) -> Tensor:
        """Return the pooled states ``(texts, width)``."""
        present = ops.expand_dims(ops.cast(ops.not_equal(ids, PADDING_ID), states.dtype), -1)
        if self.mode == "first":
            return states[:, 0] * present[:, 0]
        if self.mode == "last":
            count = ops.sum(present, axis=1, keepdims=True)
            return ops.sum(
                states * present * ops.cast(ops.equal(ops.cumsum(present, axis=1), count), states.dtype), axis=1
            )
        if self.mode == "max":
            highest = ops.max(states + (1 - present) * _LOWEST, axis=1)
            return highest * ops.max(present, axis=1)
        return ops.sum(states * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1)

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape) -> Shape:
        """Return ``(texts, width)``."""
        return (states_shape[0], states_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable(package="docsim")
class UnitLength(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Scales each row to Euclidean length one; a row of zeros, such as that of padding alone, stays zero."""

    SMALLEST_SQUARE = 1e-30

    def call(self, rows: Tensor) -> Tensor:
        """Return rows of length one, of the same shape."""
        squares = ops.sum(rows * rows, axis=-1, keepdims=True)
        return rows / ops.sqrt(ops.maximum(squares, self.SMALLEST_SQUARE))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape
