"""Keras' Adam and Adagrad with a separate learning rate for token vectors, which may also start later than the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from docsim.errors import TrainingError
from docsim.training.towers.layers import Tensor

__all__ = ["OPTIMIZERS", "TowerAdagrad", "TowerAdam", "make_optimizer"]

OPTIMIZERS = ("adagrad", "adam")

_ADAGRAD_EPSILON = 1e-8  # beside sums of squares of 1e-7 to 1e-4: tokens with hardly any gradient take smaller steps


class _SeparateRate:
    """Mix-in for an optimizer: some variables have a learning rate of their own, from a given step on.

    Attributes:
        separate: References to these variables.
        share: Their learning rate as a share of that of the others.
        from_step: The first step, from 0, at which they change.
    """

    separate: frozenset[Any] = frozenset()
    share: float = 1.0
    from_step: int = 0

    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        """Update one variable."""
        if _reference(variable) in self.separate:
            begun = ops.cast(self.iterations >= self.from_step, learning_rate.dtype)  # type: ignore[attr-defined]
            learning_rate = learning_rate * begun * self.share
        if isinstance(gradient, tf.IndexedSlices):
            # Keras squares each of several slices for the same row; adding them up first gives the true gradient.
            gradient = tf.convert_to_tensor(gradient)
        super().update_step(gradient, variable, learning_rate)  # type: ignore[misc]


class TowerAdam(_SeparateRate, keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no type hints
    """Adam: Kingma and Ba, ICLR 2015 (https://arxiv.org/abs/1412.6980)."""


class TowerAdagrad(_SeparateRate, keras.optimizers.Adagrad):  # type: ignore[misc]  # Keras has no type hints
    """Adagrad: Duchi, Hazan and Singer, JMLR 12 (2011), figure 1. Steps shrink as a weight's gradients add up."""


def make_optimizer(
    name: str,
    rate: float | keras.optimizers.schedules.LearningRateSchedule,
    *,
    separate: Sequence[keras.Variable],
    share: float,
    from_step: int = 0,
) -> TowerAdam | TowerAdagrad:
    """Return an optimizer that gives some variables a learning rate of their own.

    Args:
        name: One of ``OPTIMIZERS``.
        rate: Learning rate, or a Keras schedule of it.
        separate: The variables with a rate of their own.
        share: Their learning rate as a share of that of the others.
        from_step: The first step, from 0, at which they change.

    Raises:
        TrainingError: The name is unknown.
    """
    if name not in OPTIMIZERS:
        raise TrainingError(f"expected one of the optimizers {', '.join(OPTIMIZERS)}; got {name!r}")
    if name == "adam":
        made: TowerAdam | TowerAdagrad = TowerAdam(rate)
    else:
        made = TowerAdagrad(rate, initial_accumulator_value=0.0, epsilon=_ADAGRAD_EPSILON)
    made.separate = frozenset(_reference(variable) for variable in separate)
    made.share, made.from_step = share, from_step
    return made


def _reference(variable: keras.Variable | tf.Variable) -> Any:
    """Return a hashable reference to the TensorFlow variable, which is what Keras passes to ``update_step``."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).ref()
