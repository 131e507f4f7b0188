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

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.training.loop import learning
from docsim.training.sweep.leaderboard import Entry, Failed, interval, ordered
from docsim.training.sweep.sweep import Limits, Space, Sweep, alone, comparable
from docsim.training.sweep.trial import Work, usual
from docsim.training.towers import artefact
from docsim.training.towers.kinds import compact
from docsim.training.towers.starts import start

pytestmark = pytest.mark.training

WORK = Work(toy_training.documents(80), steps=10, seed=0)
LIMITS = Limits(budget=600, trials=2)


def made_start(path: Path) -> str:
    parts = toy_training.parts()
    artefact.save(replace(parts, tower=compact(parts.tower)), path, name="toy", lineage=artefact.Lineage(seed=0))
    return str(path)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_start(tmp_path_factory.mktemp("starts") / "toy")


@pytest.fixture(scope="module")
def swept(toy: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry]]:
    out = tmp_path_factory.mktemp("sweeps") / "toy"
    return out, Sweep(out, Space(("average", "transformer"), (toy,)), WORK).run(LIMITS)


def test_every_tower_is_tried_first_with_the_usual_settings(swept: tuple[Path, list[Entry]], toy: str) -> None:
    tried = sorted(swept[1], key=lambda entry: entry.number)
    assert [(entry.number, entry.tower) for entry in tried] == [(0, "average"), (1, "transformer")]
    for entry in tried:
        expected = usual(entry.tower, toy, shaped=entry.tower == "transformer")
        assert entry.settings == pytest.approx(expected.hyperparameters())


def test_the_leaderboard_tells_quality_speed_and_size_best_first(swept: tuple[Path, list[Entry]]) -> None:
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


def test_the_best_trial_s_encoder_is_kept_and_scores_what_the_leaderboard_says(
    swept: tuple[Path, list[Entry]], toy: str
) -> None:
    best = swept[1][0]
    assert Encoder.load(swept[0] / "best").fingerprint == best.fingerprint
    assert [path.name for path in (swept[0] / "trials").iterdir()] == [str(best.number)]
    plan = usual("average", toy, shaped=False).plan(steps=1, seed=0, time_limit=1.0)
    origin = start(str(swept[0] / "best"))
    job = learning.from_documents(origin, WORK.documents, plan)
    assert job.probe.measure(origin.parts.tower) == pytest.approx(best.metric, abs=0.02)  # int8 rows


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_new_tower_of_context_reads_as_many_tokens_as_it_can_afford(kind: str, toy: str, tmp_path: Path) -> None:
    parts = replace(artefact.load(toy), max_tokens=32_768)
    long = artefact.save(parts, tmp_path / "long", name="long", lineage=artefact.Lineage(seed=0))
    assert start(str(long.path), kind=kind).parts.max_tokens == 256
    assert start(str(long.path)).parts.max_tokens == 32_768


def test_the_metric_is_the_mean_of_what_the_interval_resamples(toy: str) -> None:
    plan = usual("average", toy, shaped=False).plan(steps=1, seed=0, time_limit=1.0)
    job = learning.from_documents(start(toy), WORK.documents, plan)
    values = job.probe.values(job.tower)
    assert len(values) == 10
    assert values.mean() == pytest.approx(job.probe.measure(job.tower), abs=1e-9)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution_for_many_values() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    low, high = interval(values)
    assert (low, high) == pytest.approx((values.mean() - 0.0098, values.mean() + 0.0098), abs=0.002)


