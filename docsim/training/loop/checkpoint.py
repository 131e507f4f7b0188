"""Checkpoints: all that a killed training needs to go on as if nothing had happened, in one file.

An ``.npz`` archive of arrays, without pickle: the weights now, the best weights so far, the optimizer's variables, and
one JSON text with the rest. It is written beside its final name and renamed, so there is always a whole one.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.files import replacing

__all__ = ["Checkpoint", "Point", "read_checkpoint", "write_checkpoint"]

FORMAT = 1
_BLOCKS = ("weights", "best", "optimizer")

Arrays = list[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured after a number of steps.

    Attributes:
        step: Steps done.
        loss: Mean loss of the steps since the last point; None before the first step.
        probe: What the probe gave.
        seconds: Spent on training so far.
    """

    step: int
    loss: float | None
    probe: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after a number of steps.

    Attributes:
        job: Digest of what is trained, on what, and how; another job cannot go on from here.
        points: What was measured so far; the last one says how many steps were done.
        weights: The tower's variables.
        best: Those of the best point.
        optimizer: The optimizer's variables.
    """

    job: str
    points: tuple[Point, ...]
    weights: Arrays = field(repr=False)
    best: Arrays = field(repr=False)
    optimizer: Arrays = field(repr=False)


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint in the place of an earlier one."""
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

    Raises:
        TrainingError: There is none, it is damaged, or it is that of another job.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            blocks = {name: _block(archive, name) for name in _BLOCKS}
    except FileNotFoundError:
        raise TrainingError(
            f"expected a training to resume at {path.parent}; there is none. Start one by leaving out --resume"
        ) from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"the checkpoint {path} is damaged; start again without --resume") from error
    if facts.get("format") != FORMAT or facts.get("job") != job:
        raise TrainingError(
            f"the training at {path.parent} had other texts, another start or other options; give those, or start "
            "again without --resume"
        )
    return Checkpoint(job, tuple(Point(*point) for point in facts["points"]), **blocks)


def _block(archive: Mapping[str, NDArray[Any]], name: str) -> Arrays:
    names: Sequence[str] = [key for key in archive if key.startswith(f"{name}.")]
    return [archive[f"{name}.{number}"] for number in range(len(names))]
