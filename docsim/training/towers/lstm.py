"""The LSTM layer (Hochreiter and Schmidhuber 1997), in both directions as in Graves and Schmidhuber (2005).

Padding stands at the end of a row, so a forward LSTM reaches it only after the last token. The backward LSTM reads each
text reversed within its own length, as a forward one would. Neither needs a mask.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from docsim.training.towers.layers import PADDING_ID, Shape, Tensor

__all__ = ["Lstm"]


@keras.saving.register_keras_serializable(package="docsim")
class Lstm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Runs an LSTM over token states, in one direction or both.

    From states ``(texts, tokens, width)`` and ids ``(texts, tokens)`` to states ``(texts, tokens, units)``, or
    ``2 * units`` in both directions, forward first. States at padding are meaningless.
    """

    def __init__(self, units: int, *, bidirectional: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.bidirectional, self.dropout = units, bidirectional, dropout
        names = ("forward", "backward") if bidirectional else ("forward",)
        self.directions = [
            keras.layers.LSTM(units, return_sequences=True, dropout=dropout, dtype=self.dtype_policy, name=name)
            for name in names
        ]

    def build(self, states_shape: Shape, ids_shape: Shape) -> None:
        """Create the variables of each direction."""
        for direction in self.directions:
            direction.build(states_shape)

    def call(self, states: Tensor, ids: Tensor, training: bool | None = None) -> Tensor:
        """Return the states of each direction side by side."""
        forward = self.directions[0](states, training=training)
        if not self.bidirectional:
            return forward
        order = _reversing(ids)
        backward = self.directions[1](_reordered(states, order), training=training)
        return ops.concatenate([forward, _reordered(backward, order)], axis=-1)

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape) -> Shape:
        """Return ``(texts, tokens, units * directions)``."""
        return (*states_shape[:-1], self.units * len(self.directions))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"units": self.units, "bidirectional": self.bidirectional, "dropout": self.dropout}
        return {**super().get_config(), **own}


def _reversing(ids: Tensor) -> Tensor:
    """Return each token's position when texts are read backwards, int32 ``(texts, tokens)``; padding stays in place."""
    lengths = ops.sum(ops.cast(ops.not_equal(ids, PADDING_ID), "int32"), axis=1, keepdims=True)
    places = ops.expand_dims(ops.arange(ops.shape(ids)[1], dtype="int32"), 0)
    return ops.where(places < lengths, lengths - 1 - places, places)


def _reordered(states: Tensor, order: Tensor) -> Tensor:
    """Return states ``(texts, tokens, width)`` with each text's tokens in the given order ``(texts, tokens)``."""
    return ops.take_along_axis(states, ops.expand_dims(order, -1), axis=1)
