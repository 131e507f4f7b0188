"""Choice: of several trainings the surely better is kept, and a kill in the second leaves the first done."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import toy_training
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.checkpoint import Point
from docsim.training.choice import best_of, checkpoints
from docsim.training.learning import Plan, from_documents
from docsim.training.probe import Sample, Similarities
from docsim.training.spans import SpanRecipe
from docsim.training.starts import Start
from docsim.training.trainer import Job, Schedule

SCHEDULE = Schedule(steps=20, learning_rate=0.1, warm_up=5, probe_every=10)
PLAN = Plan(schedule=SCHEDULE, recipe=SpanRecipe(shortest=8), batch=32)


def job(temperature: float = 0.07) -> Job:
    plan = replace(PLAN, objective=replace(PLAN.objective, temperature=temperature))
    return from_documents(Start(toy_training.parts(), "0" * 64, "toy"), toy_training.documents(), plan)


def test_the_training_that_the_judge_prefers_is_chosen_and_its_tower_has_the_best_weights(tmp_path: Path) -> None:
    jobs = [job(10.0), replace(job(0.07), judge=Judge([[0.9] * 10, [0.1] * 10]))]
    chosen = best_of(jobs, SCHEDULE, folder=tmp_path)
    assert chosen.job is jobs[1]
    assert chosen.outcome.best.step > 0
    assert chosen.job.probe.measure(chosen.job.tower) == pytest.approx(chosen.outcome.best.probe, abs=1e-6)


@dataclass
class Judge:
    """Finds given values, those of the first tower it is asked about and then those of the second."""

    found: list[list[float]]
    name: str = "judge"

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        return np.array(self.found.pop(0))

    def measure(self, tower: keras.Model) -> float:
        raise NotImplementedError

    def similarities(self, tower: keras.Model) -> Similarities:
        raise NotImplementedError

    def sample(self, tower: keras.Model) -> Sample:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("rises", "later"),
    [([0.1] * 10, True), ([0.9, 0.9, 0.9] + [-0.2] * 7, False), ([0.0] * 10, False), ([-0.1] * 10, False)],
)
def test_a_later_training_is_chosen_only_where_more_than_chance_speaks_for_it(
    rises: list[float], later: bool, tmp_path: Path
) -> None:
    jobs = [job(), replace(job(), judge=Judge([[0.3 + rise for rise in rises], [0.3] * 10]))]
    assert (best_of(jobs, replace(SCHEDULE, steps=1), folder=tmp_path).job is jobs[1]) == later


def test_of_equals_the_first_is_chosen(tmp_path: Path) -> None:
    jobs = [job(), job()]
    assert best_of(jobs, SCHEDULE, folder=tmp_path).job is jobs[0]


def test_what_was_stopped_in_the_second_training_goes_on_there(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(point: Point, most: int) -> None:
        seen.append(point.step)
        if len(seen) == 5:  # steps 0, 10 and 20 of the first, 0 and 10 of the second
            raise Stopped

    seen: list[int] = []
    with pytest.raises(Stopped):
        best_of([job(10.0), job()], SCHEDULE, folder=tmp_path, watch=stop)
    again: list[int] = []
    chosen = best_of(
        [job(10.0), job()], SCHEDULE, folder=tmp_path, resume=True, watch=lambda point, most: again.append(point.step)
    )
    assert again == [20]
    whole = best_of([job(10.0), job()], SCHEDULE, folder=tmp_path / "whole")
    for one, other in zip(chosen.job.tower.variables, whole.job.tower.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Start one by leaving out --resume"):
        best_of([job(), job()], SCHEDULE, folder=tmp_path, resume=True)
    assert [path.name for path in checkpoints(tmp_path, 2)] == ["checkpoint.npz", "checkpoint1.npz"]
