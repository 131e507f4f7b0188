"""A transformer's weights, and the tower that computes with them, which normalises after each sub-layer like BERT.

Importing another model and reading an exported tower both end here.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.training.towers.average import TOKENS_LAYER, stored_rows
from docsim.training.towers.layers import Tensor, TokenVectors
from docsim.training.towers.transformer import Distances, EncoderBlock, Positions

__all__ = ["Block", "Floats", "Linear", "Transformer", "states_of"]

Floats = NDArray[np.float32]

Linear = list[Floats]
"""Kernel ``(width in, width out)`` and bias, or gamma and beta: what ``set_weights`` of a Keras layer takes."""


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of one encoder block."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    attention_norm: Linear
    widen: Linear
    narrow: Linear
    feed_norm: Linear


@dataclass(frozen=True, slots=True)
class Transformer:
    """A transformer's weights and shape.

    Attributes:
        words: Token vectors ``(vocabulary, width)``.
        positions: Position vectors, with that of the first segment added, ``(length, width)``.
        first_norm: Normalisation of the sum of both.
        blocks: Encoder blocks.
        heads: Attention heads.
        activation: ``gelu``, the exact function, ``gelu_tanh``, its approximation, or ``relu``.
        epsilon: Added to variances in the normalisations.
        distances: Bias per bucket of distances and head, ``(buckets, heads)``; None for most families.
    """

    words: Floats
    positions: Floats
    first_norm: Linear
    blocks: tuple[Block, ...]
    heads: int
    activation: str
    epsilon: float
    distances: Floats | None = None


def states_of(read: Transformer, ids: Tensor) -> Tensor:
    """Return the states of tokens after the last block, ``(texts, tokens, width)``, in layers that can be trained.

    Args:
        read: The weights. The token vector of padding, which has id 0, is ignored.
        ids: Token ids ``(texts, tokens)``, an input of Keras.
    """
    states = _embedding(read, ids)
    bias = _biases(read, ids)
    for number, weights in enumerate(read.blocks):
        block = EncoderBlock(
            read.heads,
            len(weights.widen[1]),
            norm_first=False,
            activation=read.activation,
            epsilon=read.epsilon,
            name=f"block_{number}",
        )
        states = block(states, ids, *bias)
        _copy_block(weights, block)
    return states


def _embedding(read: Transformer, ids: Tensor) -> Tensor:
    """Return the input of the first block: token plus position embedding, normalised."""
    tokens = TokenVectors(*read.words.shape, storage="float32", dtype="float32", name=TOKENS_LAYER)
    positions = Positions(len(read.positions), name="positions")
    norm = keras.layers.LayerNormalization(epsilon=read.epsilon, name="first_norm")
    states = norm(positions(tokens(ids)))
    tokens.set_weights(stored_rows(read.words, storage="float32"))
    positions.set_weights([read.positions])
    norm.set_weights(read.first_norm)
    return states


def _biases(read: Transformer, ids: Tensor) -> list[Tensor]:
    """Return the biases of attention by distance, if there are any."""
    if read.distances is None:
        return []
    layer = Distances(read.heads, len(read.positions), buckets=len(read.distances), dtype="float32", name="distances")
    biases = layer(ids)
    layer.set_weights([read.distances])
    return [biases]


def _copy_block(weights: Block, block: EncoderBlock) -> None:
    block.attention.query.set_weights(weights.query)
    block.attention.key.set_weights(weights.key)
    block.attention.value.set_weights(weights.value)
    block.attention.output_projection.set_weights(weights.output)
    block.attention_norm.set_weights(weights.attention_norm)
    block.widen.set_weights(weights.widen)
    block.narrow.set_weights(weights.narrow)
    block.feed_norm.set_weights(weights.feed_norm)
