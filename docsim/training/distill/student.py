"""Students: token vectors and weights learn from a teacher's embeddings of the same texts.

The loss of one batch of texts, with student embeddings ``s`` and teacher embeddings ``t``, is

    mean(1 - cos(W s_i, t_i))  +  mean_i KL(softmax_j(t_i . t_j / T), softmax_j(s_i . s_j / T))

The first term is regression on the teacher's embeddings (Reimers and Gurevych, EMNLP 2020, section 2, with a cosine for
the squared distance). The learnt map ``W`` is there even when the widths agree, because the student's components are
principal components in an order of their own; it is dropped afterwards. As it may stretch, the second term, j being all
other texts of the batch, asks that the student's own cosines, which are what searching uses, order texts as the
teacher's do: similarity distributions as in Fang et al., "SEED", ICLR 2021, section 3.2. It may be asked of the first
components alone, too (``docsim.training.loop.losses.matryoshka``). Texts held out decide which weights are kept, the
untrained ones among them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.data.batches import Framing, Ids, epoch_order
from docsim.training.loop.losses import matryoshka
from docsim.training.loop.probe import embedded
from docsim.training.loop.siamese import optimizer

__all__ = ["Floats", "Lesson", "Progress", "Taught", "Tuning", "agreement", "taught"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, for people, how much of it is done, and of how much."""