def test_a_sweep_goes_on_where_it_was_and_only_if_asked(swept: tuple[Path, list[Entry]], toy: str) -> None:
    space = Space(("average", "transformer"), (toy,))
    with pytest.raises(TrainingError, match="go on with it with --resume"):
        Sweep(swept[0], space, WORK)
    with pytest.raises(TrainingError, match=r"there is none\. Start one by leaving out --resume"):
        Sweep(swept[0] / "elsewhere", space, WORK, resume=True)
    with pytest.raises(TrainingError, match="had other documents"):
        Sweep(swept[0], space, replace(WORK, seed=1), resume=True)
    again = Sweep(swept[0], space, WORK, resume=True)
    assert again.run(LIMITS) == swept[1]  # both were made before
    assert again.run(Limits(budget=sum(entry.seconds for entry in swept[1]))) == swept[1]  # and the budget is spent


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_sweep
from docsim.training import sweep
ran = sweep.run_trial
def struck(*given, number, **named):
    if number == 1:
        print(given[0].hyperparameters(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return ran(*given, number=number, **named)
sweep.run_trial = struck
out = Path(sys.argv[2])
sweep.Sweep(out / "sweep", sweep.Space(("average",), (sys.argv[3],)), test_sweep.WORK).run(test_sweep.LIMITS)
"""


@pytest.mark.thorough
def test_what_was_being_tried_when_the_sweep_was_killed_is_tried_again(tmp_path: Path, toy: str) -> None:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), toy]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    killed = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    first = Encoder.load(tmp_path / "sweep" / "best").fingerprint
    resumed = Sweep(tmp_path / "sweep", Space(("average",), (toy,)), WORK, resume=True)
    board = sorted(resumed.run(LIMITS), key=lambda entry: entry.number)
    assert [entry.number for entry in board] == [0, 2]
    assert board[0].fingerprint == first
    assert board[1].settings == ast.literal_eval(killed.stdout.decode())
    assert board[1].settings != board[0].settings
    assert [(one.number, one.reason) for one in resumed.failed()] == [(1, "")]


def test_a_sweep_of_which_no_trial_can_be_trained_says_why(tmp_path: Path, toy: str) -> None:
    few = replace(WORK, documents=WORK.documents[:5])
    told: list[Entry | Failed] = []
    with pytest.raises(TrainingError, match="no trial could be trained: expected at least 20 documents"):
        Sweep(tmp_path / "few", Space(("average",), (toy,)), few).run(replace(LIMITS, trials=1), told=told.append)
    assert [type(one) for one in told] == [Failed]


def test_documents_that_one_start_cannot_use_are_left_out_for_all(toy: str) -> None:
    short = replace(WORK.documents[0], id="short", text="c1 c2 c3")
    kept = comparable([*WORK.documents, short], [toy])
    assert [document.id for document in kept] == [document.id for document in WORK.documents]


def test_unknown_towers_and_empty_limits_are_refused(swept: tuple[Path, list[Entry]]) -> None:
    with pytest.raises(TrainingError, match="expected towers of average, lstm, transformer"):
        Space(("average", "cnn"))
    with pytest.raises(TrainingError, match="expected a budget above 0"):
        Limits(0)
    worse = replace(swept[1][0], number=9, metric=0.0)
    assert ordered([worse, swept[1][0]]) == [swept[1][0], worse]


def test_the_command_prints_the_leaderboard_and_where_the_best_is(tmp_path: Path, toy: str) -> None:
    corpus = tmp_path / "corpus.jsonl"
    records = [{"id": document.id, "text": document.text} for document in WORK.documents]
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    out = tmp_path / "out"
    command = ["sweep", "--corpus", str(corpus), "--out", str(out), "--towers", "average", "--from", toy]
    ran = CliRunner().invoke(main, [*command, "--trials", "1", "--steps", "5"])
    assert ran.exit_code == 0, ran.output
    assert "trial 0: average from toy" in ran.stderr
    assert f"Use the best with: docsim reindex --encoder {out / 'best'}" in ran.stdout
    assert "Settings of trial 0, the best: learning_rate 0.02, " in ran.stdout
    with alone(out):  # by another process, as far as the lock is concerned
        refused = CliRunner().invoke(main, [*command, "--trials", "2", "--steps", "5", "--resume"])
    assert (refused.exit_code, "another process is sweeping in" in refused.stderr) == (1, True)
    again = CliRunner().invoke(main, [*command, "--trials", "1", "--steps", "5", "--resume", "--json"])
    assert json.loads(again.stdout) == json.loads((out / "leaderboard.json").read_text())
