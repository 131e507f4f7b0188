"""The siamese model: two (or three) copies of one tower, with shared weights, under one loss.

``Siamese`` is an ordinary Keras model whose loss is a function of the sides' embeddings, so ``train_on_batch``
trains it. ``TowerAdagrad`` and ``TowerAdam`` are Keras' optimizers with a learning rate of their
own for token vectors, which may also begin to learn later than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from docsim.errors import TrainingError
from docsim.training.data.batches import Ids
from docsim.training.loop.losses import Loss, cosent, cosine_mse, guided, in_batch_softmax, matryoshka, triplet
from docsim.training.towers.static import PADDING_ID, WeightedTokenSum

__all__ = ["LOSSES", "OPTIMIZERS", "Objective", "Siamese", "optimizer"]

LOSSES: dict[str, Loss] = {"softmax": in_batch_softmax, "cosent": cosent, "mse": cosine_mse, "triplet": triplet}
"""By the name that ``--loss`` takes."""

OPTIMIZERS = ("adagrad", "adam")

_ADAGRAD_EPSILON = 1e-8  # added to sums of squares, which are from 1e-7 to 1e-4: spares tokens with little gradient


@dataclass(frozen=True, slots=True)
class Objective:
    """Which loss, and its constants.

    Attributes:
        loss: One of ``LOSSES``.
        temperature: Of ``softmax``; the inverse of the scale of ``cosent``.
        margin: Of ``triplet``, in cosines.
        matryoshka: Numbers of leading components that must do on their own; empty for all components only.
        guidance: Weight of what a teacher says beside it, as ``losses.guided`` does; 0 without a teacher.
    """

    loss: str = "softmax"
    temperature: float = 0.07
    margin: float = 0.2
    matryoshka: tuple[int, ...] = ()
    guidance: float = 0.0

    def __post_init__(self) -> None:
        """Refuse unknown losses and constants that make no sense.

        Raises:
            TrainingError: The loss is unknown, or a constant not above 0.
        """
        if self.loss not in LOSSES:
            raise TrainingError(f"expected a loss of {', '.join(LOSSES)}; got {self.loss!r}")
        if not (self.temperature > 0 and self.margin > 0):  # nor what is no number
            raise TrainingError(
                f"expected a temperature and a margin above 0; got {self.temperature:g} and {self.margin:g}"
            )

    def function(self) -> Loss:
        """Return the loss as a function of embeddings and labels."""
        constants = {
            "softmax": {"temperature": self.temperature},
            "cosent": {"scale": 1 / self.temperature},
            "triplet": {"margin": self.margin},
        }
        loss: Loss = partial(LOSSES[self.loss], **constants.get(self.loss, {}))
        loss = guided(loss, weight=self.guidance) if self.guidance else loss
        return matryoshka(loss, self.matryoshka) if self.matryoshka else loss


class Siamese(keras.Model):  # type: ignore[misc]  # Keras has no type hints
    """Copies of one tower side by side.

    The sum of token vectors, all that an ``average`` tower is, is a product of a sparse matrix of token weights and the
    table of vectors. Trained as that, it takes a third of the time and memory that looking up each token's vector
    would; ``inputs`` makes the sparse matrices.

    Attributes:
        tower: From ids ``(texts, tokens)`` to unit rows ``(texts, dim)``.
        objective: A function of the sides' embeddings and of labels by name.
    """

    def __init__(self, tower: keras.Model, objective: Loss) -> None:
        super().__init__(name="siamese")
        self.tower, self.objective = tower, objective
        tokens = tower.get_layer("tokens")
        self._sums = type(tokens) is WeightedTokenSum and not tokens.weights_by_token.trainable
        if self._sums:
            self._tokens = tokens
            self._rest = keras.Model(tokens.output, tower.output)

    def inputs(self, sides: Sequence[Ids]) -> list[Any]:
        """Return blocks of ids ``(texts, tokens)`` as this model takes them."""
        return [self._bag(side) if self._sums else side for side in sides]

    def call(self, sides: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Return the embeddings of each side."""
        if self._sums:
            return [self._rest(ops.matmul(side, self._tokens.rows), training=training) for side in sides]
        return [self.tower(side, training=training) for side in sides]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of one batch: embeddings ``y_pred``, labels by name ``y``."""
        return self.objective(*y_pred, **(y or {}))

    def _bag(self, side: Ids) -> Any:
        """Return the token weights of a block of ids as a sparse tensor ``(texts, vocabulary)``."""
        weights = ops.convert_to_numpy(self._tokens.weights_by_token)
        rows, columns = np.nonzero(side != PADDING_ID)
        ids = side[rows, columns]
        places = np.stack([rows, ids], axis=1).astype(np.int64)
        return tf.SparseTensor(places, weights[ids], (len(side), len(weights)))


class _OwnRates:
    """Mixed into an optimizer: token vectors learn at a rate of their own, from a given step on.

    Attributes:
        embedding: Places of the token vectors among the variables that are trained.
        share: Their learning rate as a share of that of the others.
        from_step: The first step, from 0, at which they change.
    """

    embedding: frozenset[int] = frozenset()
    share: float = 1.0
    from_step: int = 0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable."""
        if self._get_variable_index(variable) in self.embedding:  # type: ignore[attr-defined]
            begun = ops.cast(self.iterations >= self.from_step, learning_rate.dtype)  # type: ignore[attr-defined]
            learning_rate = learning_rate * begun * self.share
        if isinstance(gradient, tf.IndexedSlices):  # whose repeated rows Keras would square one by one, not their sum
            gradient = tf.convert_to_tensor(gradient)
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class TowerAdam(_OwnRates, keras.optimizers.Adam):  # type: ignore[misc]
    """Adam: Kingma and Ba, ICLR 2015 (https://arxiv.org/abs/1412.6980)."""


class TowerAdagrad(_OwnRates, keras.optimizers.Adagrad):  # type: ignore[misc]
    """Adagrad: Duchi, Hazan and Singer, JMLR 12 (2011), figure 1. Steps shrink as a token's gradients add up."""


def optimizer(name: str, rate: Any, *, embedding: Sequence[int], share: float, from_step: int) -> Any:
    """Return an optimizer whose rates are those of ``_OwnRates``.

    Args:
        name: One of ``OPTIMIZERS``.
        rate: The learning rate, or a Keras schedule of it.
        embedding: Places of the token vectors among the variables that are trained.
        share: Their learning rate as a share of that of the others.
        from_step: The first step, from 0, at which they change.

    Raises:
        TrainingError: The name is unknown.
    """
    if name not in OPTIMIZERS:
        raise TrainingError(f"expected an optimizer of {', '.join(OPTIMIZERS)}; got {name!r}")
    if name == "adam":
        made = TowerAdam(rate)
    else:
        made = TowerAdagrad(rate, initial_accumulator_value=0.0, epsilon=_ADAGRAD_EPSILON)
    made.embedding, made.share, made.from_step = frozenset(embedding), share, from_step
    return made
