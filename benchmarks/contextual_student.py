"""The contextual encoder before it has learned: two of the teacher's six layers, with the heads and neurons that count.

Structured pruning (Michel, Levy and Neubig, "Are Sixteen Heads Really Better than One?", NeurIPS 2019) keeps what the
teacher knows in the parts that are kept. Token vectors are projected on their principal components, and a linear layer
leads back to the width of the teacher's states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docsim.training.imports.checkpoint import Block, Transformer
from docsim.training.towers.average import TOKENS_LAYER, stored_rows
from docsim.training.towers.layers import Pooling, Tensor, TokenVectors, UnitLength
from docsim.training.towers.transformer import EncoderBlock, Positions

_EPSILON = 1e-12
_READ = 64  # tokens of each text by which parts are compared

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is kept of the teacher.

    Attributes:
        layers: Numbers of the layers, from 0.
        heads: Attention heads of each layer.
        inner: Neurons of each feed-forward network.
        width: Components of the token vectors.
        positions: Tokens of a text that can be read.
    """

    layers: tuple[int, ...] = (0, 5)
    heads: int = 6
    inner: int = 512
    width: int = 288
    positions: int = 256

    def operations(self, states: int = 384, head: int = 32) -> int:
        """Return the multiplications per token, those among pairs of tokens left out."""
        attention, feed = 4 * states * self.heads * head, 2 * states * self.inner
        return self.width * states + len(self.layers) * (attention + feed)


@dataclass(frozen=True, slots=True)
class Kept:
    """Which heads and neurons of a layer are kept, int64 each."""

    heads: NDArray[np.int64]
    neurons: NDArray[np.int64]


def student(teacher: Transformer, tokenizer: Tokenizer, texts: Sequence[str], shape: Shape) -> keras.Model:
    """Return a trainable tower made of parts of the teacher, whose embeddings are means over the tokens' states.

    Args:
        teacher: The teacher's weights.
        tokenizer: Its tokenizer.
        texts: Some hundred texts, by which heads and neurons are compared.
        shape: How much is kept.
    """
    kept = most_important(teacher, tokenizer, texts, shape)
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    states = _embedding(teacher, ids, shape)
    for number, layer in enumerate(shape.layers):
        states = _block(teacher, layer, kept[layer], states, ids, name=f"block_{number}")
    pooled = Pooling("mean", dtype="float32", name="pooling")(states, ids)
    tower = keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(pooled), name="transformer")
    for variable in tower.get_layer(TOKENS_LAYER).variables:
        variable.trainable = True
    return tower


def most_important(teacher: Transformer, tokenizer: Tokenizer, texts: Sequence[str], shape: Shape) -> list[Kept]:
    """Return for each layer of the teacher the heads and neurons whose outputs are longest over some texts."""
    heads = np.zeros((len(teacher.blocks), teacher.heads))
    neurons = np.zeros((len(teacher.blocks), len(teacher.blocks[0].narrow[0])))
    for encoding in tokenizer.encode_batch_fast(list(texts)):
        ids = encoding.ids[:_READ]
        states = _normalised(teacher.words[ids] + teacher.positions[: len(ids)], teacher.first_norm)
        for number, block in enumerate(teacher.blocks):
            by_head = _attended(states, block, teacher.heads)
            heads[number] += np.linalg.norm(by_head, axis=-1).sum(axis=1)
            states = _normalised(states + by_head.sum(axis=0) + block.output[1], block.attention_norm)
            inner = _gelu(states @ block.widen[0] + block.widen[1])
            neurons[number] += np.abs(inner).sum(axis=0) * np.linalg.norm(block.narrow[0], axis=1)
            states = _normalised(states + inner @ block.narrow[0] + block.narrow[1], block.feed_norm)
    return [
        Kept(_largest(of_heads, shape.heads), _largest(of_neurons, shape.inner))
        for of_heads, of_neurons in zip(heads, neurons, strict=True)
    ]


def _embedding(teacher: Transformer, ids: Tensor, shape: Shape) -> Tensor:
    vectors = teacher.words
    vectors = np.concatenate([vectors, vectors[:1]])  # padding once more, for texts that contain the word [PAD]
    mean = vectors[1:].mean(axis=0)
    directions = np.linalg.eigh((vectors - mean).T.astype(np.float64) @ (vectors - mean))[1]  # by rising variance
    directions = directions[:, ::-1][:, : shape.width].astype(np.float32)
    tokens = TokenVectors(len(vectors), shape.width, storage="float32", dtype="float32", name=TOKENS_LAYER)
    entry = keras.layers.Dense(vectors.shape[1], use_bias=False, name="entry")
    positions = Positions(shape.positions, name="positions")
    norm = keras.layers.LayerNormalization(epsilon=_EPSILON, name="first_norm")
    states = norm(positions(entry(tokens(ids))))
    tokens.set_weights(stored_rows((vectors - mean) @ directions, storage="float32"))
    entry.set_weights([directions.T])
    positions.set_weights([teacher.positions[: shape.positions] + mean])
    norm.set_weights(list(teacher.first_norm))
    return states


def _block(teacher: Transformer, layer: int, kept: Kept, states: Tensor, ids: Tensor, *, name: str) -> Tensor:
    weights, size = teacher.blocks[layer], states.shape[-1] // teacher.heads
    units = (kept.heads[:, None] * size + np.arange(size)).ravel()
    block = EncoderBlock(
        len(kept.heads), len(kept.neurons), units=len(units), norm_first=False, epsilon=teacher.epsilon, name=name
    )
    output = block(states, ids)
    attention = block.attention
    parts = ((attention.query, weights.query), (attention.key, weights.key), (attention.value, weights.value))
    for part, (kernel, bias) in parts:
        part.set_weights([kernel[:, units], bias[units]])
    attention.output_projection.set_weights([weights.output[0][units], weights.output[1]])
    block.attention_norm.set_weights(list(weights.attention_norm))
    block.widen.set_weights([weights.widen[0][:, kept.neurons], weights.widen[1][kept.neurons]])
    block.narrow.set_weights([weights.narrow[0][kept.neurons], weights.narrow[1]])
    block.feed_norm.set_weights(list(weights.feed_norm))
    return output


def _attended(states: Floats, block: Block, heads: int) -> Floats:
    """Return what each head adds to the states, ``(heads, tokens, width)``."""
    tokens, width = states.shape
    query, key, value = (
        (states @ kernel + bias).reshape(tokens, heads, -1).transpose(1, 0, 2)
        for kernel, bias in (block.query, block.key, block.value)
    )
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(width // heads)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.asarray(shares @ value @ block.output[0].reshape(heads, -1, width))


def _normalised(states: Floats, norm: Sequence[Floats]) -> Floats:
    centred = states - states.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(axis=-1, keepdims=True) + _EPSILON) * norm[0] + norm[1])


def _gelu(values: Floats) -> Floats:
    return np.asarray(0.5 * values * (1 + ops.convert_to_numpy(ops.erf(values * math.sqrt(0.5)))))


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return np.sort(np.argsort(-values, kind="stable")[:count])
