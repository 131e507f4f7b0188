"""Training: it finds what it should, keeps the best, stops, and goes on after a kill as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import toy_training
from effort import thorough
from numpy.typing import NDArray
from told import Told

from docsim.errors import TrainingError
from docsim.training.data.batch_layout import input_format, tokenize
from docsim.training.data.document_pairs import SpanRecipe
from docsim.training.data.labelled_examples import Examples
from docsim.training.loop import trainer
from docsim.training.loop.config import Objective, TrainingConfig
from docsim.training.loop.preparation import job_from_documents, job_from_examples
from docsim.training.loop.probe import embedded
from docsim.training.loop.schedule import Schedule
from docsim.training.loop.trained_encoder import save_trained_encoder
from docsim.training.loop.trainer import Trainer, TrainingJob, TrainingResult, prepare_embedding
from docsim.training.towers.average import TOKENS_LAYER, token_vectors
from docsim.training.towers.kinds import TowerOptions, build_tower
from docsim.training.towers.saving import Lineage, load, save
from docsim.training.towers.starting_point import StartingPoint, make_starting_point, set_token_weights

pytestmark = pytest.mark.training

SCHEDULE = Schedule(steps=60, learning_rate=0.1, warm_up=5, probe_every=10, patience=6)
CONFIG = TrainingConfig(schedule=SCHEDULE, recipe=SpanRecipe(shortest=8, strike=0.5), batch_size=32)


def origin(kind: str = "average", *, seed: int = 0, options: TowerOptions | None = None) -> StartingPoint:
    parts = toy_training.parts(seed=seed)
    if kind != "average":
        tower = build_tower(kind, token_vectors(parts.tower), options, seed=seed)
        parts = replace(parts, tower=tower, kind=kind)
    return StartingPoint(parts, "0" * 64, "toy")


def job(plan: TrainingConfig = CONFIG, *, kind: str = "average", options: TowerOptions | None = None) -> TrainingJob:
    return job_from_documents(origin(kind, options=options), toy_training.documents(), plan)


def weights(tower: keras.Model) -> list[NDArray[Any]]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in tower.variables]


def assert_same(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def topic_found(tower: keras.Model) -> float:
    """How often a text of one kind of words has a text of its topic's other kind of words nearest."""
    random = np.random.default_rng(9)
    topics = list(range(toy_training.TOPICS)) * 4
    parts, sides = toy_training.parts(), []
    for kind in "ab":
        ids = tokenize([toy_training.text(topic, kind, random) for topic in topics], parts)
        sides.append(embedded(tower, ids, input_format(parts)))
    nearest = (sides[0] @ sides[1].T).argmax(axis=1)
    return float(np.mean([topics[n] == topic for n, topic in zip(nearest, topics, strict=True)]))


@pytest.fixture(scope="module")
def trained() -> tuple[TrainingJob, TrainingResult]:
    made = job()
    return made, Trainer(made, SCHEDULE).run()


def test_training_finds_the_topics_that_no_shared_word_shows(trained: tuple[TrainingJob, TrainingResult]) -> None:
    assert topic_found(toy_training.parts().tower) < 0.3
    made, outcome = trained
    assert topic_found(made.tower) > 0.8
    assert outcome.best.probe > outcome.points[0].probe + 0.05


def test_progress_counts_every_step_and_shows_the_latest_loss_and_probe() -> None:
    made, told = job(), Told()
    outcome = Trainer(made, replace(SCHEDULE, steps=6, probe_every=5)).run(progress=told)
    assert (told.begun, told.advanced) == ([("training", 6, 0)], [1] * 6)
    before, after = (f"{made.probe.name} {point.probe:.4f}" for point in outcome.points[:2])
    assert [text.split("  ")[1] for text in told.measured] == [before] * 5 + [after]
    assert told.measured[4].startswith(f"loss {outcome.points[1].loss:.3f}")


def test_the_weights_that_the_probe_found_best_are_kept(trained: tuple[TrainingJob, TrainingResult]) -> None:
    made, outcome = trained
    assert outcome.best.probe == max(point.probe for point in outcome.points)
    assert made.probe.measure(made.tower) == pytest.approx(outcome.best.probe, abs=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    trained: tuple[TrainingJob, TrainingResult],
) -> None:
    again = job()
    Trainer(again, SCHEDULE).run()
    assert_same(weights(again.tower), weights(trained[0].tower))
    other = job(replace(CONFIG, seed=1))
    Trainer(other, replace(SCHEDULE, steps=10)).run()
    assert not np.array_equal(weights(other.tower)[0], weights(trained[0].tower)[0])


