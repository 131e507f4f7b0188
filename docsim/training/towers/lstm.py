"""The LSTM over token vectors: Hochreiter and Schmidhuber (1997), in both directions as Graves and Schmidhuber (2005).

Padding stands at the end of a row, so a forward LSTM cannot see it before the last token. The backward one reads each
text reversed within its own length, which makes it a forward one too; neither needs a mask.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from docsim.training.towers.static import PADDING_ID

__all__ = ["Lstm"]


@keras.saving.register_keras_serializable(package="docsim")
class Lstm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Reads token states in one or both directions.

    From states ``(texts, tokens, width)`` and ids ``(texts, tokens)`` to states ``(texts, tokens, units)``, or
    ``2 * units`` in both directions, forward first. What stands at padding means nothing.
    """

    def __init__(self, units: int, *, bidirectional: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.bidirectional, self.dropout = units, bidirectional, dropout
        names = ("forward", "backward") if bidirectional else ("forward",)
        self.directions = [
            keras.layers.LSTM(units, return_sequences=True, dropout=dropout, dtype=self.dtype_policy, name=name)
            for name in names
        ]

    def build(self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]) -> None:
        """Create the variables of each direction."""
        for direction in self.directions:
            direction.build(states_shape)

    def call(self, states: Any, ids: Any, training: bool | None = None) -> Any:
        """Return the states of each direction side by side."""
        forward = self.directions[0](states, training=training)
        if not self.bidirectional:
            return forward
        order = _reversing(ids)
        backward = self.directions[1](_reordered(states, order), training=training)
        return ops.concatenate([forward, _reordered(backward, order)], axis=-1)

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return ``(texts, tokens, units * directions)``."""
        return (*states_shape[:-1], self.units * len(self.directions))

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        own = {"units": self.units, "bidirectional": self.bidirectional, "dropout": self.dropout}
        return {**super().get_config(), **own}


def _reversing(ids: Any) -> Any:
    """Return where each token of a text read backwards comes from, int32 ``(texts, tokens)``; padding stays put."""
    lengths = ops.sum(ops.cast(ops.not_equal(ids, PADDING_ID), "int32"), axis=1, keepdims=True)
    places = ops.expand_dims(ops.arange(ops.shape(ids)[1], dtype="int32"), 0)
    return ops.where(places < lengths, lengths - 1 - places, places)


def _reordered(states: Any, order: Any) -> Any:
    """Return the states ``(texts, tokens, width)`` with the tokens of each text in the given order."""
    return ops.take_along_axis(states, ops.expand_dims(order, -1), axis=1)
