"""Checkpoints: everything that a killed training needs to continue as if nothing had happened, in one file.

The file is an ``.npz`` archive of arrays, without pickle: the current weights, the best weights so far, the optimizer's
variables, and the rest as one JSON string. It is written under another name and then renamed, so there is always a
complete one.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.files import replacing

__all__ = ["Arrays", "Checkpoint", "ProgressPoint", "read_checkpoint", "write_checkpoint"]

FORMAT = 1
_BLOCKS = ("weights", "best", "optimizer")

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ProgressPoint:
    """What was measured after a number of training steps.

    Attributes:
        step: Steps done.
        loss: Mean loss since the previous point; None before the first step.
        probe: Value of the probe.
        seconds: Training time so far.
    """

    step: int
    loss: float | None
    probe: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after a number of steps.

    Attributes:
        job: Digest of what is trained, on what, and how. Only the same job can resume from here.
        points: Measurements so far; the last one tells how many steps were done.
        weights: The tower's variables.
        best: The tower's variables at the best point.
        optimizer: The optimizer's variables.
    """

    job: str
    points: tuple[ProgressPoint, ...]
    weights: Arrays = field(repr=False)
    best: Arrays = field(repr=False)
    optimizer: Arrays = field(repr=False)


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, replacing an earlier one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "format": FORMAT,
        "job": checkpoint.job,
        "points": [[p.step, p.loss, p.probe, p.seconds] for p in checkpoint.points],
    }
    arrays: dict[str, NDArray[Any]] = {"facts": np.array(json.dumps(facts))}
    for name in _BLOCKS:
        arrays |= {f"{name}.{number}": array for number, array in enumerate(getattr(checkpoint, name))}
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_checkpoint(path: Path, *, job: str) -> Checkpoint:
    """Return the checkpoint of a job.

    Args:
        path: The file.
        job: Digest of the job that is to resume.

    Raises:
        TrainingError: There is no checkpoint, it is damaged, or it is that of another job.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            blocks = {name: _block(archive, name) for name in _BLOCKS}
    except FileNotFoundError:
        raise TrainingError(
            f"expected an interrupted training to resume at {path.parent}; there is none. Start a new one instead"
        ) from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"expected a checkpoint to resume from at {path}; it is damaged. Start a new training instead"
        ) from error
    if facts.get("format") != FORMAT or facts.get("job") != job:
        raise TrainingError(
            f"expected the interrupted training at {path.parent} to be the same as this one; it had other texts, "
            "another starting point or other settings. Resume it with those, or start a new training instead"
        )
    return Checkpoint(job, tuple(ProgressPoint(*point) for point in facts["points"]), **blocks)


def _block(archive: Mapping[str, NDArray[Any]], name: str) -> Arrays:
    names = [key for key in archive if key.startswith(f"{name}.")]
    return [archive[f"{name}.{number}"] for number in range(len(names))]
