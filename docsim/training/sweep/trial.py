"""One trial of a sweep: a short training, from hyper-parameters to a saved and measured encoder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.models import Document
from docsim.training.loop.preparation import job_from_documents
from docsim.training.loop.trained_encoder import save_trained_encoder
from docsim.training.loop.trainer import Trainer
from docsim.training.sweep.hyperparameters import Hyperparameters
from docsim.training.sweep.leaderboard import TrialResult, bootstrap_interval
from docsim.training.towers.starting_point import make_starting_point

__all__ = ["TrialSetup", "run_trial"]

_TIMED_TEXTS = 256
_TIMED_CHARACTERS = 2000
_TIMED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class TrialSetup:
    """What all trials of a sweep have in common.

    Attributes:
        documents: Documents to train on; a tenth of them is held out.
        steps: The maximum number of steps of a trial.
        seed: Random seed.
    """

    documents: Sequence[Document]
    steps: int
    seed: int


def run_trial(tried: Hyperparameters, setup: TrialSetup, *, number: int, time_limit: float, out: Path) -> TrialResult:
    """Train, save the encoder at ``out`` and measure it.

    Args:
        tried: Hyper-parameters.
        setup: What all trials have in common.
        number: Number of the trial.
        time_limit: Seconds that the steps may take; saving and measuring take additional time.
        out: Directory of the encoder; one that is already there is replaced.

    Raises:
        TrainingError: These hyper-parameters cannot be trained, or the loss is not finite.
        EncoderError: The starting point is not an encoder.
    """
    began = time.monotonic()
    config = tried.config(steps=setup.steps, seed=setup.seed, time_limit=time_limit)
    start = make_starting_point(tried.start, kind=tried.tower, options=tried.tower_options(), seed=setup.seed)
    job = job_from_documents(start, setup.documents, config)
    result = Trainer(job, config.schedule).run()
    values = job.probe.values(job.tower)
    low, high = bootstrap_interval(values, seed=setup.seed)
    encoder = save_trained_encoder(start, job, result, out=out, name=f"trial-{number}", seed=setup.seed)
    return TrialResult(
        number=number,
        tower=tried.tower,
        start=tried.start,
        settings=tried.numbers(),
        metric=float(values.mean()),
        low=low,
        high=high,
        before=result.points[0].probe,
        texts_per_second=_speed(encoder, setup.documents),
        megabytes=sum(file.stat().st_size for file in out.iterdir()) / 1e6,
        steps=result.best.step,
        seconds=time.monotonic() - began,
        fingerprint=encoder.fingerprint,
    )


def _speed(encoder: Encoder, documents: Sequence[Document]) -> float:
    """Return how many texts per second an encoder encodes: the starts of up to 256 documents, the best of some runs."""
    texts = [document.text[:_TIMED_CHARACTERS] for document in documents[:_TIMED_TEXTS]]
    encoder.encode(texts[:8])
    best, until = 0.0, time.monotonic() + _TIMED_SECONDS
    while not best or time.monotonic() < until:
        began = time.perf_counter()
        encoder.encode(texts)
        best = max(best, len(texts) / (time.perf_counter() - began))
    return best
