"""What earlier versions of docsim left behind still works: interrupted trainings, sweeps, saved layers."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import asdict, replace
from pathlib import Path

import keras
import pytest
import toy_training

from docsim.training.distill.student import StudentConfig
from docsim.training.loop.checkpoint import read_checkpoint
from docsim.training.loop.config import Schedule, TrainingConfig
from docsim.training.loop.preparation import job_from_documents
from docsim.training.loop.trainer import Trainer
from docsim.training.sweep import study
from docsim.training.sweep.search_space import SearchSpace
from docsim.training.sweep.trial import TrialSetup
from docsim.training.towers.starting_point import StartingPoint

LAYERS = ("WeightedTokenSum", "TokenVectors", "Pooling", "UnitLength", "Lstm", "Positions", "Attention", "EncoderBlock")


SCHEDULE = Schedule(steps=200, learning_rate=0.02, probe_every=20, time_limit=0.0)


@pytest.mark.parametrize(
    ("guidance", "digest"),
    [
        (0.0, "dd44895b34486663a67d9f7f73ecd920a51f0e981fe67b05ce48b7ef15fc365e"),
        (0.5, "b233f9ebca940321920099964935a38816dc139a831af23a8e382db89626de9e"),
    ],
)
def test_a_job_has_the_digest_under_which_version_0_kept_its_checkpoints(
    guidance: float, digest: str, tmp_path: Path
) -> None:
    start = StartingPoint(toy_training.parts(), "parent", "toy")
    job = job_from_documents(start, toy_training.documents(), TrainingConfig(schedule=SCHEDULE, batch_size=32))
    job = replace(job, objective=replace(job.objective, guidance=guidance))
    file = tmp_path / "checkpoint.npz"
    Trainer(job, SCHEDULE, checkpoint=file).run()
    assert read_checkpoint(file, job=digest).points[0].step == 0


def test_a_sweep_has_the_identity_that_it_had() -> None:
    setup = TrialSetup(toy_training.documents(3), steps=10, seed=0)
    expected = "736b4299dfc49046bba9b3859c8665e6b5b6b86edab97a781c6a1357fb885143"
    assert study._identity(SearchSpace(("average",), ("default",)), setup) == expected


def test_the_settings_of_a_student_are_named_as_they_were() -> None:
    names = ("steps", "batch", "learning_rate", "probe_every", "patience", "time_limit", "seed", "dims", "decay")
    assert tuple(asdict(StudentConfig())) == names


@pytest.mark.parametrize("name", LAYERS)
def test_saved_towers_find_their_layers_by_name(name: str) -> None:
    found = keras.saving.get_registered_object(f"docsim>{name}")
    assert found is not None
    assert found.__name__ == name
