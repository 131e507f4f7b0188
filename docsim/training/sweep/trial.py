"""Trials: one short training of a sweep, from settings to a saved and measured encoder.

The trainer, its pairs and its probe are those of ``docsim train``; a trial only chooses their settings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from docsim.encoding.encoder import Encoder
from docsim.models import Document
from docsim.training.loop import learning, plans
from docsim.training.loop.learning import Plan
from docsim.training.loop.siamese import Objective
from docsim.training.loop.trainer import Trainer
from docsim.training.sweep.leaderboard import Entry, interval
from docsim.training.towers.kinds import TowerOptions
from docsim.training.towers.starts import start

__all__ = ["Settings", "Work", "run_trial", "usual"]

_UNSET: dict[str, Any] = {
    **dict.fromkeys(("loss", "matryoshka", "steps", "batch", "learning_rate", "embedding_rate", "time_limit")),
    "temperature": Objective().temperature,
    "margin": Objective().margin,
    "negatives": "none",
    "freeze": False,
    "unfreeze_at": 0,
    "seed": 0,
}
"""The options of ``docsim train`` when none is given."""

_TIMED_TEXTS = 256
_TIMED_CHARACTERS = 2000
_TIMED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """What a trial tries.

    Attributes:
        tower: Kind of the tower.
        start: ``default``, ``scratch`` or the directory of an encoder.
        learning_rate: Of the tower.
        temperature: Of the in-batch softmax.
        batch: Pairs in a batch.
        strike: Probability that a token on both sides of a pair is struck out of one.
        embedding_share: Learning rate of token vectors as a share of the rest's.
        units: Width of a new ``lstm`` or ``transformer``; None for the start's own tower.
        layers: Layers of it.
    """

    tower: str
    start: str
    learning_rate: float
    temperature: float
    batch: int
    strike: float
    embedding_share: float = 1.0
    units: int | None = None
    layers: int | None = None

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers that are set, by name."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}

    def options(self) -> TowerOptions | None:
        """Return the shape of a new tower; None where the start's own is trained, or an ``average`` one."""
        if self.units is None or self.layers is None:
            return None
        return TowerOptions(units=self.units, layers=self.layers)

    def plan(self, *, steps: int, seed: int, time_limit: float) -> Plan:
        """Return the training plan: that of ``docsim train`` but for what is set here."""
        given = {
            "learning_rate": self.learning_rate,
            "embedding_rate": self.learning_rate * self.embedding_share,
            "temperature": self.temperature,
            "batch": self.batch,
            "steps": steps,
            "seed": seed,
            "time_limit": time_limit,
        }
        made = plans.plan({**_UNSET, "tower": self.tower, **given}, None)
        schedule = replace(made.schedule, probe_every=max(1, min(made.schedule.probe_every, steps // 5)))
        return replace(made, schedule=schedule, recipe=replace(made.recipe, strike=self.strike))


def usual(tower: str, start: str, *, shaped: bool) -> Settings:
    """Return the settings of ``docsim train``.

    Args:
        tower: Kind of the tower.
        start: Where to start.
        shaped: Whether a new tower is made, whose shape can be chosen.
    """
    made = plans.plan({**_UNSET, "tower": tower}, None)
    shape = TowerOptions()
    return Settings(
        tower=tower,
        start=start,
        learning_rate=made.schedule.learning_rate,
        temperature=made.objective.temperature,
        batch=made.batch,
        strike=made.recipe.strike,
        embedding_share=made.schedule.embedding_share,
        units=shape.units if shaped else None,
        layers=shape.layers if shaped else None,
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What all trials of a sweep have in common.

    Attributes:
        documents: What is learnt from, and held out.
        steps: Most steps of a trial.
        seed: Of the documents held out, of the pairs and of towers.
    """

    documents: Sequence[Document]
    steps: int
    seed: int


def run_trial(settings: Settings, work: Work, *, number: int, time_limit: float, out: Path) -> Entry:
    """Train, save the encoder at ``out`` and measure it.

    Args:
        settings: What to try.
        work: What all trials have in common.
        number: The trial's.
        time_limit: Seconds that steps may take; saving and measuring come on top.
        out: Directory of the encoder; one that is there is replaced.

    Raises:
        TrainingError: These settings cannot be trained, or the loss is no longer a number.
        EncoderError: The start is no encoder.
    """
    began = time.monotonic()
    plan = settings.plan(steps=work.steps, seed=work.seed, time_limit=time_limit)
    origin = start(settings.start, kind=settings.tower, options=settings.options(), seed=work.seed)
    job = learning.from_documents(origin, work.documents, plan)
    outcome = Trainer(job, plan.schedule).run()
    values = job.probe.values(job.tower)
    low, high = interval(values, seed=work.seed)
    encoder = learning.saved(origin, job, outcome, plan, out=out, name=f"trial-{number}")
    return Entry(
        number=number,
        tower=settings.tower,
        start=settings.start,
        settings=settings.hyperparameters(),
        metric=float(values.mean()),
        low=low,
        high=high,
        before=outcome.points[0].probe,
        texts_per_second=_speed(encoder, work.documents),
        megabytes=sum(file.stat().st_size for file in out.iterdir()) / 1e6,
        steps=outcome.best.step,
        seconds=time.monotonic() - began,
        fingerprint=encoder.fingerprint,
    )


def _speed(encoder: Encoder, documents: Sequence[Document]) -> float:
    """Return how many texts a second an encoder encodes: the beginnings of up to 256 documents, the fastest round."""
    texts = [document.text[:_TIMED_CHARACTERS] for document in documents[:_TIMED_TEXTS]]
    encoder.encode(texts[:8])
    best, until = 0.0, time.monotonic() + _TIMED_SECONDS
    while not best or time.monotonic() < until:
        began = time.perf_counter()
        encoder.encode(texts)
        best = max(best, len(texts) / (time.perf_counter() - began))
    return best
