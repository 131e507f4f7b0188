"""Layers that the ``lstm`` and ``transformer`` towers share: token vectors in sequence, and pooling.

Padding (id 0) stands at the end of a row. Layers that must know where it is take the ids beside the states, so that
nothing depends on masks handed on unseen.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from docsim.training.towers.static import PADDING_ID, WeightedTokenSum

__all__ = ["POOLINGS", "Pooling", "TokenVectors"]

POOLINGS = ("mean", "max", "first")

_LOWEST = -1e9  # below every state; not infinity, which a row of padding alone would turn into NaN


@keras.saving.register_keras_serializable(package="docsim")
class TokenVectors(WeightedTokenSum):
    """Looks up the vectors of a text's tokens: ids ``(texts, tokens)`` to ``(texts, tokens, dim)`` float32.

    Each vector is a row, int8 or float32, times its token's weight, as in ``WeightedTokenSum``, but not summed. Padding
    gets zeros.
    """

    def call(self, ids: Any) -> Any:
        """Return the weighted vectors, float32 ``(texts, tokens, dim)``."""
        present = ops.cast(ops.not_equal(ids, PADDING_ID), "float32")
        weights = ops.take(self.weights_by_token, ids, axis=0) * present
        return ops.cast(ops.take(self.rows, ids, axis=0), "float32") * ops.expand_dims(weights, -1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return ``(texts, tokens, dim)``."""
        return (*input_shape, self.dim)


@keras.saving.register_keras_serializable(package="docsim")
class Pooling(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Makes one row of a text's token states: ``(texts, tokens, width)`` to ``(texts, width)``.

    ``mean`` is that of the states of tokens, ``max`` the largest of each component (Conneau et al. 2017,
    https://aclanthology.org/D17-1070/), ``first`` the state of the first token, BERT's ``[CLS]``. Padding counts for
    nothing; a row of padding alone gives zeros.
    """

    def __init__(self, mode: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mode not in POOLINGS:
            raise ValueError(f"mode must be one of {', '.join(POOLINGS)}, not {mode!r}")
        self.mode = mode

    def call(self, states: Any, ids: Any) -> Any:
        """Return the pooled states ``(texts, width)``."""
        present = ops.expand_dims(ops.cast(ops.not_equal(ids, PADDING_ID), states.dtype), -1)
        if self.mode == "first":
            return states[:, 0] * present[:, 0]
        if self.mode == "max":
            highest = ops.max(states + (1 - present) * _LOWEST, axis=1)
            return highest * ops.max(present, axis=1)
        return ops.sum(states * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1)

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return ``(texts, width)``."""
        return (states_shape[0], states_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        return {**super().get_config(), "mode": self.mode}
