"""Towers, teachers, distillation and artefacts, with a tiny real BERT and tiny real towers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from tiny_bert import bert_states, teacher_tokenizer, write_json, write_teacher
from tiny_encoder import tiny_parts
from tokenizers import Tokenizer, processors
from told import Told

keras = pytest.importorskip("keras")

from docsim.cli.distill import distill as distill_command  # noqa: E402
from docsim.encoding.encoder import Encoder  # noqa: E402
from docsim.errors import EncoderError, TrainingError, UsageError  # noqa: E402
from docsim.runtime import onnxruntime  # noqa: E402
from docsim.training.distill.from_vocabulary import (  # noqa: E402
    DistillationRecipe,
    distill_and_save,
    distill_vocabulary,
    ranks,
    reduced,
    sif_weights,
    student_vocabulary,
    token_states,
    weighted,
)
from docsim.training.distill.teacher import Teacher, load_teacher  # noqa: E402
from docsim.training.towers import average, saving  # noqa: E402
from docsim.training.towers.export import onnx_bytes  # noqa: E402
from docsim.training.towers.keras_file import load_tower  # noqa: E402
from docsim.training.towers.kinds import compact, trainable  # noqa: E402
from docsim.training.towers.layers import PADDING_ID, UnitLength  # noqa: E402
from docsim.training.towers.saving import EncoderParts, Lineage, load, save  # noqa: E402

pytestmark = pytest.mark.training

VECTORS = np.array([[9, 9], [1, 0], [0, 2], [3, 4]], dtype=np.float32)


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("teachers") / "tiny-bert")


@pytest.fixture(scope="module")
def teacher(teacher_dir: Path) -> Teacher:
    return load_teacher(teacher_dir)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return save(tiny_parts(), tmp_path_factory.mktemp("encoders") / "tiny", name="tiny", lineage=Lineage(seed=3))


def outputs(model: Any, *ids: list[int]) -> NDArray[np.float32]:
    return np.asarray(keras.ops.convert_to_numpy(model(np.array(ids, dtype=np.int32))))


def test_the_average_tower_adds_token_vectors_and_scales_to_length_one() -> None:
    assert outputs(average.average_tower(VECTORS), [1, 2, 3]) == pytest.approx(
        np.array([[4, 6]]) / math.hypot(4, 6), abs=0.01
    )


def test_padding_counts_for_nothing_whatever_its_vector() -> None:
    model = average.average_tower(VECTORS)
    assert outputs(model, [2, 3, 0, 0]) == pytest.approx(outputs(model, [2, 3]), abs=1e-6)


def test_padding_alone_gives_zeros() -> None:
    assert outputs(average.average_tower(VECTORS), [0, 0]).tolist() == [[0.0, 0.0]]


def test_int8_rows_keep_each_component_within_half_a_step() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    vectors[PADDING_ID] = 0
    error = np.abs(average.token_vectors(average.average_tower(vectors)) - vectors)
    assert (error <= np.abs(vectors).max(axis=1, keepdims=True) / 127 / 2 + 1e-6).all()


def test_a_row_of_zeros_stays_one_as_int8() -> None:
    vectors = np.zeros((2, 3), dtype=np.float32)
    assert average.token_vectors(average.average_tower(vectors)).tolist() == vectors.tolist()


def test_float_rows_compute_what_int8_rows_do() -> None:
    small = average.average_tower(VECTORS)
    assert outputs(trainable(small), [1, 2, 3]) == pytest.approx(outputs(small, [1, 2, 3]), abs=1e-6)


def test_int8_rows_cannot_be_trained_and_float_rows_can() -> None:
    small = average.average_tower(VECTORS)
    counts = [len(model.trainable_variables) for model in (small, trainable(small))]
    assert counts == [0, 2]


def test_training_moves_float_rows_but_not_those_of_padding() -> None:
    model = trainable(average.average_tower(VECTORS))
    before = average.token_vectors(model)
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse", run_eagerly=True)
    model.fit(np.array([[1, 0], [1, 0]], dtype=np.int32), np.array([[0, 1], [0, 1]], dtype=np.float32), verbose=0)
    moved = np.abs(average.token_vectors(compact(model)) - before).max(axis=1) > 0.05
    assert moved.tolist() == [False, True, False, False]


def test_a_storage_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="storage must be"):
        average.average_tower(VECTORS, storage="int4")


def test_a_tower_survives_saving_and_loading(tmp_path: Path) -> None:
    model = average.average_tower(VECTORS)
    model.save(tmp_path / "tower.keras")
    loaded = load_tower(tmp_path / "tower.keras")
    assert outputs(loaded, [1, 3]).tolist() == outputs(model, [1, 3]).tolist()


def test_the_same_tower_exports_to_the_same_bytes() -> None:
    # A dozen, since names with counters sort otherwise once the counters reach two digits.
    assert len({onnx_bytes(average.average_tower(VECTORS)) for _ in range(12)}) == 1


def test_a_tower_with_a_loop_exports_and_computes_the_same() -> None:
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    words = keras.layers.Embedding(20, 6, mask_zero=False)(ids)
    model = keras.Model(ids, UnitLength()(keras.layers.LSTM(5)(words)))
    session = onnxruntime.InferenceSession(onnx_bytes(model), providers=["CPUExecutionProvider"])
    batch = np.array([[3, 7, 1, 19], [4, 4, 0, 0]], dtype=np.int32)
    assert session.run(["embeddings"], {"ids": batch})[0] == pytest.approx(outputs(model, *batch.tolist()), abs=1e-5)


def test_the_teacher_computes_what_bert_in_numpy_does(teacher: Teacher, teacher_dir: Path) -> None:
    from safetensors.numpy import load_file

    ids = teacher.tokenizer.encode("boil the lentils").ids
    states = teacher.states(np.array([ids], dtype=np.int32))
    expected = bert_states(load_file(teacher_dir / "model.safetensors"), ids)
    assert np.abs(states[0] - expected).max() < 1e-4


def test_a_teachers_embedding_is_the_normalised_mean_of_its_states(teacher: Teacher) -> None:
    ids = np.array([teacher.tokenizer.encode("boil the lentils").ids], dtype=np.int32)
    mean = teacher.states(ids)[0].mean(axis=0)
    assert teacher.embed(["boil the lentils"])[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_teacher_embeds_a_text_alone_as_among_others(teacher: Teacher) -> None:
    texts = ["soup", "boil the lentils until soft", ""]
    alone = np.concatenate([teacher.embed([text]) for text in texts])
    assert np.abs(teacher.embed(texts) - alone).max() < 1e-5


def test_a_teacher_reads_no_more_tokens_than_it_was_trained_on(teacher: Teacher) -> None:
    long = "soup " * 10
    assert teacher.embed([long + "cat"]) == pytest.approx(teacher.embed([long + "dog"]), abs=1e-6)


def changed(teacher_dir: Path, target: Path, **settings: Any) -> Path:
    """Link a teacher's files into ``target``, with another ``config.json``."""
    target.mkdir()
    for file in teacher_dir.iterdir():
        (target / file.name).symlink_to(file)
    config = json.loads((teacher_dir / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").unlink()
    write_json(target / "config.json", {**config, **settings})
    return target


def test_a_teacher_that_pools_its_first_token_is_read_as_such(teacher_dir: Path, tmp_path: Path) -> None:
    path = changed(teacher_dir, tmp_path / "cls")
    (path / "1_Pooling").unlink()
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    loaded = load_teacher(path)
    ids = np.array([loaded.tokenizer.encode("soup").ids], dtype=np.int32)
    first = loaded.states(ids)[0, 0]
    assert loaded.embed(["soup"])[0] == pytest.approx(first / np.linalg.norm(first), abs=1e-5)


@pytest.mark.parametrize("settings", [{"model_type": "t5"}, {"position_embedding_type": "relative_key"}], ids=str)
def test_a_teacher_of_another_architecture_is_refused(
    teacher_dir: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match=r"expected a model .* config\.json has '(t5|relative_key)'"):
        load_teacher(changed(teacher_dir, tmp_path / "other", **settings))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_teacher_that_lacks_a_file_is_refused(teacher_dir: Path, tmp_path: Path, name: str) -> None:
    path = changed(teacher_dir, tmp_path / "part")
    (path / name).unlink()
    with pytest.raises(TrainingError, match=name):
        load_teacher(path)


def test_damaged_weights_are_refused(teacher_dir: Path, tmp_path: Path) -> None:
    path = changed(teacher_dir, tmp_path / "torn")
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="they are damaged"):
        load_teacher(path)


def test_the_student_has_no_entries_that_it_cannot_use() -> None:
    vocabulary = student_vocabulary(teacher_tokenizer())
    assert vocabulary.tokens[:2] == ("[PAD]", "[UNK]")
    assert not {"[CLS]", "[SEP]", "[unused0]"} & set(vocabulary.tokens)


def test_each_student_id_stands_for_the_teachers_same_token() -> None:
    tokenizer = teacher_tokenizer()
    vocabulary = student_vocabulary(tokenizer)
    assert [tokenizer.id_to_token(number) for number in vocabulary.teacher_ids] == list(vocabulary.tokens)


def test_the_student_tokenizes_as_the_teacher_does_without_marks() -> None:
    tokenizer = teacher_tokenizer()
    text = "Boil the lentils, zest & 42 caf\u00e9s!"
    assert student_vocabulary(tokenizer).tokenizer.encode(text).tokens == tokenizer.encode(text).tokens[1:-1]


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    from tokenizers import models

    with pytest.raises(TrainingError, match="expected a teacher with a WordPiece tokenizer"):
        student_vocabulary(Tokenizer(models.BPE()))


def test_a_tokenizer_that_marks_only_one_end_is_refused(teacher: Teacher) -> None:
    tokenizer = teacher_tokenizer()
    mark = ("[CLS]", tokenizer.token_to_id("[CLS]"))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[mark])
    other = replace(teacher, tokenizer=tokenizer)
    with pytest.raises(TrainingError, match="it adds 1 tokens"):
        token_states(other, [5])


