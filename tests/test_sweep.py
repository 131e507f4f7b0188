"""Sweeps: every trial is a real training, the best one is kept, and a kill loses only the trial it struck."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_training
from click.testing import CliRunner
from effort import thorough

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.training.loop.preparation import job_from_documents
from docsim.training.sweep.hyperparameters import default_hyperparameters
from docsim.training.sweep.leaderboard import FailedTrial, TrialResult, bootstrap_interval, ranked
from docsim.training.sweep.search_space import SearchSpace
from docsim.training.sweep.study import Sweep, SweepLimits, sweep_lock, usable_documents
from docsim.training.sweep.trial import TrialSetup
from docsim.training.towers import saving
from docsim.training.towers.kinds import compact
from docsim.training.towers.starting_point import make_starting_point

pytestmark = pytest.mark.training

SETUP = TrialSetup(toy_training.documents(80), steps=10, seed=0)
LIMITS = SweepLimits(budget=600, trials=2)


def made_start(path: Path) -> str:
    parts = toy_training.parts()
    saving.save(replace(parts, tower=compact(parts.tower)), path, name="toy", lineage=saving.Lineage(seed=0))
    return str(path)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_start(tmp_path_factory.mktemp("starts") / "toy")


@pytest.fixture(scope="module")
def swept(toy: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrialResult]]:
    out = tmp_path_factory.mktemp("sweeps") / "toy"
    return out, Sweep(out, SearchSpace(("average", "transformer"), (toy,)), SETUP).run(LIMITS)


@pytest.mark.thorough
def test_every_tower_is_tried_first_with_the_usual_settings(swept: tuple[Path, list[TrialResult]], toy: str) -> None:
    tried = sorted(swept[1], key=lambda entry: entry.number)
    assert [(entry.number, entry.tower) for entry in tried] == [(0, "average"), (1, "transformer")]
    for entry in tried:
        expected = default_hyperparameters(entry.tower, toy, new_tower=entry.tower == "transformer")
        assert entry.settings == pytest.approx(expected.numbers())


@pytest.mark.thorough
def test_the_leaderboard_tells_quality_speed_and_size_best_first(swept: tuple[Path, list[TrialResult]]) -> None:
    board = json.loads((swept[0] / "leaderboard.json").read_text())
    assert (board["format"], board["metric"], board["documents"]) == (1, "halves found, MRR", 80)
    assert board["best"] == board["trials"][0]["number"] == swept[1][0].number
    metrics = [trial["metric"] for trial in board["trials"]]
    assert metrics == sorted(metrics, reverse=True)
    for trial in board["trials"]:
        assert 0 < trial["low"] <= trial["metric"] <= trial["high"] <= 1
        assert trial["metric"] >= trial["before"]
        assert trial["texts_per_second"] > 100
        assert 0.01 < trial["megabytes"] < 10
    assert (swept[0] / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_the_best_trial_s_encoder_is_kept_and_scores_what_the_leaderboard_says(
    swept: tuple[Path, list[TrialResult]], toy: str
) -> None:
    best = swept[1][0]
    assert Encoder.load(swept[0] / "best").fingerprint == best.fingerprint
    assert [path.name for path in (swept[0] / "trials").iterdir()] == [str(best.number)]
    config = default_hyperparameters("average", toy, new_tower=False).config(steps=1, seed=0, time_limit=1.0)
    origin = make_starting_point(str(swept[0] / "best"))
    job = job_from_documents(origin, SETUP.documents, config)
    assert job.probe.measure(origin.parts.tower) == pytest.approx(best.metric, abs=0.02)  # int8 rows


@pytest.mark.parametrize("kind", [*thorough("lstm"), "transformer"])
def test_a_new_tower_of_context_reads_as_many_tokens_as_it_can_afford(kind: str, toy: str, tmp_path: Path) -> None:
    parts = replace(saving.load(toy), max_tokens=32_768)
    long = saving.save(parts, tmp_path / "long", name="long", lineage=saving.Lineage(seed=0))
    assert make_starting_point(str(long.path), kind=kind).parts.max_tokens == 256
    assert make_starting_point(str(long.path)).parts.max_tokens == 32_768


def test_the_metric_is_the_mean_of_what_the_interval_resamples(toy: str) -> None:
    config = default_hyperparameters("average", toy, new_tower=False).config(steps=1, seed=0, time_limit=1.0)
    job = job_from_documents(make_starting_point(toy), SETUP.documents, config)
    values = job.probe.values(job.tower)
    assert len(values) == 10
    assert values.mean() == pytest.approx(job.probe.measure(job.tower), abs=1e-9)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution_for_many_values() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == pytest.approx((values.mean() - 0.0098, values.mean() + 0.0098), abs=0.002)


@pytest.mark.thorough
def test_a_sweep_goes_on_where_it_was_and_only_if_asked(swept: tuple[Path, list[TrialResult]], toy: str) -> None:
    space = SearchSpace(("average", "transformer"), (toy,))
    with pytest.raises(TrainingError, match=r"there already is one at .*\. Resume it"):
        Sweep(swept[0], space, SETUP)
    with pytest.raises(TrainingError, match=r"there is none\. Start a new one instead"):
        Sweep(swept[0] / "elsewhere", space, SETUP, resume=True)
    with pytest.raises(TrainingError, match="had other documents"):
        Sweep(swept[0], space, replace(SETUP, seed=1), resume=True)
    again = Sweep(swept[0], space, SETUP, resume=True)
    assert again.run(LIMITS) == swept[1]  # both were made before
    assert (
        again.run(SweepLimits(budget=sum(entry.seconds for entry in swept[1]))) == swept[1]
    )  # and the budget is spent


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_sweep
from docsim.training.sweep import study
ran = study.run_trial
def struck(*given, number, **named):
    if number == 1:
        print(given[0].numbers(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return ran(*given, number=number, **named)
study.run_trial = struck
out = Path(sys.argv[2])
study.Sweep(out / "sweep", study.SearchSpace(("average",), (sys.argv[3],)), test_sweep.SETUP).run(test_sweep.LIMITS)
"""