def test_training_that_only_harms_returns_the_start() -> None:
    made = job()
    Trainer(made, SCHEDULE).run()  # as good as it gets
    before = weights(made.tower)
    harm = replace(SCHEDULE, learning_rate=1000.0, warm_up=0, patience=2)
    outcome = Trainer(made, harm).run()
    assert (outcome.best.step, outcome.ended) == (0, "patience")
    assert_same(weights(made.tower), before)


def test_the_time_limit_ends_training_with_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seconds = job(), itertools.count()  # a second passes each time that the clock is read
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    outcome = Trainer(made, replace(SCHEDULE, steps=100_000, patience=100_000, time_limit=15.0)).run()
    assert outcome.ended == "time"
    assert 10 < outcome.points[-1].step < 15
    assert made.probe.measure(made.tower) == pytest.approx(outcome.best.probe, abs=1e-6)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_trainer
from docsim.training.loop.trainer import Trainer
from told import Told
def step():
    if len(told.advanced) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
told = Told(each=step)
Trainer(test_trainer.job(), test_trainer.SCHEDULE, checkpoint=Path(sys.argv[2])).run(progress=told)
"""


@pytest.mark.parametrize("step", [5, 25])  # the first checkpoint is written before the tower gets the corpus' weights
@pytest.mark.thorough
def test_a_killed_training_resumes_to_the_weights_of_an_undisturbed_one(
    step: int, tmp_path: Path, trained: tuple[TrainingJob, TrainingResult]
) -> None:
    file = tmp_path / "checkpoint.npz"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(file), str(step)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    killed = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = job()
    outcome = Trainer(resumed, SCHEDULE, checkpoint=file).run(resume=True)
    assert [p.step for p in outcome.points] == [p.step for p in trained[1].points]
    assert [p.probe for p in outcome.points] == pytest.approx([p.probe for p in trained[1].points], abs=1e-6)
    for one, other in zip(weights(resumed.tower), weights(trained[0].tower), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_only_the_same_job_resumes(tmp_path: Path) -> None:
    file, short = tmp_path / "checkpoint.npz", replace(SCHEDULE, steps=10)
    with pytest.raises(TrainingError, match=r"there is none\. Start a new one instead"):
        Trainer(job(), short, checkpoint=file).run(resume=True)
    Trainer(job(), short, checkpoint=file).run()
    with pytest.raises(TrainingError, match="other texts, another starting point or other settings"):
        Trainer(job(replace(CONFIG, seed=5)), short, checkpoint=file).run(resume=True)
    with pytest.raises(TrainingError, match="other settings"):
        Trainer(job(), replace(short, learning_rate=0.5), checkpoint=file).run(resume=True)
    file.write_bytes(b"PK no more")
    with pytest.raises(TrainingError, match="is damaged"):
        Trainer(job(), short, checkpoint=file).run(resume=True)


def test_a_loss_that_is_no_number_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"after step \d+\. Try a lower learning rate than 1e\+38"):
        Trainer(job(), replace(SCHEDULE, learning_rate=1e38, warm_up=0)).run()


@pytest.mark.thorough
def test_frozen_token_vectors_do_not_change_and_the_rest_learns() -> None:
    frozen = replace(SCHEDULE, freeze=True, steps=10, optimizer="adam", learning_rate=0.01)
    made = job(kind="lstm", options=TowerOptions(units=8, layers=1))
    rows = keras.ops.convert_to_numpy(made.tower.get_layer("tokens").rows)
    outcome = Trainer(made, frozen).run()
    np.testing.assert_array_equal(rows, keras.ops.convert_to_numpy(made.tower.get_layer("tokens").rows))
    assert outcome.points[-1].loss is not None


def test_a_frozen_average_tower_learns_token_weights() -> None:
    tower = toy_training.parts().tower
    prepare_embedding(tower, freeze=True)
    assert [variable.name for variable in tower.trainable_variables] == ["weights_by_token"]


def _rows(tower: keras.Model) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = keras.ops.convert_to_numpy(tower.get_layer("tokens").rows)
    return rows


def test_token_vectors_begin_to_learn_at_the_step_they_are_unfrozen_at() -> None:
    moved = []
    for steps in (10, 20):
        made = job()
        before = _rows(made.tower)
        schedule = replace(SCHEDULE, steps=steps, unfreeze_at=10, probe_every=steps, patience=9)
        trainer = Trainer(made, schedule)
        trainer.run(measured=lambda point, tower=made.tower: moved.append(_rows(tower)))  # type: ignore[misc]
        moved.append(before)
    start_10, end_10, before, start_20, end_20, _ = moved
    np.testing.assert_array_equal(start_10, before)
    np.testing.assert_allclose(end_10, before, atol=1e-6)  # scaled to length one again
    np.testing.assert_array_equal(start_20, before)
    assert np.abs(end_20 - before).max() > 1e-3


@pytest.mark.parametrize("kind", ["transformer", *thorough("lstm")])
def test_every_kind_of_tower_trains_and_saves(kind: str, tmp_path: Path) -> None:
    options = TowerOptions(units=8, layers=1, heads=2, max_tokens=64)
    plan = replace(CONFIG, schedule=replace(SCHEDULE, steps=10, learning_rate=0.01, optimizer="adam"))
    begun = origin(kind, options=options)
    made = job_from_documents(begun, toy_training.documents(), plan)
    outcome = Trainer(made, plan.schedule).run()
    encoder = save_trained_encoder(begun, made, outcome, out=tmp_path / kind, name=kind, seed=plan.seed)
    text = toy_training.documents()[0].text
    expected = embedded(made.tower, tokenize([text], begun.parts), input_format(begun.parts))
    assert float((encoder.encode([text]) @ expected.T)[0, 0]) > 0.999


def examples(kind: str) -> Examples:
    random = np.random.default_rng(0)
    texts, scores = [], []
    for n in range(160):
        topic, other = n % 12, (n % 12 + 1 + n % 7) % 12
        anchor, positive = toy_training.text(topic, "a", random), toy_training.text(topic, "b", random)
        negative = toy_training.text(other, "b", random)
        alike = kind == "positive" or n // 12 % 2 == 0  # each topic has pairs of both kinds
        texts.append((anchor, positive, negative) if kind == "triplet" else (anchor, positive if alike else negative))
        scores.append(float(alike))
    return Examples(kind, tuple(texts), np.array(scores, np.float32) if kind == "scored" else None)  # type: ignore[arg-type]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        ("scored", Objective("cosent")),
        ("scored", Objective("mse")),
        ("positive", Objective("softmax", matryoshka=(12, 24))),
        ("triplet", Objective("triplet")),
        ("triplet", Objective("softmax")),
    ],
)
def test_labelled_examples_teach_the_topics(kind: str, objective: Objective) -> None:
    plan = replace(CONFIG, objective=objective)
    made = job_from_examples(origin(), examples(kind), plan)
    outcome = Trainer(made, SCHEDULE).run()
    assert outcome.best.probe > outcome.points[0].probe
    assert topic_found(made.tower) > 0.5


def test_a_loss_that_cannot_learn_from_what_is_given_is_refused() -> None:
    with pytest.raises(TrainingError, match="documents have no labels"):
        job(replace(CONFIG, objective=Objective("cosent")))
    with pytest.raises(TrainingError, match="expected the loss softmax for positive examples; got 'mse'"):
        job_from_examples(origin(), examples("positive"), replace(CONFIG, objective=Objective("mse")))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Objective("other"),
        lambda: Objective(temperature=0),
        lambda: Objective(matryoshka=(8, 0)),
        lambda: Objective(temperature=float("nan")),
        lambda: Trainer(job(replace(CONFIG, objective=Objective(matryoshka=(8, 999)))), SCHEDULE),
        lambda: replace(SCHEDULE, steps=0),
        lambda: replace(SCHEDULE, learning_rate=0),
        lambda: replace(SCHEDULE, warm_up=-1),
        lambda: replace(CONFIG, batch_size=1),
        lambda: replace(CONFIG, negatives="luck"),
        lambda: Trainer(job(), replace(SCHEDULE, optimizer="luck")),
        lambda: make_starting_point("default", kind="tree"),
    ],
)
def test_what_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(TrainingError, match="expected"):
        wrong()


def test_the_learning_rate_rises_stays_and_falls() -> None:
    still: Any = replace(SCHEDULE, steps=100, learning_rate=0.5, warm_up=10).rate()
    assert [float(still(step)) for step in (0, 5, 10, 50, 99)] == pytest.approx([0, 0.25, 0.5, 0.5, 0.5], abs=1e-6)
    falls: Any = replace(SCHEDULE, steps=100, learning_rate=0.5, warm_up=0, decay=True).rate()
    assert [float(falls(step)) for step in (0, 50, 100)] == pytest.approx([0.5, 0.25, 0], abs=1e-6)


def test_hard_negatives_of_both_kinds_train(tmp_path: Path) -> None:
    made = job(replace(CONFIG, negatives="both"))
    assert len(made.batches.batch(0).sides) == 3
    outcome = Trainer(made, replace(SCHEDULE, steps=10)).run()
    assert outcome.points[-1].step == 10


def test_other_token_weights_keep_the_mean_and_padding_keeps_its_zero() -> None:
    tower = toy_training.parts().tower
    before = np.linalg.norm(token_vectors(tower), axis=1)
    wanted = np.linspace(1, 2, len(before), dtype=np.float32)
    set_token_weights(tower, wanted)
    found = np.linalg.norm(token_vectors(tower), axis=1)
    assert found[0] == before[0] == 0
    assert found.mean() == pytest.approx(before.mean(), rel=1e-5)
    np.testing.assert_allclose(found[1:] / found[1], wanted[1:] / wanted[1], rtol=1e-4)


def test_an_average_tower_starts_with_the_corpus_own_frequencies_unless_it_was_trained_before() -> None:
    made = job()
    assert made.before_first_step is not None
    made.before_first_step()
    lengths, vocabulary = np.linalg.norm(token_vectors(made.tower), axis=1), toy_training.tokenizer()
    common, rare = (lengths[vocabulary.token_to_id(entry)] for entry in ("c0", "a0x0"))
    assert rare > 1.1 * common
    again = job_from_documents(replace(origin(), adapted=True), toy_training.documents(), CONFIG)
    assert again.before_first_step is None


def row_lengths(tower: keras.Model) -> NDArray[np.float32]:
    rows = keras.ops.convert_to_numpy(tower.get_layer(TOKENS_LAYER).rows)
    return np.asarray(np.linalg.norm(rows, axis=1), np.float32)


def test_training_on_documents_changes_what_tokens_mean_but_not_how_much_they_count(
    trained: tuple[TrainingJob, TrainingResult],
) -> None:
    made, outcome = trained
    assert outcome.best.step
    np.testing.assert_allclose(row_lengths(made.tower)[1:], 1, atol=1e-5)
    free = job(replace(CONFIG, keep_lengths=False))
    Trainer(free, replace(SCHEDULE, steps=10)).run()
    assert np.ptp(row_lengths(free.tower)[1:]) > 0.01


def test_towers_that_read_word_order_may_change_how_much_tokens_count() -> None:
    assert not job(kind="lstm").keep_lengths


def test_an_average_tower_learns_to_count_repeats_less_and_a_kept_start_stays_as_it_was(
    trained: tuple[TrainingJob, TrainingResult], tmp_path: Path
) -> None:
    made, outcome = trained
    new = save_trained_encoder(origin(), made, outcome, out=tmp_path / "new", name="new", seed=0)
    assert load(new.path).preprocessing.damped
    kept = replace(outcome, best=outcome.points[0])
    unchanged = save_trained_encoder(origin(), made, kept, out=tmp_path / "kept", name="kept", seed=0)
    assert not load(unchanged.path).preprocessing.damped
    plain = job(replace(CONFIG, damped=False))
    assert plain.preprocessing is not None
    assert not plain.preprocessing.damped


def test_only_training_on_a_corpus_makes_a_start_that_keeps_its_token_weights(
    trained: tuple[TrainingJob, TrainingResult], tmp_path: Path
) -> None:
    made, outcome = trained
    adapted = save_trained_encoder(origin(), made, outcome, out=tmp_path / "adapted", name="adapted", seed=0).path
    assert make_starting_point(str(adapted)).adapted
    parent = Lineage(seed=0, parent="0" * 64)
    taught = save(toy_training.parts(), tmp_path / "taught", name="taught", lineage=parent).path
    assert not make_starting_point(str(taught)).adapted
    manifest = json.loads((adapted / "manifest.json").read_text())
    del manifest["lineage"]["adapted"]  # as older versions wrote it
    (adapted / "manifest.json").write_text(json.dumps(manifest))
    assert make_starting_point(str(adapted)).adapted


def test_the_geometric_mean_of_old_and_new_token_weights_is_what_a_share_asks_for() -> None:
    tower = toy_training.parts().tower
    before = np.linalg.norm(token_vectors(tower), axis=1)[1:]
    wanted = np.linspace(1, 2, len(before) + 1, dtype=np.float32)
    set_token_weights(tower, wanted, share=0.5)
    found = np.linalg.norm(token_vectors(tower), axis=1)[1:]
    expected = np.sqrt(before * wanted[1:])
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-4)


def test_random_token_vectors_are_unit_rows_and_depend_on_the_seed() -> None:
    one, again, other = (token_vectors(make_starting_point("scratch", seed=seed).parts.tower) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(np.linalg.norm(one[1:], axis=1), 1, rtol=1e-4)
    assert not one[0].any()