def test_token_states_are_those_of_the_opening_mark_and_the_token(teacher: Teacher) -> None:
    number = teacher.tokenizer.token_to_id("soup")
    ids = np.array([teacher.tokenizer.encode("soup").ids], dtype=np.int32)
    expected = teacher.states(ids)[0, :2]
    assert token_states(teacher, [number])[0] == pytest.approx(expected, abs=1e-5)


def test_whitened_components_are_uncorrelated_and_of_variance_one() -> None:
    states = (np.random.default_rng(0).normal(size=(200, 6)) * np.arange(1, 7)).astype(np.float32)
    vectors = reduced(states, DistillationRecipe(dim=4, unit_tokens=False))
    assert vectors.T @ vectors / 200 == pytest.approx(np.eye(4), abs=1e-6)


def test_without_whitening_all_components_keep_the_distances() -> None:
    states = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    vectors = reduced(states, DistillationRecipe(dim=5, whitening=0, unit_tokens=False))
    distances = [np.linalg.norm(table[:, None] - table[None], axis=2) for table in (vectors, states)]
    assert distances[0] == pytest.approx(distances[1], abs=1e-5)


def test_unit_tokens_have_length_one() -> None:
    states = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    assert np.linalg.norm(reduced(states, DistillationRecipe(dim=3)), axis=1) == pytest.approx(1)