@pytest.mark.thorough
def test_what_was_being_tried_when_the_sweep_was_killed_is_tried_again(tmp_path: Path, toy: str) -> None:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), toy]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    killed = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    first = Encoder.load(tmp_path / "sweep" / "best").fingerprint
    resumed = Sweep(tmp_path / "sweep", SearchSpace(("average",), (toy,)), SETUP, resume=True)
    board = sorted(resumed.run(LIMITS), key=lambda entry: entry.number)
    assert [entry.number for entry in board] == [0, 2]
    assert board[0].fingerprint == first
    assert board[1].settings == ast.literal_eval(killed.stdout.decode())
    assert board[1].settings != board[0].settings
    assert [(one.number, one.reason) for one in resumed.failed()] == [(1, "")]


def test_a_sweep_of_which_no_trial_can_be_trained_says_why(tmp_path: Path, toy: str) -> None:
    few = replace(SETUP, documents=SETUP.documents[:5])
    told: list[TrialResult | FailedTrial] = []
    with pytest.raises(TrainingError, match="none could: expected at least 20 documents"):
        Sweep(tmp_path / "few", SearchSpace(("average",), (toy,)), few).run(
            replace(LIMITS, trials=1), report=told.append
        )
    assert [type(one) for one in told] == [FailedTrial]


def test_documents_that_one_start_cannot_use_are_left_out_for_all(toy: str) -> None:
    short = replace(SETUP.documents[0], id="short", text="c1 c2 c3")
    kept = usable_documents([*SETUP.documents, short], [toy])
    assert [document.id for document in kept] == [document.id for document in SETUP.documents]


def test_unknown_towers_and_empty_limits_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected towers of the kinds average, lstm, transformer"):
        SearchSpace(("average", "cnn"))
    with pytest.raises(TrainingError, match="expected a budget above 0"):
        SweepLimits(0)


@pytest.mark.thorough
def test_the_trial_with_the_higher_metric_comes_first(swept: tuple[Path, list[TrialResult]]) -> None:
    worse = replace(swept[1][0], number=9, metric=0.0)
    assert ranked([worse, swept[1][0]]) == [swept[1][0], worse]


def test_the_command_prints_the_leaderboard_and_where_the_best_is(tmp_path: Path, toy: str) -> None:
    corpus = tmp_path / "corpus.jsonl"
    records = [{"id": document.id, "text": document.text} for document in SETUP.documents]
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    out = tmp_path / "out"
    command = ["sweep", "--corpus", str(corpus), "--out", str(out), "--towers", "average", "--from", toy]
    ran = CliRunner().invoke(main, [*command, "--trials", "1", "--steps", "5"])
    assert ran.exit_code == 0, ran.output
    assert "trial 0: average from toy" in ran.stderr
    assert f"Use the best with: docsim reindex --encoder {out / 'best'}" in ran.stdout
    assert "Settings of trial 0, the best: learning_rate 0.01, " in ran.stdout
    with sweep_lock(out):  # by another process, as far as the lock is concerned
        refused = CliRunner().invoke(main, [*command, "--trials", "2", "--steps", "5", "--resume"])
    assert (refused.exit_code, "expected no other process to run the sweep in" in refused.stderr) == (1, True)
    again = CliRunner().invoke(main, [*command, "--trials", "1", "--steps", "5", "--resume", "--json"])
    assert json.loads(again.stdout) == json.loads((out / "leaderboard.json").read_text())
