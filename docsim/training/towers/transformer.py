"""The transformer: positions and encoder blocks (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

Blocks normalise before each sub-layer (pre-norm, Xiong et al. 2020, https://arxiv.org/abs/2002.04745), which trains
without warm-up, or after it, as BERT does (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), so that they can take
BERT's weights.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from docsim.training.towers.layers import PADDING_ID, Shape, Tensor

__all__ = ["ACTIVATIONS", "Attention", "EncoderBlock", "Positions"]

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
class Attention(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Multi-head self-attention over states ``(texts, tokens, width)``; no token attends to padding.

    ``softmax(q k^T / sqrt(width / heads)) v``, then a linear layer. The softmax is float32 in every precision.
    """

    def __init__(self, heads: int, *, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.dropout = heads, dropout
        self.softmax_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, states_shape: Shape, ids_shape: Shape) -> None:
        """Create the four linear layers.

        Raises:
            ValueError: The heads do not divide the width.
        """
        width = states_shape[-1]
        if width is None or width % self.heads:
            raise ValueError(f"the {self.heads} heads of an attention layer must divide its width, which is {width}")
        for name in ("query", "key", "value", "output_projection"):
            dense = keras.layers.Dense(width, dtype=self.dtype_policy, name=name)
            dense.build(states_shape)
            setattr(self, name, dense)

    def call(self, states: Tensor, ids: Tensor, training: bool | None = None) -> Tensor:
        """Return the attention output, of the shape of the states."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (texts, heads, tokens, tokens)
        absent = ops.cast(ops.equal(ids, PADDING_ID), "float32")[:, None, None, :]
        scores = ops.cast(scores, "float32") / math.sqrt(states.shape[-1] // self.heads)
        weights = ops.cast(_softmax(scores + absent * _FAR_BELOW), value.dtype)
        mixed = ops.matmul(self.softmax_dropout(weights, training=training), value)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, ops.shape(ids)[1], states.shape[-1]))
        return self.output_projection(mixed)

    def _split(self, states: Tensor) -> Tensor:
        """Return ``(texts, tokens, width)`` as ``(texts, heads, tokens, width / heads)``."""
        parts = ops.reshape(states, (-1, ops.shape(states)[1], self.heads, states.shape[-1] // self.heads))
        return ops.transpose(parts, (0, 2, 1, 3))

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape) -> Shape:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="docsim")
class EncoderBlock(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Self-attention, then a feed-forward network, each with a residual connection, over ``(texts, tokens, width)``.

    Attributes:
        heads: Attention heads; must divide the width.
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
        self.activation, self.epsilon, self.dropout = activation, epsilon, dropout
        policy = self.dtype_policy
        self.attention = Attention(heads, dropout=dropout, dtype=policy, name="attention")
        self.attention_norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name="attention_norm")
        self.feed_norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=policy, name="feed_norm")
        self.widen = keras.layers.Dense(inner, dtype=policy, name="widen")
        self.drop = keras.layers.Dropout(dropout, dtype=policy)

    def build(self, states_shape: Shape, ids_shape: Shape) -> None:
        """Create the variables of every sub-layer."""
        self.attention.build(states_shape, ids_shape)
        self.attention_norm.build(states_shape)
        self.feed_norm.build(states_shape)
        self.widen.build(states_shape)
        self.narrow = keras.layers.Dense(states_shape[-1], dtype=self.dtype_policy, name="narrow")
        self.narrow.build((*states_shape[:-1], self.inner))

    def call(self, states: Tensor, ids: Tensor, training: bool | None = None) -> Tensor:
        """Return the states after both sub-layers."""
        if self.norm_first:
            states = states + self._attend(self.attention_norm(states), ids, training)
            return states + self._feed(self.feed_norm(states), training)
        states = self.attention_norm(states + self._attend(states, ids, training))
        return self.feed_norm(states + self._feed(states, training))

    def _attend(self, states: Tensor, ids: Tensor, training: bool | None) -> Tensor:
        return self.drop(self.attention(states, ids, training=training), training=training)

    def _feed(self, states: Tensor, training: bool | None) -> Tensor:
        inner = _ACTIVATE[self.activation](self.widen(states))
        return self.drop(self.narrow(inner), training=training)

    def compute_output_shape(self, states_shape: Shape, ids_shape: Shape) -> Shape:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = ("heads", "inner", "norm_first", "activation", "epsilon", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
