"""The transformer: positions and encoder blocks (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

Blocks normalise before each sub-layer (pre-norm, Xiong et al. 2020, https://arxiv.org/abs/2002.04745), which trains
without warm-up, or after it, as BERT does (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), so that they can take
BERT's weights.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from docsim.training.towers.layers import PADDING_ID, Shape, Tensor

__all__ = ["ACTIVATIONS", "Attention", "Distances", "EncoderBlock", "Positions"]

ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
"""``gelu`` is the exact function, ``gelu_tanh`` its tanh approximation."""

_FAR_BELOW = -1e9  # added to the scores of padding; not infinity, which would turn padding alone into NaN


def _softmax(scores: Tensor) -> Tensor:
    """Return the softmax over the last axis. Keras' own warns about texts of a single token."""
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


def _exact_gelu(values: Tensor) -> Tensor:
    """Return ``x * (1 + erf(x / sqrt(2))) / 2``, written with operators that ONNX has."""
    return 0.5 * values * (1 + ops.erf(values * math.sqrt(0.5)))


def _tanh_gelu(values: Tensor) -> Tensor:
    return ops.gelu(values, approximate=True)


_ACTIVATE = dict(zip(ACTIVATIONS, (_exact_gelu, _tanh_gelu, ops.relu), strict=True))


