"""Training a student: its token vectors and token weights learn from a teacher's embeddings of the same texts.

The loss of a batch of texts, with student embeddings ``s`` and teacher embeddings ``t``, is

    mean(1 - cos(W s_i, t_i))  +  mean_i KL(softmax_j(t_i . t_j / T), softmax_j(s_i . s_j / T))

The first term is regression on the teacher's embeddings (Reimers and Gurevych, EMNLP 2020, section 2, with a cosine
instead of the squared distance). The linear map ``W`` is learned, and dropped after training; it is needed even if the
widths agree, because the student's components are principal components in an order of their own. Since ``W`` may
stretch, the second term (``losses.similarity_divergence``) makes the student's own cosines, which search uses, order
texts as the teacher's do. It can also be applied to the first components alone (``losses.matryoshka``). The weights
that agree best with the teacher on held-out texts are kept, possibly those from before training.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.progress import SILENT, Progress
from docsim.training.data.batch_layout import Floats, Ids, InputFormat, epoch_order
from docsim.training.loop.losses import matryoshka, similarity_divergence
from docsim.training.loop.optimizers import make_optimizer
from docsim.training.loop.probe import embedded
from docsim.training.towers.average import TOKENS_LAYER
from docsim.training.towers.layers import Tensor

__all__ = ["DistillationSet", "StudentConfig", "StudentResult", "agreement", "train_student"]

logger = logging.getLogger(__name__)

_TEMPERATURE = 0.1
_WARM_UP = 50  # steps, if the learning rate decays afterwards
_RIDGE = 1e-3
_WEIGHTS_SHARE = 0.1  # learning rate of token weights, most of which are far below 1


@dataclass(frozen=True, slots=True)
class StudentConfig:
    """How a student learns from texts.

    Attributes:
        steps: The maximum number of steps.
        batch: Texts in a batch.
        learning_rate: Learning rate of token vectors and of the linear map.
        probe_every: Steps between measurements.
        patience: Measurements without an improvement after which training ends.
        time_limit: Seconds that the steps may take; None for no limit.
        seed: Random seed.
        dims: Numbers of leading components that should work on their own.
        decay: Whether the learning rate rises for 50 steps and then falls to zero along a cosine.
    """

    steps: int = 1000
    batch: int = 128
    learning_rate: float = 1e-3
    probe_every: int = 50
    patience: int = 4
    time_limit: float | None = None
    seed: int = 0
    dims: tuple[int, ...] = ()
    decay: bool = False

    def __post_init__(self) -> None:
        """Validate the numbers.

        Raises:
            TrainingError: A number is out of its range.
        """
        for name in ("steps", "probe_every", "patience", "learning_rate"):
            if not getattr(self, name) > 0:
                raise TrainingError(f"expected {name} above 0; got {getattr(self, name)}")
        if self.batch < 2 or (self.time_limit is not None and self.time_limit <= 0):
            raise TrainingError(
                f"expected a batch of at least 2 and a time limit above 0; got {self.batch} and {self.time_limit}"
            )

    def rate(self) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate as Keras optimizers take it."""
        if not self.decay:
            return self.learning_rate
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, self.steps - _WARM_UP),
            warmup_target=self.learning_rate,
            warmup_steps=_WARM_UP,
        )


