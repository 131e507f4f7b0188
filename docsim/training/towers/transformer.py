"""The transformer: positions and encoder blocks (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

Blocks normalise before each part (Xiong et al. 2020, https://arxiv.org/abs/2002.04745), which trains without warm-up,
or after it, as BERT does (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), whose weights fit them.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from docsim.training.towers.static import PADDING_ID

__all__ = ["ACTIVATIONS", "Attention", "EncoderBlock", "Positions"]

ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
"""``gelu`` is the exact one; ``gelu_tanh`` its approximation."""

_FAR_BELOW = -1e9  # added to the scores of padding; not infinity, so that padding alone gives no NaN


def _softmax(scores: Any) -> Any:
    """Return the softmax over the last axis. Keras' own warns of an axis of one, which a text of one token is."""
    exponentials = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
    return exponentials / ops.sum(exponentials, axis=-1, keepdims=True)


def _exact_gelu(values: Any) -> Any:
    """Return ``x * (1 + erf(x / sqrt(2))) / 2``, of which ONNX has all parts, unlike of Keras' own."""
    return 0.5 * values * (1 + ops.erf(values * math.sqrt(0.5)))


def _tanh_gelu(values: Any) -> Any:
    return ops.gelu(values, approximate=True)


_ACTIVATE = dict(zip(ACTIVATIONS, (_exact_gelu, _tanh_gelu, ops.relu), strict=True))


@keras.saving.register_keras_serializable(package="docsim")
class Positions(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Adds a learned vector per position to states ``(texts, tokens, width)`` of at most ``length`` tokens."""

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vectors, small as in BERT."""
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.rows = self.add_weight(name="rows", shape=(self.length, input_shape[-1]), initializer=small)

    def call(self, states: Any) -> Any:
        """Return the states plus the vectors of their positions."""
        return states + self.rows[: ops.shape(states)[1]]

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="docsim")
class Attention(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Multi-head self-attention over states ``(texts, tokens, width)``; no token attends to padding.

    ``softmax(q k^T / sqrt(width / heads)) v``, then a linear layer. The softmax is taken in float32 whatever the
    precision of the rest.
    """

    def __init__(self, heads: int, *, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.dropout = heads, dropout
        self.softmax_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]) -> None:
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

    def call(self, states: Any, ids: Any, training: bool | None = None) -> Any:
        """Return what each token takes from the others, of the same shape as the states."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (texts, heads, tokens, tokens)
        absent = ops.cast(ops.equal(ids, PADDING_ID), "float32")[:, None, None, :]
        scores = ops.cast(scores, "float32") / math.sqrt(states.shape[-1] // self.heads)
        weights = ops.cast(_softmax(scores + absent * _FAR_BELOW), value.dtype)
        mixed = ops.matmul(self.softmax_dropout(weights, training=training), value)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, ops.shape(ids)[1], states.shape[-1]))
        return self.output_projection(mixed)

    def _split(self, states: Any) -> Any:
        """Return ``(texts, tokens, width)`` as ``(texts, heads, tokens, width / heads)``."""
        parts = ops.reshape(states, (-1, ops.shape(states)[1], self.heads, states.shape[-1] // self.heads))
        return ops.transpose(parts, (0, 2, 1, 3))

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        return {**super().get_config(), "heads": self.heads, "dropout": self.dropout}


@keras.saving.register_keras_serializable(package="docsim")
class EncoderBlock(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type hints
    """Attention, then two linear layers, each added to what came in: states ``(texts, tokens, width)`` to the same.

    Attributes:
        heads: Attention heads; they divide the width.
        inner: Width between the two linear layers.
        norm_first: Whether each part reads normalised states (pre-norm), or its sum is normalised (BERT).
        activation: One of ``ACTIVATIONS``.
        epsilon: Added to variances.
        dropout: Share of a part's output that is dropped in training.
    """

    def __init__(  # what a block is made of
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

    def build(self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]) -> None:
        """Create the variables of every part."""
        self.attention.build(states_shape, ids_shape)
        self.attention_norm.build(states_shape)
        self.feed_norm.build(states_shape)
        self.widen.build(states_shape)
        self.narrow = keras.layers.Dense(states_shape[-1], dtype=self.dtype_policy, name="narrow")
        self.narrow.build((*states_shape[:-1], self.inner))

    def call(self, states: Any, ids: Any, training: bool | None = None) -> Any:
        """Return the states after both parts."""
        if self.norm_first:
            states = states + self._attend(self.attention_norm(states), ids, training)
            return states + self._feed(self.feed_norm(states), training)
        states = self.attention_norm(states + self._attend(states, ids, training))
        return self.feed_norm(states + self._feed(states, training))

    def _attend(self, states: Any, ids: Any, training: bool | None) -> Any:
        return self.drop(self.attention(states, ids, training=training), training=training)

    def _feed(self, states: Any, training: bool | None) -> Any:
        inner = _ACTIVATE[self.activation](self.widen(states))
        return self.drop(self.narrow(inner), training=training)

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], ids_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor needs to make the layer again."""
        own = ("heads", "inner", "norm_first", "activation", "epsilon", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