def test_more_components_than_there_are_is_refused() -> None:
    with pytest.raises(TrainingError, match="expected dim from 1 to 5 for this teacher; got 6"):
        reduced(np.ones((9, 5), dtype=np.float32), DistillationRecipe(dim=6))


def test_single_characters_and_the_first_word_have_rank_one() -> None:
    assert ranks(("[PAD]", "[UNK]", "!", "a", "the", "of", "##s")).tolist() == [1, 1, 1, 1, 1, 2, 3]


def test_sif_weights_follow_arora_and_zipf() -> None:
    rank = np.array([1, 2, 10], dtype=np.int64)
    shares = 1 / ((rank + 1) * (math.log(3) + 0.5772156649))
    assert sif_weights(rank, 0.01) == pytest.approx(0.01 / (0.01 + shares))


def test_padding_weighs_nothing_and_the_unknown_next_to_nothing() -> None:
    table = weighted(np.ones((3, 2)), np.array([0.5, 0.5, 0.5]))
    assert table == pytest.approx(np.array([[0, 0], [0.0005, 0.0005], [0.5, 0.5]]))


def test_a_distilled_encoder_embeds_a_word_as_its_token_vector(teacher: Teacher, tmp_path: Path) -> None:
    recipe = DistillationRecipe(dim=8)
    encoder = distill_and_save(tmp_path / "student", teacher, recipe=recipe, name="student")
    vocabulary = student_vocabulary(teacher.tokenizer)
    vectors = reduced(token_states(teacher, vocabulary.teacher_ids).mean(axis=1), recipe)
    assert encoder.encode(["soup"])[0] == pytest.approx(vectors[vocabulary.tokens.index("soup")], abs=0.01)


def test_distilling_twice_gives_the_same_fingerprint(teacher: Teacher, tmp_path: Path) -> None:
    made = [
        distill_and_save(tmp_path / name, teacher, recipe=DistillationRecipe(dim=8), name=name)
        for name in ("one", "two")
    ]
    assert made[0].fingerprint == made[1].fingerprint


def test_distillation_tells_of_its_progress(teacher: Teacher) -> None:
    told = Told()
    distill_vocabulary(teacher, DistillationRecipe(dim=8), progress=told)
    total = len(student_vocabulary(teacher.tokenizer).tokens)
    assert told.begun == [("asking the teacher", total, 0)]
    assert told.advanced == [total]


