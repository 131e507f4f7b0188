"""The trainer: steps, probes, the best weights kept, checkpoints.

Every ``probe_every`` steps the probe is measured. Training ends when it has not risen for ``patience`` probes, at
``steps``, or at the time limit; the tower is left with the weights that the probe found best, the untrained ones
included: training never returns what the probe finds worse than the start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from docsim.encoding.encoder import Preprocessing
from docsim.errors import TrainingError
from docsim.training.data.batches import Batches
from docsim.training.loop.checkpoint import Arrays, Checkpoint, Point, read_checkpoint, write_checkpoint
from docsim.training.loop.probe import Probe
from docsim.training.loop.siamese import Objective, Siamese, optimizer

__all__ = ["Job", "Outcome", "Schedule", "Tick", "Trainer", "Watch", "prepare_embedding"]

logger = logging.getLogger(__name__)

_TOKENS = "tokens"  # the layer that holds every tower's token vectors

Watch = Callable[[Point, int], None]
"""Called after every probe with what was measured, and the most steps there will be."""

Tick = Callable[[int, float], None]
"""Called after every step with the steps done and the mean loss since the last probe."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: Most steps.
        learning_rate: Of the tower; reached after ``warm_up`` steps.
        warm_up: Steps over which the learning rate rises from zero.
        decay: Whether it then falls to zero at ``steps``, along a cosine; else it stays.
        optimizer: ``adagrad`` or ``adam``.
        freeze: Whether token vectors stay as they are.
        unfreeze_at: Step from which on token vectors learn, unless frozen.
        embedding_share: Their learning rate as a share of that of the rest.
        probe_every: Steps between probes.
        patience: Probes without a rise after which training ends.
        time_limit: Seconds after which training ends; None for no limit.
    """

    steps: int = 200
    learning_rate: float = 0.02
    warm_up: int = 20
    decay: bool = False
    optimizer: str = "adagrad"
    freeze: bool = False
    unfreeze_at: int = 0
    embedding_share: float = 1.0
    probe_every: int = 20
    patience: int = 5
    time_limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

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

    def rate(self) -> Any:
        """Return the learning rate as a Keras schedule."""
        if not self.decay and not self.warm_up:
            return self.learning_rate
        last = max(1, self.steps - self.warm_up) if self.decay else 1
        return keras.optimizers.schedules.CosineDecay(
            0.0 if self.warm_up else self.learning_rate,
            decay_steps=last,
            alpha=0.0 if self.decay else 1.0,
            warmup_target=self.learning_rate if self.warm_up else None,
            warmup_steps=self.warm_up,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained, and on what.

    Attributes:
        tower: The tower; left with the best weights.
        batches: What it learns from.
        probe: What it is measured by.
        objective: The loss.
        material: Digest of the texts and of how pairs are made of them.
        begin: Called after the untrained tower was measured, before the first step; may change its weights.
        held_out: Ids of the documents that are not learned from.
        preprocessing: How texts become the trained tower's ids, if not as the untrained one's.
        teacher: Name of the encoder that is learned from beside the texts.
    """

    tower: keras.Model
    batches: Batches
    probe: Probe
    objective: Objective
    material: str
    begin: Callable[[], None] | None = None
    held_out: Sequence[str] = ()
    preprocessing: Preprocessing | None = None
    teacher: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training went.

    Attributes:
        points: What was measured, the untrained tower first.
        best: The point whose weights were kept.
        ended: Why it ended: ``steps``, ``patience`` or ``time``.
    """

    points: tuple[Point, ...]
    best: Point
    ended: str


class Trainer:
    """One training."""

    def __init__(self, job: Job, schedule: Schedule, *, checkpoint: Path | None = None) -> None:
        """Compile the siamese model.

        Args:
            job: What to train.
            schedule: How.
            checkpoint: File to keep the state in, after every probe.

        Raises:
            TrainingError: Nothing of the tower can be trained, or it has fewer components than are to do on their own.
        """
        self._job, self._schedule, self._checkpoint = job, schedule, checkpoint
        _check_width(job)
        prepare_embedding(job.tower, freeze=schedule.freeze)
        self._model = Siamese(job.tower, job.objective.function())
        self._optimizer = optimizer(
            schedule.optimizer,
            schedule.rate(),
            embedding=_embedding(job.tower),
            share=schedule.embedding_share,
            from_step=schedule.unfreeze_at,
        )
        self._model.compile(optimizer=self._optimizer, jit_compile=False)  # batches have many shapes
        job.tower.compile(jit_compile=False)
        self._optimizer.build(job.tower.trainable_variables)
        self._points: list[Point] = []
        self._best: Arrays = []

    def run(self, *, resume: bool = False, watch: Watch | None = None, tick: Tick | None = None) -> Outcome:
        """Train, and leave the tower with the best weights.

        Args:
            resume: Go on from the checkpoint.
            watch: Called after every probe.
            tick: Called after every step.

        Raises:
            TrainingError: The loss is no longer a number, or there is no checkpoint of this job to resume from.
        """
        if resume:
            self._restore()
        started = time.monotonic() - (self._points[-1].seconds if self._points else 0.0)
        if not self._points:
            self._measure(0, None, started, watch)
        if self._points[-1].step == 0 and self._job.begin:  # resumed there, too: a checkpoint knows nothing of it
            self._job.begin()
        while not (ended := self._ended()):
            done = self._points[-1].step
            until = min(done + self._schedule.probe_every, self._schedule.steps)
            step, loss = self._steps(done, until, started, tick)
            self._measure(step, loss, started, watch)
        self._assign(self._job.tower.variables, self._best)
        return Outcome(tuple(self._points), self._best_point(), ended)

    def _steps(self, done: int, until: int, started: float, tick: Tick | None) -> tuple[int, float]:
        """Do steps up to ``until`` or the time limit; return how many were done in all, and their mean loss."""
        self._model.reset_metrics()
        loss, step = math.nan, done
        while step < until:
            batch = self._job.batches.batch(step)
            loss = float(self._model.train_on_batch(self._model.inputs(batch.sides), dict(batch.labels)))
            step += 1
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is no longer a number at step {step}; try a lower learning rate than "
                    f"{self._schedule.learning_rate:g}"
                )
            if tick:
                tick(step, loss)
            if self._over(time.monotonic() - started):
                break
        return step, loss

    def _measure(self, step: int, loss: float | None, started: float, watch: Watch | None) -> None:
        """Measure the probe, keep the weights if they are the best, and write a checkpoint."""
        probe = self._job.probe.measure(self._job.tower)
        point = Point(step, loss, probe, time.monotonic() - started)
        if not self._points or probe > self._best_point().probe:
            self._best = _arrays(self._job.tower.variables)
        self._points.append(point)
        logger.info("step %d: loss %s, %s %.4f", step, loss, self._job.probe.name, probe)
        if self._checkpoint:
            self._keep(self._checkpoint)
        if watch:
            watch(point, self._schedule.steps)

    def _best_point(self) -> Point:
        return max(self._points, key=lambda point: point.probe)  # the first of equals

    def _ended(self) -> str:
        """Return why training ends here, or an empty string."""
        last, best = self._points[-1], self._best_point()
        since = sum(point.step > best.step for point in self._points)
        if last.step >= self._schedule.steps:
            return "steps"
        if self._over(last.seconds):
            return "time"
        return "patience" if since >= self._schedule.patience else ""

    def _over(self, seconds: float) -> bool:
        return self._schedule.time_limit is not None and seconds >= self._schedule.time_limit

    def _digest(self) -> str:
        """Return what tells this job from others: texts, tower, loss and schedule, but not how long it may take."""
        schedule = {**asdict(self._schedule), "time_limit": None}
        shapes = [[variable.path, list(variable.shape)] for variable in self._job.tower.variables]
        content = [self._job.material, asdict(self._job.objective), schedule, shapes]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _keep(self, path: Path) -> None:
        weights, state = _arrays(self._job.tower.variables), _arrays(self._optimizer.variables)
        write_checkpoint(Checkpoint(self._digest(), tuple(self._points), weights, self._best, state), path)

    def _restore(self) -> None:
        if self._checkpoint is None:
            raise TrainingError("expected a checkpoint file to resume from; none was named")
        kept = read_checkpoint(self._checkpoint, job=self._digest())
        self._assign(self._job.tower.variables, kept.weights)
        self._assign(self._optimizer.variables, kept.optimizer)
        self._points, self._best = list(kept.points), kept.best

    @staticmethod
    def _assign(variables: Any, arrays: Arrays) -> None:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def prepare_embedding(tower: keras.Model, *, freeze: bool) -> None:
    """Settle which of a tower's token vectors and token weights learn.

    Vectors learn unless frozen; their lengths say how much a token counts, so weights need not learn beside them. They
    do where vectors are frozen and a tower has nothing else: an ``average`` tower.

    Raises:
        TrainingError: Nothing of the tower can be trained.
    """
    layer = tower.get_layer(_TOKENS)
    layer.trainable = True
    layer.rows.trainable = not freeze
    layer.weights_by_token.trainable = False
    if not tower.trainable_variables:
        layer.weights_by_token.trainable = True


def _check_width(job: Job) -> None:
    """Refuse to ask more leading components to do on their own than the tower has: all of them would be meant."""
    width, most = job.tower.output_shape[-1], max(job.objective.matryoshka, default=0)
    if most > width:
        raise TrainingError(f"expected numbers of components up to the tower's {width} for matryoshka; got {most}")


def _embedding(tower: keras.Model) -> list[int]:
    """Return the places of token vectors and weights among the variables of a tower that are trained."""
    layer = tower.get_layer(_TOKENS)
    own = {layer.rows.path, layer.weights_by_token.path}
    return [place for place, variable in enumerate(tower.trainable_variables) if variable.path in own]


def _arrays(variables: Any) -> Arrays:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