@keras.saving.register_keras_serializable(package="docsim")
class Positions(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Adds a learned vector per position to states ``(texts, tokens, width)`` of at most ``length`` tokens."""

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def build(self, input_shape: Shape) -> None:
        """Create the vectors, initialised as in BERT."""
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.rows = self.add_weight(name="rows", shape=(self.length, input_shape[-1]), initializer=small)

    def call(self, states: Tensor) -> Tensor:
        """Return the states plus the vectors of their positions."""
        return states + self.rows[: ops.shape(states)[1]]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="docsim")
class Distances(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Learned biases of attention scores by the distance of two tokens: ids ``(texts, tokens)`` to ``(heads, t, t)``.

    Distances share buckets, one for each near distance and ever wider ones for those further away, on either side, as
    in T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.1) and MPNet.

    Attributes:
        heads: Attention heads.
        length: Tokens of the longest text.
        buckets: Buckets of both sides together.
    """

    FAR = 128  # distances from here on share a bucket

    def __init__(self, heads: int, length: int, *, buckets: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.length, self.buckets = heads, length, buckets

    def build(self, ids_shape: Shape) -> None:
        """Create the biases, initialised as in BERT."""
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.rows = self.add_weight(name="rows", shape=(self.buckets, self.heads), initializer=small)

    def call(self, ids: Tensor) -> Tensor:
        """Return the bias of each head, query token and key token."""
        places = ops.arange(ops.shape(ids)[1], dtype="int32")
        distances = places[None, :] - places[:, None] + (self.length - 1)
        found = ops.take(self.rows, ops.take(ops.convert_to_tensor(self.buckets_by_distance()), distances), axis=0)
        return ops.transpose(found, (2, 0, 1))

    def buckets_by_distance(self) -> NDArray[np.int32]:
        """Return the bucket of each distance from ``1 - length`` to ``length - 1``, int32 ``(2 * length - 1,)``."""
        signed = np.arange(1 - self.length, self.length)
        away, half = np.abs(signed), self.buckets // 2
        near = half // 2
        ratio = np.log(np.maximum(away, 1).astype(np.float32) / near) / math.log(self.FAR / near)
        far = np.minimum(near + (ratio * (half - near)).astype(np.int32), half - 1)
        return (np.where(away < near, away, far) + np.where(signed > 0, half, 0)).astype(np.int32)

    def compute_output_shape(self, ids_shape: Shape) -> Shape:
        """Return ``(heads, tokens, tokens)``."""
        return (self.heads, ids_shape[1], ids_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "length": self.length, "buckets": self.buckets}


@keras.saving.register_keras_serializable(package="docsim")
class Attention(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Multi-head self-attention over states ``(texts, tokens, width)``; no token attends to padding.

    ``softmax(q k^T / sqrt(units / heads) + bias) v``, then a linear layer back to the width of the states. Queries,
    keys and values have ``units`` components, by default as many as the states. The bias ``(heads, tokens, tokens)``
    is optional. The softmax is float32 in every precision.
    """

    def __init__(self, heads: int, *, units: int | None = None, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.units, self.dropout = heads, units, dropout
        self.softmax_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, states_shape: Shape, ids_shape: Shape, bias_shape: Shape | None = None) -> None:
        """Create the four linear layers.

        Raises:
            ValueError: The heads do not divide the units.
        """
        width = states_shape[-1]
        units = self.units or width
        if units is None or units % self.heads:
            raise ValueError(f"the {self.heads} heads of an attention layer must divide its units, which are {units}")
        for name in ("query", "key", "value"):
            self._add_dense(name, units, states_shape)
        self._add_dense("output_projection", width, (*states_shape[:-1], units))

    def _add_dense(self, name: str, units: int | None, shape: Shape) -> None:
        dense = keras.layers.Dense(units, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        setattr(self, name, dense)

    def call(self, states: Tensor, ids: Tensor, bias: Tensor = None, training: bool | None = None) -> Tensor:
        """Return the attention output, of the shape of the states."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (texts, heads, tokens, tokens)
        absent = ops.cast(ops.equal(ids, PADDING_ID), "float32")[:, None, None, :]
        scores = ops.cast(scores, "float32") / math.sqrt(query.shape[-1])
        if bias is not None:
            scores = scores + ops.cast(bias, "float32")
        weights = ops.cast(_softmax(scores + absent * _FAR_BELOW), value.dtype)
        mixed = ops.matmul(self.softmax_dropout(weights, training=training), value)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, ops.shape(ids)[1], self.value.units))
        return self.output_projection(mixed)

    def _split(self, states: Tensor) -> Tensor:
        """Return ``(texts, tokens, units)`` as ``(texts, heads, tokens, units / heads)``."""
        parts = ops.reshape(states, (-1, ops.shape(states)[1], self.heads, states.shape[-1] // self.heads))
        return ops.transpose(parts, (0, 2, 1, 3))

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape, bias_shape: Shape | None = None) -> Shape:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "units": self.units, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="docsim")
class EncoderBlock(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Self-attention, then a feed-forward network, each with a residual connection, over ``(texts, tokens, width)``.

    Attributes:
        heads: Attention heads; must divide the attention units.
        units: Components of all queries of a token, and of its keys and values; None for the width.
        inner: Width between the two linear layers of the feed-forward network.
        norm_first: Whether to normalise the input of each sub-layer (pre-norm) or its sum with the residual (BERT).
        activation: One of ``ACTIVATIONS``.
        epsilon: Added to variances in the layer normalisations.
        dropout: Share of each sub-layer's output dropped in training.
    """

    def __init__(  # the keyword arguments are the layer's saved configuration
        self,
        heads: int,
        inner: int,
        *,
        units: int | None = None,
        norm_first: bool = True,
        activation: str = "gelu",
        epsilon: float = 1e-6,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.heads, self.inner, self.norm_first = heads, inner, norm_first
        self.units, self.activation, self.epsilon, self.dropout = units, activation, epsilon, dropout
        policy = self.dtype_policy
        self.attention = Attention(heads, units=units, dropout=dropout, dtype=policy, name="attention")
        self.attention_norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name="attention_norm")
        self.feed_norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name="feed_norm")
        self.widen = keras.layers.Dense(inner, dtype=policy, name="widen")
        self.drop = keras.layers.Dropout(dropout, dtype=policy)

    def build(self, states_shape: Shape, ids_shape: Shape, bias_shape: Shape | None = None) -> None:
        """Create the variables of every sub-layer."""
        self.attention.build(states_shape, ids_shape)
        self.attention_norm.build(states_shape)
        self.feed_norm.build(states_shape)
        self.widen.build(states_shape)
        self.narrow = keras.layers.Dense(states_shape[-1], dtype=self.dtype_policy, name="narrow")
        self.narrow.build((*states_shape[:-1], self.inner))

    def call(self, states: Tensor, ids: Tensor, bias: Tensor = None, training: bool | None = None) -> Tensor:
        """Return the states after both sub-layers."""
        if self.norm_first:
            states = states + self._attend(self.attention_norm(states), ids, bias, training)
            return states + self._feed(self.feed_norm(states), training)
        states = self.attention_norm(states + self._attend(states, ids, bias, training))
        return self.feed_norm(states + self._feed(states, training))

    def _attend(self, states: Tensor, ids: Tensor, bias: Tensor, training: bool | None) -> Tensor:
        return self.drop(self.attention(states, ids, bias, training=training), training=training)

    def _feed(self, states: Tensor, training: bool | None) -> Tensor:
        inner = _ACTIVATE[self.activation](self.widen(states))
        return self.drop(self.narrow(inner), training=training)

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape, bias_shape: Shape | None = None) -> Shape:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("heads", "inner", "units", "norm_first", "activation", "epsilon", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
