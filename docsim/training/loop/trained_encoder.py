"""Saving what a training made as an encoder directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.training.loop.trainer import TrainingJob, TrainingResult
from docsim.training.towers.kinds import compact
from docsim.training.towers.saving import Lineage, save
from docsim.training.towers.starting_point import StartingPoint

__all__ = ["save_trained_encoder"]


def save_trained_encoder(
    start: StartingPoint, job: TrainingJob, result: TrainingResult, *, out: Path, name: str, seed: int
) -> Encoder:
    """Write the trained tower as an encoder directory, with int8 token vectors and its lineage.

    Args:
        start: What training started from.
        job: What was trained.
        result: How it went.
        out: Directory to write; an encoder that is already there is replaced.
        name: Display name of the encoder.
        seed: Random seed of the training.

    Raises:
        EncoderError: ``out`` holds something other than an encoder, or the ONNX export does not compute the same as
            the tower.
    """
    first, best = result.points[0], result.best
    lineage = Lineage(
        seed=seed,
        parent=start.parent,
        teacher=job.teacher,
        material=job.digest,
        metrics={
            "probe_before": round(first.probe, 6),
            "probe_after": round(best.probe, 6),
            "steps": best.step,
            "seconds": round(result.points[-1].seconds, 1),
        },
        held_out=job.held_out,
        adapted=start.adapted or bool(job.before_first_step and best.step),
    )
    parts = replace(start.parts, tower=compact(job.tower))
    if best.step and job.preprocessing:  # without a better step, the starting point is saved unchanged
        parts = replace(parts, preprocessing=job.preprocessing)
    return save(parts, out, name=name, lineage=lineage)
