"""The siamese model: one tower applied to two or more sides, whose embeddings go into one loss.

``Siamese`` is an ordinary Keras model whose loss is a function of the sides' embeddings, so ``train_on_batch`` trains
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from docsim.training.data.batch_layout import Ids
from docsim.training.loop.losses import Loss
from docsim.training.towers.average import TOKENS_LAYER
from docsim.training.towers.layers import PADDING_ID, Tensor, WeightedTokenSum

__all__ = ["Siamese"]


class Siamese(keras.Model):  # type: ignore[misc]  # Keras has no type hints
    """A tower that embeds several sides of a batch.

    The sum of token vectors, which is all that an ``average`` tower computes, equals the product of a sparse matrix of
    token weights and the table of token vectors. Training it in that form takes a third of the time and memory of
    looking up each token's vector; ``inputs`` makes the sparse matrices.

    Attributes:
        tower: Model from ids ``(texts, tokens)`` to unit rows ``(texts, dim)``.
        objective: Loss as a function of the sides' embeddings and of labels by name.
    """

    def __init__(self, tower: keras.Model, objective: Loss) -> None:
        super().__init__(name="siamese")
        self.tower, self.objective = tower, objective
        tokens = tower.get_layer(TOKENS_LAYER)
        self._sums = type(tokens) is WeightedTokenSum and not tokens.weights_by_token.trainable
        if self._sums:
            self._tokens = tokens
            self._rest = keras.Model(tokens.output, tower.output)

    def inputs(self, sides: Sequence[Ids]) -> list[Tensor]:
        """Return blocks of ids ``(texts, tokens)`` in the form that this model takes."""
        return [self._bag(side) if self._sums else side for side in sides]

    def call(self, sides: Sequence[Tensor], training: bool | None = None) -> list[Tensor]:
        """Return the embeddings of each side."""
        if self._sums:
            return [self._rest(ops.matmul(side, self._tokens.rows), training=training) for side in sides]
        return [self.tower(side, training=training) for side in sides]

    def compute_loss(
        self,
        x: Tensor = None,
        y: Mapping[str, Tensor] | None = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of one batch from its embeddings ``y_pred`` and its labels ``y``."""
        return self.objective(*y_pred, **(y or {}))

    def _bag(self, side: Ids) -> tf.SparseTensor:
        """Return the token weights of a block of ids as a sparse tensor ``(texts, vocabulary)``."""
        weights = ops.convert_to_numpy(self._tokens.weights_by_token)
        rows, columns = np.nonzero(side != PADDING_ID)
        ids = side[rows, columns]
        positions = np.stack([rows, ids], axis=1).astype(np.int64)
        return tf.SparseTensor(positions, weights[ids], (len(side), len(weights)))
