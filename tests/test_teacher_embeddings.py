"""A teacher's embeddings of passages: computed once, cached, and added to each batch."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_training

from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.training.data.batch_layout import BatchOptions, input_format
from docsim.training.data.document_pairs import SpanRecipe
from docsim.training.data.teacher_embeddings import BatchesWithTeacher, TeacherEmbeddings, embed_passages
from docsim.training.loop.config import Objective, TeacherConfig, TrainingConfig
from docsim.training.loop.preparation import SHORT, job_from_documents
from docsim.training.loop.schedule import Schedule
from docsim.training.loop.trained_encoder import save_trained_encoder
from docsim.training.loop.trainer import Trainer, TrainingJob
from docsim.training.towers.saving import Lineage, save
from docsim.training.towers.starting_point import StartingPoint

pytestmark = pytest.mark.training

SCHEDULE = Schedule(steps=20, learning_rate=0.1, warm_up=5, probe_every=10)
CONFIG = TrainingConfig(schedule=SCHEDULE, recipe=SpanRecipe(shortest=8), batch_size=32)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return save(
        toy_training.parts(seed=5), tmp_path_factory.mktemp("teacher") / "wise", name="wise", lineage=Lineage(0)
    )


def asked(teacher: Encoder, cache: Path, seed: int = 0) -> TeacherEmbeddings:
    return embed_passages(toy_training.documents(300), toy_training.parts(), teacher, cache=cache, seed=seed)


def job(teacher: Encoder, cache: Path, *, weight: float = 1.0) -> TrainingJob:
    origin = StartingPoint(toy_training.parts(), "0" * 64, "toy")
    return job_from_documents(origin, toy_training.documents(), CONFIG, teacher=TeacherConfig(teacher, cache, weight))


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
    plain = job_from_documents(StartingPoint(toy_training.parts(), "0" * 64, "toy"), toy_training.documents(), CONFIG)
    batch, pairs = made.batches.batch(3), plain.batches.batch(3)
    for side, same in zip(batch.sides, pairs.sides, strict=False):
        np.testing.assert_array_equal(side, same)
    assert len(batch.sides) == 3
    assert batch.labels["taught"].shape == (32, teacher.dim)
    np.testing.assert_array_equal(made.batches.batch(3).labels["taught"], batch.labels["taught"])


def test_every_passage_comes_once_in_an_epoch() -> None:
    parts = toy_training.parts()
    known = TeacherEmbeddings([np.array([n], np.int32) for n in range(2, 12)], np.eye(10, dtype=np.float32), "", "wise")
    plain = job_from_documents(StartingPoint(parts, "0" * 64, "toy"), toy_training.documents(), CONFIG).batches
    made = BatchesWithTeacher(plain, known, BatchOptions(input_format(parts), size=5, seed=0))
    seen = [made.batch(step).labels["taught"].argmax(axis=1).tolist() for step in (0, 1)]
    assert sorted(seen[0] + seen[1]) == list(range(10))


def test_the_teacher_never_hears_of_documents_that_are_held_out(teacher: Encoder, tmp_path: Path) -> None:
    made = job(teacher, tmp_path)
    assert isinstance(made.batches, BatchesWithTeacher)
    told = sum(len(np.load(file)) for file in tmp_path.iterdir())
    assert told == 120 - len(made.held_out)


@pytest.mark.parametrize(("times", "asked"), [(SHORT // 40, True), (SHORT // 10, False)])
def test_the_teacher_of_long_documents_is_asked_only_where_its_weight_is_named(
    teacher: Encoder, tmp_path: Path, times: int, asked: bool
) -> None:
    texts = toy_training.documents()
    assert all(20 <= len(one.text.split()) <= 40 for one in texts)
    texts = [replace(one, text=" ".join([one.text] * times)) for one in texts]
    origin = StartingPoint(toy_training.parts(), "0" * 64, "toy")
    made = job_from_documents(origin, texts, CONFIG, teacher=TeacherConfig(teacher, tmp_path))
    assert (made.teacher, any(tmp_path.iterdir())) == (("wise", True) if asked else (None, False))
    assert made.objective == Objective(guidance=float(asked))
    named = job_from_documents(origin, texts, CONFIG, teacher=TeacherConfig(teacher, tmp_path, weight=0.5))
    assert named.objective == Objective(guidance=0.5)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_no_number_from_zero_on_is_refused(teacher: Encoder, tmp_path: Path, weight: float) -> None:
    with pytest.raises(TrainingError, match="expected a teacher weight of at least 0; got"):
        TeacherConfig(teacher, tmp_path, weight)


@pytest.mark.thorough
def test_a_student_comes_to_find_alike_what_its_teacher_does(teacher: Encoder, tmp_path: Path) -> None:
    def agreement(weight: float) -> float:
        made = job(teacher, tmp_path, weight=weight)
        schedule = replace(SCHEDULE, steps=40, probe_every=40)
        Trainer(made, schedule).run()
        texts = [document.text for document in toy_training.documents()]
        from docsim.training.data.batch_layout import tokenize
        from docsim.training.loop.probe import embedded

        own = embedded(made.tower, tokenize(texts, toy_training.parts()), input_format(toy_training.parts()))
        wanted = teacher.encode(texts)
        pairs = np.triu_indices(len(texts), k=1)
        return float(np.corrcoef((own @ own.T)[pairs], (wanted @ wanted.T)[pairs])[0, 1])

    assert agreement(100.0) > agreement(1e-6) + 0.1


def test_the_teacher_is_named_in_the_lineage_and_part_of_what_was_learned_from(
    teacher: Encoder, tmp_path: Path
) -> None:
    made = job(teacher, tmp_path / "cache")
    outcome = Trainer(made, SCHEDULE).run()
    origin = StartingPoint(toy_training.parts(), "0" * 64, "toy")
    encoder = save_trained_encoder(origin, made, outcome, out=tmp_path / "new", name="new", seed=0)
    from docsim.encoding.encoder import read_manifest

    lineage = read_manifest(encoder.path)["lineage"]
    assert lineage["teacher"] == "wise"
    assert lineage["material"] != job_from_documents(origin, toy_training.documents(), CONFIG).digest
    assert made.objective == Objective(guidance=1.0)
