"""A transformer of BERT's kind in TensorFlow, made to learn quickly on a CPU.

It computes what docsim's transformer tower computes. Matrix products are in bfloat16, which processors with AVX512-BF16
multiply more than twice as fast as float32.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from docsim.training.towers.bert import Block, Transformer

__all__ = ["Network"]

Tensor = Any

_EPSILON = 1e-12


class Network:
    """A transformer whose weights can be learned, its token vectors excepted.

    Attributes:
        shape: The transformer that it was made from; its weights are not changed.
        variables: What can be learned.
    """

    def __init__(self, shape: Transformer) -> None:
        """Make a network with the weights of ``shape``."""
        self.shape = shape
        self._words = tf.constant(shape.words)
        self._positions = tf.Variable(shape.positions)
        self._first_norm = [tf.Variable(one) for one in shape.first_norm]
        self._blocks = [
            {name: [tf.Variable(one) for one in getattr(block, name)] for name in Block.__slots__}
            for block in shape.blocks
        ]
        in_blocks = [one for block in self._blocks for pair in block.values() for one in pair]
        self.variables = [self._positions, *self._first_norm, *in_blocks]

    def transformer(self) -> Transformer:
        """Return the weights as they are now."""
        blocks = [
            Block(**{name: [one.numpy() for one in pair] for name, pair in block.items()}) for block in self._blocks
        ]
        norm = [one.numpy() for one in self._first_norm]
        return replace(self.shape, positions=self._positions.numpy(), first_norm=norm, blocks=tuple(blocks))

    def save(self, file: Path, **more: Any) -> None:
        """Write the variables to a file, completely or not at all."""
        temporary = file.with_name(f".{file.name}.tmp.npz")
        np.savez(temporary, **{f"v{number}": one.numpy() for number, one in enumerate(self.variables)}, **more)
        temporary.replace(file)

    def load(self, file: Path) -> None:
        """Take the variables from a file."""
        with np.load(file) as kept:
            for number, variable in enumerate(self.variables):
                variable.assign(kept[f"v{number}"])

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit embeddings ``(texts, width)``, states ``(texts, tokens, width)`` and which tokens are present."""
        present = tf.cast(ids != 0, tf.float32)
        states = _normalised(tf.gather(self._words, ids) + self._positions[None, : tf.shape(ids)[1]], self._first_norm)
        absent = (present - 1)[:, None, None, :] * 1e9
        for block in self._blocks:
            states = self._block(block, states, absent)
        mean = tf.reduce_sum(states * present[..., None], 1) / tf.reduce_sum(present, 1, keepdims=True)
        return tf.nn.l2_normalize(mean, -1), states, present

    def _block(self, block: dict[str, list[Any]], states: Tensor, absent: Tensor) -> Tensor:
        heads, (texts, tokens) = self.shape.heads, tf.unstack(tf.shape(states)[:2])
        query, key, value = (
            tf.transpose(tf.reshape(self._dense(states, block[name]), (texts, tokens, heads, -1)), (0, 2, 1, 3))
            for name in ("query", "key", "value")
        )
        scores = tf.matmul(query, key, transpose_b=True) / math.sqrt(query.shape[-1] or states.shape[-1] // heads)
        mixed = tf.matmul(tf.nn.softmax(scores + absent), value)
        mixed = tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (texts, tokens, states.shape[-1]))
        states = _normalised(states + self._dense(mixed, block["output"]), block["attention_norm"])
        inner = tf.nn.gelu(self._dense(states, block["widen"]), approximate=False)
        return _normalised(states + self._dense(inner, block["narrow"]), block["feed_norm"])

    def _dense(self, states: Tensor, layer: list[Any]) -> Tensor:
        kernel, bias = layer
        shape = tf.concat([tf.shape(states)[:-1], [kernel.shape[1]]], 0)
        flat = tf.reshape(tf.cast(states, tf.bfloat16), (-1, kernel.shape[0]))
        product = tf.cast(tf.matmul(flat, tf.cast(kernel, tf.bfloat16)), tf.float32)
        made = tf.reshape(product, shape) + bias
        made.set_shape((None, None, kernel.shape[1]))
        return made


def _normalised(states: Tensor, norm: list[Any]) -> Tensor:
    centred = states - tf.reduce_mean(states, -1, keepdims=True)
    return centred * tf.math.rsqrt(tf.reduce_mean(centred * centred, -1, keepdims=True) + _EPSILON) * norm[0] + norm[1]
