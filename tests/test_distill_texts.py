"""Distillation from texts: spans, a cache of what the teacher said, and a student that comes closer to its teacher."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from tiny_bert import teacher_tokenizer, write_json, write_teacher
from tiny_encoder import WORDS
from told import Told

from docsim.cli import main
from docsim.encoding.encoder import Encoder
from docsim.errors import TrainingError
from docsim.models import Document
from docsim.training.distill.from_texts import (
    DistilledStudent,
    TextSpans,
    cut_spans,
    distill_texts,
    save_student,
    teacher_embeddings,
)
from docsim.training.distill.from_vocabulary import DistillationRecipe, distill_vocabulary
from docsim.training.distill.student import StudentConfig, agreement
from docsim.training.distill.teacher import Teacher, load_teacher

pytestmark = pytest.mark.training

TUNING = StudentConfig(steps=60, batch=32, learning_rate=0.02, probe_every=20)


def documents(count: int, *, words: int = 20, seed: int = 0) -> list[Document]:
    """Texts of a few words each, which they repeat."""
    random = np.random.default_rng(seed)
    drawn = (random.choice(random.choice(WORDS, 4), words) for _ in range(count))
    return [Document(f"d{number}", " ".join(text)) for number, text in enumerate(drawn)]


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_teacher(tmp_path_factory.mktemp("teachers") / "tiny-bert")
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 24})  # whole texts
    return path


@pytest.fixture(scope="module")
def teacher(teacher_dir: Path) -> Teacher:
    return load_teacher(teacher_dir)


@pytest.fixture(scope="module")
def learned(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> tuple[DistilledStudent, Encoder, Encoder]:
    """What was learned, the student before and the student after."""
    directory = tmp_path_factory.mktemp("students")
    parts = distill_vocabulary(teacher, DistillationRecipe(dim=8))
    done = distill_texts(parts, teacher, documents(200), config=TUNING, cache=directory / "cache")
    before = save_student(replace(done, parts=parts), directory / "before", teacher, name="before", seed=0)
    return done, before, save_student(done, directory / "after", teacher, name="after", seed=0)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_similarities_come_closer_to_the_teacher_s_on_texts_never_seen(
    learned: tuple[DistilledStudent, Encoder, Encoder], teacher: Teacher
) -> None:
    done, before, after = learned
    assert done.after > done.before + 0.05
    texts = [document.text for document in documents(400, seed=7)]  # of 100, agreement changes by .05 with their seed
    wanted = unit(teacher.embed(texts))
    assert agreement(after.encode(texts), wanted) > agreement(before.encode(texts), wanted) + 0.05


@pytest.mark.thorough
def test_the_student_learns_from_no_more_of_a_text_than_the_teacher_reads(teacher: Teacher, tmp_path: Path) -> None:
    short = replace(teacher, max_tokens=12)
    parts, texts = distill_vocabulary(teacher, DistillationRecipe(dim=8)), documents(40)
    ends = [replace(one, text=" ".join([*one.text.split()[:15], *["cat"] * 5])) for one in texts]
    tuning = replace(TUNING, steps=4, probe_every=2)
    whole, other = (distill_texts(parts, short, given, config=tuning, cache=tmp_path) for given in (texts, ends))
    assert (whole.before, whole.after) == pytest.approx((other.before, other.after), abs=1e-6)


def test_the_manifest_tells_what_was_learned_from_whom(learned: tuple[DistilledStudent, Encoder, Encoder]) -> None:
    done, _, after = learned
    lineage = json.loads((after.path / "manifest.json").read_text())["lineage"]
    assert (lineage["teacher"], lineage["material"]) == ("tiny-bert", done.digest)
    assert lineage["metrics"]["agreement_after"] == pytest.approx(done.after, abs=1e-6)
    assert lineage["metrics"]["spans"] == done.spans == 180


@pytest.mark.thorough
def test_the_same_seed_gives_the_same_student(
    learned: tuple[DistilledStudent, Encoder, Encoder], teacher: Teacher, tmp_path: Path
) -> None:
    parts = distill_vocabulary(teacher, DistillationRecipe(dim=8))
    again = distill_texts(parts, teacher, documents(200), config=TUNING, cache=tmp_path)
    assert again.after == pytest.approx(learned[0].after, abs=1e-5)
    assert again.digest == learned[0].digest


def test_learning_that_only_harms_returns_the_student_as_it_was(teacher: Teacher, tmp_path: Path) -> None:
    parts = distill_vocabulary(teacher, DistillationRecipe(dim=8))
    harm = replace(TUNING, learning_rate=500.0, steps=4, probe_every=2)
    done = distill_texts(parts, teacher, documents(40), config=harm, cache=tmp_path)
    assert (done.steps, done.after) == (0, done.before)
    for one, other in zip(done.parts.tower.get_weights(), parts.tower.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1)  # int8 steps


def test_the_time_limit_ends_learning(teacher: Teacher, tmp_path: Path) -> None:
    endless = replace(TUNING, steps=10**9, patience=10**9, time_limit=0.3)
    done = distill_texts(
        distill_vocabulary(teacher, DistillationRecipe(dim=8)), teacher, documents(40), config=endless, cache=tmp_path
    )
    assert done.after >= done.before


def test_spans_have_64_to_128_tokens_and_are_the_document_s_own_text() -> None:
    tokenizer, text = teacher_tokenizer(), documents(1, words=1000)[0].text
    others = documents(30, words=17, seed=1)
    spans = cut_spans([Document("long", text), *others], tokenizer)
    long = [span for span, number in zip(spans.texts, spans.documents, strict=True) if number == 0]
    lengths = [len(tokenizer.encode(span, add_special_tokens=False).ids) for span in long]
    assert all(64 <= length <= 128 for length in lengths[:-1])
    assert len(set(lengths)) > 3
    assert " ".join(long) == text[: len(" ".join(long))]
    assert spans.texts[len(long) :] == tuple(document.text for document in others)


def test_too_few_texts_are_refused() -> None:
    same, short = documents(1) * 50, [Document("short", "the cat")] * 50
    with pytest.raises(TrainingError, match="at least 20 spans of up to 128 tokens; got 1"):
        cut_spans([*same, *short], teacher_tokenizer())


def test_the_teacher_is_asked_only_once(teacher: Teacher, tmp_path: Path) -> None:
    texts = [document.text for document in documents(300)]
    told = Told()
    first = teacher_embeddings(teacher, texts, tmp_path, progress=told)
    assert told.begun == [("asking the teacher", 300, 0)]
    assert told.advanced == [256, 44]
    np.testing.assert_allclose(first, unit(teacher.embed(texts)), atol=1e-5)
    mute = replace(teacher, tower=None)  # cannot be asked: a whole cache is enough
    with pytest.raises(AttributeError):
        teacher_embeddings(mute, ["another text"], tmp_path)
    kept = sorted(tmp_path.glob("*.npy"))
    assert len(kept) == 2
    stamps = [file.stat().st_mtime_ns for file in kept]
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # torn
    np.testing.assert_allclose(teacher_embeddings(teacher, texts, tmp_path), first, atol=1e-6)
    assert kept[1].stat().st_mtime_ns == stamps[1]


def test_agreement_is_one_for_a_rotation_and_minus_one_for_the_opposite_order() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0].astype(np.float32)
    assert agreement(rows @ rotation, rows) == pytest.approx(1.0, abs=1e-5)
    angles = np.array([0.0, 0.3, 1.0])
    near, far = (np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32) for a in (angles, angles[[0, 2, 1]]))
    assert agreement(near, near) == pytest.approx(1.0)
    assert agreement(near, far) < agreement(near, near)


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected steps above 0; got 0"):
        StudentConfig(steps=0)
    with pytest.raises(TrainingError, match="expected a batch of at least 2"):
        StudentConfig(batch=1)
    assert TextSpans(("a",), np.array([0])).digest() != TextSpans(("b",), np.array([0])).digest()


@pytest.mark.thorough
def test_the_command_learns_from_texts_and_says_how_much(teacher_dir: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"id": d.id, "text": d.text}) + "\n" for d in documents(60)))
    out = tmp_path / "student"
    command = ["distill", "--teacher", str(teacher_dir), "--out", str(out), "--dim", "8"]
    ran = CliRunner().invoke(main, [*command, "--texts", str(texts), "--steps", "20", "--json"])
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["agreement"]["after"] >= told["agreement"]["before"]
    assert (told["spans"], told["dim"]) == (54, 8)
    assert Encoder.load(out).fingerprint == told["fingerprint"]
    assert len(list((tmp_path / ".student.cache").glob("*.npy"))) == 1
    refused = CliRunner().invoke(main, [*command, "--steps", "5"])
    assert refused.exit_code == 2
    assert "expected --texts with --steps" in refused.stderr