def test_the_manifest_tells_the_lineage(saved: Encoder) -> None:
    manifest = json.loads((saved.path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["kind"], manifest["lineage"]["seed"]) == ("average", 3)
    assert manifest["lineage"]["libraries"]["keras"] == keras.__version__


def test_a_loaded_encoder_can_be_saved_again_unchanged(saved: Encoder, tmp_path: Path) -> None:
    again = save(load(saved.path), tmp_path / "again", name="again", lineage=Lineage(seed=0, parent=saved.fingerprint))
    assert again.fingerprint == saved.fingerprint


def test_a_damaged_keras_model_is_named(saved: Encoder, tmp_path: Path) -> None:
    import shutil

    path = shutil.copytree(saved.path, tmp_path / "copy")
    (path / "tower.keras").write_bytes(b"torn")
    with pytest.raises(EncoderError, match=r"expected the tower\.keras .*; it is missing or has changed"):
        load(path)


def test_replacing_an_encoder_keeps_its_readme(tmp_path: Path) -> None:
    path = tmp_path / "encoder"
    first = save(tiny_parts(), path, name="first", lineage=Lineage(seed=0))
    (path / "README.md").write_text("kept", encoding="utf-8")
    second = save(tiny_parts(seed=1), path, name="second", lineage=Lineage(seed=1))
    assert first.fingerprint != second.fingerprint
    assert (Encoder.load(path).name, (path / "README.md").read_text(encoding="utf-8")) == ("second", "kept")


def test_saving_leaves_nothing_else_behind(tmp_path: Path) -> None:
    for seed in (0, 1):
        save(tiny_parts(seed=seed), tmp_path / "encoder", name="tiny", lineage=Lineage(seed=seed))
    assert [file.name for file in tmp_path.iterdir()] == ["encoder"]


def test_a_directory_with_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(EncoderError, match="there is something else"):
        save(tiny_parts(), tmp_path, name="tiny", lineage=Lineage(seed=0))
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "years of work"


def test_an_export_that_differs_from_keras_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = onnx_bytes(tiny_parts(seed=1).tower)
    monkeypatch.setattr(saving, "onnx_bytes", lambda tower: other)
    with pytest.raises(EncoderError, match=r"expected the ONNX export to differ .* by at most .*; it differs by"):
        save(tiny_parts(seed=0), tmp_path / "encoder", name="tiny", lineage=Lineage(seed=0))
    assert list(tmp_path.iterdir()) == []


def test_parts_with_a_limit_of_tokens_are_cut_there(tmp_path: Path) -> None:
    whole = tiny_parts()
    short = EncoderParts(whole.tower, whole.tokenizer, whole.preprocessing, kind="average", max_tokens=2)
    encoder = save(short, tmp_path / "short", name="short", lineage=Lineage(seed=0))
    assert encoder.encode(["cat dog soup"]) == pytest.approx(encoder.encode(["cat dog"]), abs=1e-6)


def test_a_damped_encoder_counts_repeats_less_and_has_another_fingerprint(saved: Encoder, tmp_path: Path) -> None:
    parts = tiny_parts()
    parts = replace(parts, preprocessing=replace(parts.preprocessing, damped=True))
    one = save(parts, tmp_path / "damped", name="damped", lineage=Lineage(seed=3))
    assert one.fingerprint != saved.fingerprint
    assert load(one.path).preprocessing.damped
    np.testing.assert_allclose(one.encode(["cat dog cat cat"]), saved.encode(["dog cat cat"]), atol=1e-6)
    assert np.abs(saved.encode(["cat dog cat cat"]) - saved.encode(["dog cat cat"])).max() > 1e-3


def test_the_command_writes_an_encoder(teacher_dir: Path, tmp_path: Path) -> None:
    arguments = ["--teacher", str(teacher_dir), "--out", str(tmp_path / "made"), "--dim", "8", "--json"]
    result = CliRunner().invoke(distill_command, arguments, catch_exceptions=False)
    facts = json.loads(result.stdout)
    assert facts["fingerprint"] == Encoder.load(tmp_path / "made").fingerprint
    assert (facts["name"], facts["dim"]) == ("made", 8)


def test_the_command_says_what_it_made(teacher_dir: Path, tmp_path: Path) -> None:
    arguments = ["--teacher", str(teacher_dir), "--out", str(tmp_path / "made"), "--dim", "8", "--name", "mine"]
    result = CliRunner().invoke(distill_command, arguments, catch_exceptions=False)
    assert result.stdout.startswith("Encoder mine: 8 components, fingerprint ")


def test_the_quiet_command_prints_nothing(teacher_dir: Path, tmp_path: Path) -> None:
    arguments = ["--teacher", str(teacher_dir), "--out", str(tmp_path / "made"), "--dim", "8", "--quiet"]
    assert CliRunner().invoke(distill_command, arguments, catch_exceptions=False).output == ""


def test_a_teacher_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(distill_command, ["--teacher", str(tmp_path / "no"), "--out", str(tmp_path / "made")])
    assert isinstance(result.exception, UsageError)
