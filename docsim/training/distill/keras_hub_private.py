"""The private parts of keras-hub that docsim uses, all in one place.

keras-hub's ``TransformerEncoder`` does not expose its sub-layers. docsim reads their weights to import a model, and
replaces an activation function to compute what the original model does. ``pyproject.toml`` bounds the version of
keras-hub because of these attributes, and tests/test_private_parts.py fails when one of them moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

__all__ = ["BlockWeights", "block_weights", "position_vectors", "use_exact_gelu", "word_vectors"]

Weights = list[NDArray[Any]]
"""Variables of a Keras layer, in the order that ``set_weights`` takes."""


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """Weights of one encoder block: kernel ``(width in, width out)`` and bias of each linear layer, gamma and beta."""

    query: Weights
    key: Weights
    value: Weights
    attention_output: Weights
    attention_norm: Weights
    feed_forward_in: Weights
    feed_forward_out: Weights
    feed_forward_norm: Weights


def block_weights(block: keras.layers.Layer, *, width: int) -> BlockWeights:
    """Return the weights of a keras-hub ``TransformerEncoder``.

    Args:
        block: The layer. Its attention keeps the heads on an axis of their own; that axis is merged here.
        width: Width of the model's states.
    """
    attention = block._self_attention_layer

    def linear(layer: keras.layers.Layer) -> Weights:
        kernel, bias = layer.get_weights()
        return [kernel.reshape(width, width), bias.reshape(width)]

    return BlockWeights(
        query=linear(attention.query_dense),
        key=linear(attention.key_dense),
        value=linear(attention.value_dense),
        attention_output=linear(attention.output_dense),
        attention_norm=block._self_attention_layer_norm.get_weights(),
        feed_forward_in=block._feedforward_intermediate_dense.get_weights(),
        feed_forward_out=block._feedforward_output_dense.get_weights(),
        feed_forward_norm=block._feedforward_layer_norm.get_weights(),
    )


def word_vectors(bert: keras.Model) -> NDArray[np.float32]:
    """Return the word embeddings of a keras-hub ``BertBackbone``, float32 ``(vocabulary, width)``."""
    return np.asarray(ops.convert_to_numpy(bert.token_embedding.embeddings), dtype=np.float32)


def position_vectors(bert: keras.Model) -> NDArray[np.float32]:
    """Return position embeddings plus that of segment 0, to which all tokens belong, float32 ``(length, width)``."""
    positions, segments = bert.get_layer("position_embedding"), bert.segment_embedding
    return np.asarray(positions.get_weights()[0] + segments.get_weights()[0][0], dtype=np.float32)


def use_exact_gelu(bert: keras.Model) -> None:
    """Make a keras-hub ``BertBackbone`` compute the exact GELU, as most sentence encoders do, not its approximation."""
    for block in bert.transformer_layers:
        block._feedforward_intermediate_dense.activation = partial(keras.activations.gelu, approximate=False)