@dataclass(frozen=True, slots=True)
class DistillationSet:
    """Texts and a teacher's embeddings of them.

    Attributes:
        ids: Token ids of each text.
        targets: The teacher's embeddings, unit rows ``(texts, width)``.
        held: Which texts are held out, bool ``(texts,)``.
        input_format: Input that the student's tower expects.
    """

    ids: Sequence[Ids]
    targets: Floats
    held: NDArray[np.bool_]
    input_format: InputFormat

    def held_out(self) -> tuple[list[Ids], Floats]:
        """Return ids and targets of the held-out texts."""
        return [self.ids[row] for row in np.flatnonzero(self.held).tolist()], self.targets[self.held]

    def batch(self, step: int, size: int, *, seed: int) -> tuple[Ids, Floats]:
        """Return ids ``(texts, tokens)`` and targets of batch ``step``, from 0; it depends on step and seed alone."""
        rows = np.flatnonzero(~self.held)
        size = min(size, len(rows))
        epoch, place = divmod(step, len(rows) // size)
        chosen = rows[epoch_order(len(rows), seed=seed, epoch=epoch)[place * size : (place + 1) * size]]
        return self.input_format.block([self.ids[row] for row in chosen.tolist()]), self.targets[chosen]


@dataclass(frozen=True, slots=True)
class StudentResult:
    """How a student's training went.

    Attributes:
        before: ``agreement`` on the held-out texts before the first step.
        after: The same of the weights that were kept.
        steps: Steps after which these weights were reached.
    """

    before: float
    after: float
    steps: int


def agreement(student: Floats, teacher: Floats) -> float:
    """Return Pearson's correlation, in [-1, 1], between the student's and the teacher's cosines of all pairs of texts.

    Args:
        student: Unit rows ``(texts, dim)``.
        teacher: Unit rows ``(texts, width)``.
    """
    pairs = np.triu_indices(len(student), k=1)
    own, wanted = (student @ student.T)[pairs], (teacher @ teacher.T)[pairs]
    if own.std() < 1e-7 or wanted.std() < 1e-7:
        return 0.0
    return float(np.corrcoef(own, wanted)[0, 1])


def train_student(
    tower: keras.Model, texts: DistillationSet, config: StudentConfig, *, progress: Progress = SILENT
) -> StudentResult:
    """Train a tower, and leave it with the weights that agree best with the teacher on the held-out texts.

    Args:
        tower: A trainable tower.
        texts: Texts and the teacher's embeddings.
        config: How long and how fast to train.
        progress: Told after every measurement.

    Raises:
        TrainingError: The loss is not finite.
    """
    model = _compiled(tower, texts, config)
    best = before = _measure(tower, texts)
    kept, kept_at, since, step, began = tower.get_weights(), 0, 0, 0, time.monotonic()
    progress.begin("training", config.steps)
    while step < config.steps and since < config.patience and not _is_over(config, began):
        done, step = step, _steps(model, texts, config, step, began)
        found, since = _measure(tower, texts), since + 1
        logger.info("step %d: agreement %.4f", step, found)
        if found > best:
            best, kept, kept_at, since = found, tower.get_weights(), step, 0
        progress.advance(step - done)
        progress.measure(f"agreement {found:.4f}")
    tower.set_weights(kept)
    return StudentResult(before, best, kept_at)


class _StudentModel(keras.Model):  # type: ignore[misc]  # Keras has no type hints
    """A tower, and the linear map from its embeddings to the teacher's."""

    def __init__(self, tower: keras.Model, width: int, dims: Sequence[int] = ()) -> None:
        super().__init__(name="student")
        self.tower = tower
        divergence = partial(similarity_divergence, temperature=_TEMPERATURE)
        self.divergence = matryoshka(divergence, [tower.output_shape[-1], *dims])
        self.map = keras.layers.Dense(width, use_bias=False, name="map")
        self.map.build((None, tower.output_shape[-1]))

    def call(self, ids: Tensor, training: bool | None = None) -> Tensor:
        """Return the tower's embeddings."""
        return self.tower(ids, training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Return the loss of one batch from its embeddings ``y_pred`` and the teacher's ``y``."""
        mapped = ops.normalize(self.map(y_pred), axis=-1)
        regression = ops.mean(1 - ops.sum(mapped * y, axis=-1))
        return regression + self.divergence(y_pred, taught=y)


def _compiled(tower: keras.Model, texts: DistillationSet, config: StudentConfig) -> _StudentModel:
    """Return a model whose map starts as the least-squares solution, and whose token weights learn slowly."""
    layer = tower.get_layer(TOKENS_LAYER)
    layer.trainable = layer.rows.trainable = layer.weights_by_token.trainable = True
    tower.compile(jit_compile=False)
    rows = np.flatnonzero(~texts.held)[: 4 * tower.output_shape[-1]].tolist()
    own = embedded(tower, [texts.ids[row] for row in rows], texts.input_format).astype(np.float64)
    ridge = own.T @ own + _RIDGE * len(rows) / own.shape[1] * np.eye(own.shape[1])
    model = _StudentModel(tower, texts.targets.shape[1], config.dims)
    model.map.set_weights([np.linalg.solve(ridge, own.T @ texts.targets[rows]).astype(np.float32)])
    optimizer = make_optimizer("adam", config.rate(), separate=[layer.weights_by_token], share=_WEIGHTS_SHARE)
    model.compile(optimizer=optimizer, jit_compile=False)  # batches have many shapes
    return model


def _steps(model: _StudentModel, texts: DistillationSet, config: StudentConfig, step: int, began: float) -> int:
    """Train up to the next measurement or the time limit; return the number of steps done."""
    until = min(config.steps, step + config.probe_every)
    while step < until and not _is_over(config, began):
        loss = float(model.train_on_batch(*texts.batch(step, config.batch, seed=config.seed)))
        step += 1
        if not math.isfinite(loss):
            raise TrainingError(
                f"expected a finite loss; it is {loss} after step {step}. Try a lower learning rate than "
                f"{config.learning_rate:g}"
            )
    return step


def _measure(tower: keras.Model, texts: DistillationSet) -> float:
    ids, targets = texts.held_out()
    return agreement(embedded(tower, ids, texts.input_format), targets)


def _is_over(config: StudentConfig, began: float) -> bool:
    return config.time_limit is not None and time.monotonic() - began >= config.time_limit
