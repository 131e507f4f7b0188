"""The schedule of a training: how many steps, the learning rate over them, and when it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from docsim.errors import TrainingError

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast to train. Names and values are part of what identifies a job when it resumes.

    Attributes:
        steps: The maximum number of steps.
        learning_rate: Learning rate after ``warm_up`` steps.
        warm_up: Steps over which the learning rate rises from zero.
        decay: Whether the learning rate then falls to zero at ``steps``, along a cosine; otherwise it stays constant.
        optimizer: ``adagrad`` or ``adam``.
        freeze: Whether token vectors stay as they are.
        unfreeze_at: Step from which on token vectors are trained, unless frozen.
        embedding_share: Learning rate of token vectors as a share of that of the other weights.
        probe_every: Steps between measurements of the probe.
        patience: Measurements without an improvement after which training ends.
        time_limit: Seconds after which training ends; None for no limit.
    """

    steps: int
    learning_rate: float
    warm_up: int = 20
    decay: bool = False
    optimizer: str = "adagrad"
    freeze: bool = False
    unfreeze_at: int = 0
    embedding_share: float = 1.0
    probe_every: int
    patience: int = 5
    time_limit: float | None = None

    def __post_init__(self) -> None:
        """Validate the numbers.

        Raises:
            TrainingError: A number is out of its range.
        """
        for name in ("steps", "probe_every", "patience"):
            if getattr(self, name) < 1:
                raise TrainingError(f"expected {name} of at least 1; got {getattr(self, name)}")
        for name in ("warm_up", "unfreeze_at", "embedding_share"):
            if getattr(self, name) < 0:
                raise TrainingError(f"expected {name} of at least 0; got {getattr(self, name)}")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise TrainingError(f"expected a learning rate above 0; got {self.learning_rate}")

    def rate(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate as Keras optimizers take it."""
        if not self.decay and not self.warm_up:
            return self.learning_rate
        return keras.optimizers.schedules.CosineDecay(
            0.0 if self.warm_up else self.learning_rate,
            decay_steps=max(1, self.steps - self.warm_up) if self.decay else 1,
            alpha=0.0 if self.decay else 1.0,
            warmup_target=self.learning_rate if self.warm_up else None,
            warmup_steps=self.warm_up,
        )