_TEMPERATURE = 0.1
_FAR_BELOW = -1e9  # a logit that takes no part in a softmax
_WARM_UP = 50  # steps, where the rate falls afterwards
_RIDGE = 1e-3
_WEIGHTS_SHARE = 0.1  # learning rate of token weights: most are far smaller than 1


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the student learns from texts.

    Attributes:
        steps: Most steps.
        batch: Spans in a batch.
        learning_rate: Of token vectors and of the map.
        probe_every: Steps between measurements.
        patience: Measurements without a rise after which learning ends.
        time_limit: Seconds that steps may take; None for no limit.
        seed: Of spans, batches and the documents held out.
        dims: Numbers of leading components that should do alone, beside all of them.
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
        """Refuse what cannot be.

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

    def rate(self) -> Any:
        """Return the learning rate as Keras takes it."""
        if not self.decay:
            return self.learning_rate
        return keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, self.steps - _WARM_UP),
            warmup_target=self.learning_rate,
            warmup_steps=_WARM_UP,
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a student learns from.

    Attributes:
        ids: Token ids of each text.
        targets: The teacher's embeddings, unit rows ``(texts, width)``.
        held: Which texts are held out, bool ``(texts,)``.
        framing: What the tower expects around a text.
    """

    ids: Sequence[Ids]
    targets: Floats
    held: NDArray[np.bool_]
    framing: Framing

    def held_out(self) -> tuple[list[Ids], Floats]:
        """Return ids and targets of the texts held out."""
        return [self.ids[row] for row in np.flatnonzero(self.held).tolist()], self.targets[self.held]

    def batch(self, step: int, size: int, *, seed: int) -> tuple[Ids, Floats]:
        """Return ids ``(texts, tokens)`` and targets of batch number ``step``, which depends on it and seed alone."""
        rows = np.flatnonzero(~self.held)
        size = min(size, len(rows))
        epoch, place = divmod(step, len(rows) // size)
        chosen = rows[epoch_order(len(rows), seed=seed, epoch=epoch)[place * size : (place + 1) * size]]
        return self.framing.block([self.ids[row] for row in chosen.tolist()]), self.targets[chosen]


@dataclass(frozen=True, slots=True)
class Taught:
    """How it went.

    Attributes:
        before: ``agreement`` on the texts held out, before the first step.
        after: The same of what was kept.
        steps: Steps after which the kept weights were reached.
    """

    before: float
    after: float
    steps: int


def agreement(student: Floats, teacher: Floats) -> float:
    """Return Pearson's correlation, in [-1, 1], of the student's cosines of all pairs of texts with the teacher's.

    Args:
        student: Unit rows ``(texts, dim)``.
        teacher: Unit rows ``(texts, width)``.
    """
    pairs = np.triu_indices(len(student), k=1)
    own, wanted = (student @ student.T)[pairs], (teacher @ teacher.T)[pairs]
    if own.std() < 1e-7 or wanted.std() < 1e-7:
        return 0.0
    return float(np.corrcoef(own, wanted)[0, 1])


def taught(tower: keras.Model, lesson: Lesson, tuning: Tuning, *, progress: Progress | None = None) -> Taught:
    """Let a trainable tower learn, and leave it with the weights that agree best on the texts held out.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    model = _compiled(tower, lesson, tuning)
    best = before = _measured(tower, lesson)
    kept, kept_at, since, step, began = tower.get_weights(), 0, 0, 0, time.monotonic()
    while step < tuning.steps and since < tuning.patience and not _over(tuning, began):
        until = min(tuning.steps, step + tuning.probe_every)
        while step < until and not _over(tuning, began):
            ids, targets = lesson.batch(step, tuning.batch, seed=tuning.seed)
            _check(float(model.train_on_batch(ids, targets)), tuning)
            step += 1
        found, since = _measured(tower, lesson), since + 1
        logger.info("step %d: agreement %.4f", step, found)
        if found > best:
            best, kept, kept_at, since = found, tower.get_weights(), step, 0
        if progress:
            progress("Learning from texts", step, tuning.steps)
    tower.set_weights(kept)
    return Taught(before, best, kept_at)


class _Pupil(keras.Model):  # type: ignore[misc]  # Keras has no type hints
    """A tower, and the map from its embeddings to the teacher's."""

    def __init__(self, tower: keras.Model, width: int, dims: Sequence[int] = ()) -> None:
        super().__init__(name="pupil")
        self.tower = tower
        self.relations = matryoshka(_divergence, [tower.output_shape[-1], *dims])
        self.map = keras.layers.Dense(width, use_bias=False, name="map")
        self.map.build((None, tower.output_shape[-1]))

    def call(self, ids: Any, training: bool | None = None) -> Any:
        """Return the tower's embeddings."""
        return self.tower(ids, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of one batch: embeddings ``y_pred``, the teacher's ``y``."""
        mapped = ops.normalize(self.map(y_pred), axis=-1)
        regression = ops.mean(1 - ops.sum(mapped * y, axis=-1))
        return regression + self.relations(y_pred, taught=y)


def _divergence(rows: Any, *, taught: Any) -> Any:
    """Return how far each text's similarities to the others are from the teacher's: unit rows of both, a mean KL."""
    own, wanted = _others(rows), _others(taught)
    return ops.mean(ops.sum(ops.exp(wanted) * (wanted - own), axis=1))


def _others(rows: Any) -> Any:
    """Return the logarithm of each row's softmax over its similarities to all other rows, ``(rows, rows)``."""
    logits = ops.matmul(rows, ops.transpose(rows)) / _TEMPERATURE
    itself = ops.eye(ops.shape(logits)[0], dtype="bool")
    return ops.log_softmax(ops.where(itself, _FAR_BELOW, logits), axis=1)


def _compiled(tower: keras.Model, lesson: Lesson, tuning: Tuning) -> _Pupil:
    """Return a model whose map starts as the least-squares one, and whose token weights learn slowly."""
    layer = tower.get_layer("tokens")
    layer.trainable = layer.rows.trainable = layer.weights_by_token.trainable = True
    tower.compile(jit_compile=False)
    rows = np.flatnonzero(~lesson.held)[: 4 * tower.output_shape[-1]].tolist()
    own = embedded(tower, [lesson.ids[row] for row in rows], lesson.framing).astype(np.float64)
    ridge = own.T @ own + _RIDGE * len(rows) / own.shape[1] * np.eye(own.shape[1])
    model = _Pupil(tower, lesson.targets.shape[1], tuning.dims)
    model.map.set_weights([np.linalg.solve(ridge, own.T @ lesson.targets[rows]).astype(np.float32)])
    places = [n for n, one in enumerate(model.trainable_variables) if one.path == layer.weights_by_token.path]
    made = optimizer("adam", tuning.rate(), embedding=places, share=_WEIGHTS_SHARE, from_step=0)
    model.compile(optimizer=made, jit_compile=False)  # batches have many shapes
    return model


def _measured(tower: keras.Model, lesson: Lesson) -> float:
    ids, targets = lesson.held_out()
    return agreement(embedded(tower, ids, lesson.framing), targets)


def _over(tuning: Tuning, began: float) -> bool:
    return tuning.time_limit is not None and time.monotonic() - began >= tuning.time_limit


def _check(loss: float, tuning: Tuning) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is no longer a number; try a lower learning rate than {tuning.learning_rate:g}")
