"""The trainer: runs steps, measures the probe, keeps the best weights and writes checkpoints.

The probe is measured every ``probe_every`` steps. Training ends when it has not improved for ``patience`` measurements,
after ``steps``, or at the time limit. The tower is left with the weights that measured best, possibly those from before
training: training never returns weights that the probe finds worse than the starting point.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.progress import SILENT, Progress
from docsim.training.data.batch_layout import Batches
from docsim.training.loop.checkpoint import Arrays, Checkpoint, ProgressPoint, read_checkpoint, write_checkpoint
from docsim.training.loop.config import Objective
from docsim.training.loop.optimizers import TowerAdagrad, TowerAdam, make_optimizer
from docsim.training.loop.probe import Probe
from docsim.training.loop.schedule import Schedule
from docsim.training.loop.siamese import Siamese
from docsim.training.towers.average import TOKENS_LAYER

__all__ = ["Trainer", "TrainingJob", "TrainingResult", "prepare_embedding"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What is trained, and on what.

    Attributes:
        tower: The tower; left with the best weights.
        batches: What it is trained on.
        probe: What it is measured with.
        objective: The loss.
        digest: SHA-256 (64 hex digits) of the texts and of how pairs are made from them.
        before_first_step: Called once the untrained tower has been measured; may change its weights.
        keep_lengths: Whether token vectors keep their lengths, so that only their directions are trained.
        held_out: Ids of the documents that are not trained on.
        preprocessing: Preprocessing of the trained tower, if different from that of the starting point.
        teacher: Name of the teacher, if there is one.
    """

    tower: keras.Model
    batches: Batches
    probe: Probe
    objective: Objective
    digest: str
    before_first_step: Callable[[], None] | None = None
    keep_lengths: bool = False
    held_out: Sequence[str] = ()
    preprocessing: Preprocessing | None = None
    teacher: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a training went.

    Attributes:
        points: What was measured, the untrained tower first.
        best: The point whose weights were kept.
        ended: Why training ended: ``steps``, ``patience`` or ``time``.
    """

    points: tuple[ProgressPoint, ...]
    best: ProgressPoint
    ended: str


class Trainer:
    """Runs one training."""

    def __init__(self, job: TrainingJob, schedule: Schedule, *, checkpoint: Path | None = None) -> None:
        """Compile the model.

        Args:
            job: What to train.
            schedule: How long and how fast.
            checkpoint: File in which the state is saved after every measurement; None not to save it.

        Raises:
            TrainingError: The objective names more leading components than the tower has.
        """
        self._job, self._schedule, self._checkpoint = job, schedule, checkpoint
        _check_width(job)
        prepare_embedding(job.tower, freeze=schedule.freeze, keep_lengths=job.keep_lengths)
        self._model = Siamese(job.tower, job.objective.function())
        self._optimizer = _optimizer(job.tower, schedule)
        self._model.compile(optimizer=self._optimizer, jit_compile=False)  # batches have many shapes
        job.tower.compile(jit_compile=False)
        self._optimizer.build(job.tower.trainable_variables)
        self._points: list[ProgressPoint] = []
        self._best: Arrays = []

    def run(
        self,
        *,
        resume: bool = False,
        progress: Progress = SILENT,
        measured: Callable[[ProgressPoint], None] | None = None,
    ) -> TrainingResult:
        """Train, and leave the tower with the best weights.

        Args:
            resume: Whether to continue from the checkpoint.
            progress: Told of every step, with the latest loss and probe.
            measured: Called with every measurement of the probe.

        Raises:
            TrainingError: The loss is not finite, or there is no checkpoint of this job to resume from.
        """
        if resume:
            self._restore()
        started = time.monotonic() - (self._points[-1].seconds if self._points else 0.0)
        if not self._points:
            self._measure(0, None, started, measured)
        # The checkpoint of step 0 was written before this call, so a training that resumes there needs it as well.
        if self._points[-1].step == 0 and self._job.before_first_step:
            self._job.before_first_step()
        progress.begin("training", self._schedule.steps, self._points[-1].step)
        while not (ended := self._ended()):
            done = self._points[-1].step
            until = min(done + self._schedule.probe_every, self._schedule.steps)
            step, loss = self._steps(done, until, started, progress)
            self._measure(step, loss, started, measured)
        _assign(self._job.tower.variables, self._best)
        return TrainingResult(tuple(self._points), self._best_point(), ended)

    def _steps(self, done: int, until: int, started: float, progress: Progress) -> tuple[int, float]:
        """Run steps up to ``until`` or the time limit; return the number of steps done, and their mean loss."""
        self._model.reset_metrics()
        loss, step = math.nan, done
        while step < until:
            batch = self._job.batches.batch(step)
            loss = float(self._model.train_on_batch(self._model.inputs(batch.sides), dict(batch.labels)))
            step += 1
            if not math.isfinite(loss):
                raise TrainingError(
                    f"expected a finite loss; it is {loss} after step {step}. Try a lower learning rate than "
                    f"{self._schedule.learning_rate:g}"
                )
            progress.advance()
            progress.measure(f"loss {loss:.3f}  {self._job.probe.name} {self._points[-1].probe:.4f}")
            if self._is_over(time.monotonic() - started):
                break
        return step, loss

    def _measure(
        self, step: int, loss: float | None, started: float, measured: Callable[[ProgressPoint], None] | None
    ) -> None:
        """Measure the probe, keep the weights if they are the best so far, and write a checkpoint."""
        probe = self._job.probe.measure(self._job.tower)
        point = ProgressPoint(step, loss, probe, time.monotonic() - started)
        if not self._points or probe > self._best_point().probe:
            self._best = _arrays(self._job.tower.variables)
        self._points.append(point)
        logger.info("step %d: loss %s, %s %.4f", step, loss, self._job.probe.name, probe)
        if self._checkpoint:
            self._save(self._checkpoint)
        if measured:
            measured(point)

    def _best_point(self) -> ProgressPoint:
        return max(self._points, key=lambda point: point.probe)  # the first one, if several are equal

    def _ended(self) -> str:
        """Return why training ends here, or an empty string if it goes on."""
        last, best = self._points[-1], self._best_point()
        since = sum(point.step > best.step for point in self._points)
        if last.step >= self._schedule.steps:
            return "steps"
        if self._is_over(last.seconds):
            return "time"
        return "patience" if since >= self._schedule.patience else ""

    def _is_over(self, seconds: float) -> bool:
        return self._schedule.time_limit is not None and seconds >= self._schedule.time_limit

    def _digest(self) -> str:
        """Return what identifies this job: texts, tower, loss and schedule, except for the time limit."""
        schedule = {**asdict(self._schedule), "time_limit": None}
        shapes = [[variable.path, list(variable.shape)] for variable in self._job.tower.variables]
        content = [self._job.digest, asdict(self._job.objective), schedule, shapes]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _save(self, path: Path) -> None:
        weights, state = _arrays(self._job.tower.variables), _arrays(self._optimizer.variables)
        write_checkpoint(Checkpoint(self._digest(), tuple(self._points), weights, self._best, state), path)

    def _restore(self) -> None:
        if self._checkpoint is None:
            raise TrainingError("expected a checkpoint file to resume from; got none")
        saved = read_checkpoint(self._checkpoint, job=self._digest())
        _assign(self._job.tower.variables, saved.weights)
        _assign(self._optimizer.variables, saved.optimizer)
        self._points, self._best = list(saved.points), saved.best


def prepare_embedding(tower: keras.Model, *, freeze: bool, keep_lengths: bool = False) -> None:
    """Set which of a tower's token vectors and token weights are trained, and how.

    Vectors are trained unless frozen. Their lengths already express how much a token counts, so weights are trained
    only if there is nothing else to train: in an ``average`` tower with frozen vectors.

    Args:
        tower: A tower with float32 token vectors.
        freeze: Whether token vectors stay as they are.
        keep_lengths: Whether they are scaled back to length one after each step. The weight of a token is then what it
            was, since trainable token vectors begin with length one.
    """
    layer = tower.get_layer(TOKENS_LAYER)
    layer.trainable = True
    layer.rows.trainable = not freeze
    layer.rows.constraint = keras.constraints.UnitNorm(axis=1) if keep_lengths else None
    layer.weights_by_token.trainable = False
    if not tower.trainable_variables:
        layer.weights_by_token.trainable = True


def _check_width(job: TrainingJob) -> None:
    """Refuse more leading components than the tower has; slicing would silently use all of them."""
    width, most = job.tower.output_shape[-1], max(job.objective.matryoshka, default=0)
    if most > width:
        raise TrainingError(
            f"expected numbers of components for matryoshka of at most {width}, the tower's width; got {most}"
        )


def _optimizer(tower: keras.Model, schedule: Schedule) -> TowerAdam | TowerAdagrad:
    """Return the optimizer, with a rate of its own for token vectors and token weights."""
    layer = tower.get_layer(TOKENS_LAYER)
    return make_optimizer(
        schedule.optimizer,
        schedule.rate(),
        separate=[layer.rows, layer.weights_by_token],
        share=schedule.embedding_share,
        from_step=schedule.unfreeze_at,
    )


def _arrays(variables: Iterable[keras.Variable]) -> Arrays:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Iterable[keras.Variable], arrays: Arrays) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
