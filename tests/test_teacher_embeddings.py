"""Guides: what a teacher says of passages, asked once, beside each batch."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_training

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.training.data.batches import framing
from docsim.training.data.guide import Guide, GuidedBatches, guide
from docsim.training.data.spans import SpanRecipe
from docsim.training.loop.learning import SHORT, Plan, Teaching, from_documents, saved
from docsim.training.loop.siamese import Objective
from docsim.training.loop.trainer import Job, Schedule, Trainer
from docsim.training.towers.artefact import Lineage, save
from docsim.training.towers.starts import Start

SCHEDULE = Schedule(steps=20, learning_rate=0.1, warm_up=5, probe_every=10)
PLAN = Plan(schedule=SCHEDULE, recipe=SpanRecipe(shortest=8), batch=32)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return save(
        toy_training.parts(seed=5), tmp_path_factory.mktemp("teacher") / "wise", name="wise", lineage=Lineage(0)
    )


def asked(teacher: Encoder, cache: Path, seed: int = 0) -> Guide:
    return guide(toy_training.documents(300), toy_training.parts(), teacher, cache=cache, seed=seed)


def job(teacher: Encoder, cache: Path, *, weight: float = 1.0) -> Job:
    origin = Start(toy_training.parts(), "0" * 64, "toy")
    return from_documents(origin, toy_training.documents(), PLAN, teaching=Teaching(teacher, cache, weight))


def test_passages_and_the_embeddings_of_them_belong_together(teacher: Encoder, tmp_path: Path) -> None:
    found = asked(teacher, tmp_path)
    vocabulary = toy_training.tokenizer()
    texts = [" ".join(vocabulary.id_to_token(int(n)) for n in ids) for ids in found.ids]
    np.testing.assert_allclose(teacher.encode(texts), found.targets, atol=1e-5)
    assert len(texts) >= 300


def test_what_the_teacher_said_is_not_asked_again(teacher: Encoder, tmp_path: Path) -> None:
    first = asked(teacher, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == -(-len(first.ids) // 256)
    kept = np.load(files[0])
    np.save(files[0], -kept)  # so that reading shows
    (files[1]).write_bytes(b"torn")
    again = asked(teacher, tmp_path)
    turned = np.isclose(again.targets, -first.targets, atol=1e-6).all(axis=1)
    assert turned.sum() == len(kept)
    np.testing.assert_array_equal(again.targets[~turned], first.targets[~turned])
    assert again.digest == first.digest


def test_a_batch_has_passages_and_their_embeddings_beside_its_pairs(teacher: Encoder, tmp_path: Path) -> None:
    made = job(teacher, tmp_path)
    plain = from_documents(Start(toy_training.parts(), "0" * 64, "toy"), toy_training.documents(), PLAN)
    batch, pairs = made.batches.batch(3), plain.batches.batch(3)
    for side, same in zip(batch.sides, pairs.sides, strict=False):
        np.testing.assert_array_equal(side, same)
    assert len(batch.sides) == 3
    assert batch.labels["taught"].shape == (32, teacher.dim)
    np.testing.assert_array_equal(made.batches.batch(3).labels["taught"], batch.labels["taught"])


def test_every_passage_comes_once_in_an_epoch() -> None:
    parts = toy_training.parts()
    known = Guide([np.array([n], np.int32) for n in range(2, 12)], np.eye(10, dtype=np.float32), "", "wise")
    plain = from_documents(Start(parts, "0" * 64, "toy"), toy_training.documents(), PLAN).batches
    made = GuidedBatches(plain, known, framing=framing(parts), size=5, seed=0)
    seen = [made.batch(step).labels["taught"].argmax(axis=1).tolist() for step in (0, 1)]
    assert sorted(seen[0] + seen[1]) == list(range(10))


def test_the_teacher_never_hears_of_documents_that_are_held_out(teacher: Encoder, tmp_path: Path) -> None:
    made = job(teacher, tmp_path)
    assert isinstance(made.batches, GuidedBatches)
    told = sum(len(np.load(file)) for file in tmp_path.iterdir())
    assert told == 120 - len(made.held_out)


@pytest.mark.parametrize(("times", "asked"), [(SHORT // 40, True), (SHORT // 10, False)])
def test_the_teacher_of_long_documents_is_asked_only_where_its_weight_is_named(
    teacher: Encoder, tmp_path: Path, times: int, asked: bool
) -> None:
    texts = toy_training.documents()
    assert all(20 <= len(one.text.split()) <= 40 for one in texts)
    texts = [replace(one, text=" ".join([one.text] * times)) for one in texts]
    origin = Start(toy_training.parts(), "0" * 64, "toy")
    made = from_documents(origin, texts, PLAN, teaching=Teaching(teacher, tmp_path))
    assert (made.teacher, any(tmp_path.iterdir())) == (("wise", True) if asked else (None, False))
    assert made.objective == Objective(guidance=float(asked))
    named = from_documents(origin, texts, PLAN, teaching=Teaching(teacher, tmp_path, weight=0.5))
    assert named.objective == Objective(guidance=0.5)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_number_from_zero_on_is_refused(teacher: Encoder, tmp_path: Path, weight: float) -> None:
    with pytest.raises(TrainingError, match="expected a weight of the teacher of at least 0; got"):
        Teaching(teacher, tmp_path, weight)


def test_a_student_comes_to_find_alike_what_its_teacher_does(teacher: Encoder, tmp_path: Path) -> None:
    def agreement(weight: float) -> float:
        made = job(teacher, tmp_path, weight=weight)
        schedule = replace(SCHEDULE, steps=40, probe_every=40)
        Trainer(made, schedule).run()
        texts = [document.text for document in toy_training.documents()]
        from docsim.training.data.batches import tokenised
        from docsim.training.loop.probe import embedded

        own = embedded(made.tower, tokenised(texts, toy_training.parts()), framing(toy_training.parts()))
        wanted = teacher.encode(texts)
        pairs = np.triu_indices(len(texts), k=1)
        return float(np.corrcoef((own @ own.T)[pairs], (wanted @ wanted.T)[pairs])[0, 1])

    assert agreement(100.0) > agreement(1e-6) + 0.1


def test_the_teacher_is_named_in_the_lineage_and_part_of_what_was_learned_from(
    teacher: Encoder, tmp_path: Path
) -> None:
    made = job(teacher, tmp_path / "cache")
    outcome = Trainer(made, SCHEDULE).run()
    origin = Start(toy_training.parts(), "0" * 64, "toy")
    encoder = saved(origin, made, outcome, PLAN, out=tmp_path / "new", name="new")
    from docsim.encoding.encoder import read_manifest

    lineage = read_manifest(encoder.path)["lineage"]
    assert lineage["teacher"] == "wise"
    assert lineage["material"] != from_documents(origin, toy_training.documents(), PLAN).material
    assert made.objective == Objective(guidance=1.0)
