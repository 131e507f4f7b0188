"""What earlier versions of docsim left behind still works: sweeps, the settings of students, saved layers."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import asdict

import keras
import pytest
import toy_training

from docsim.training.distill.student import StudentConfig
from docsim.training.sweep import study
from docsim.training.sweep.search_space import SearchSpace
from docsim.training.sweep.trial import TrialSetup

LAYERS = ("WeightedTokenSum", "TokenVectors", "Pooling", "UnitLength", "Lstm", "Positions", "Attention", "EncoderBlock")


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
