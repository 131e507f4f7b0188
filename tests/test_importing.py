"""Import of sentence-transformers models, with a tiny real BERT written in their layout."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from effort import thorough
from numpy.typing import NDArray
from tiny_bert import bert_states, write_json, write_teacher
from tiny_models import pieces, write_modules

keras = pytest.importorskip("keras")

from safetensors.numpy import load_file  # noqa: E402

from docsim.cli import main  # noqa: E402
from docsim.encoding.encoder import Encoder  # noqa: E402
from docsim.errors import EncoderError, TrainingError  # noqa: E402
from docsim.training.distill.teacher import load_teacher  # noqa: E402
from docsim.training.imports.importing import Wishes, import_encoder  # noqa: E402
from docsim.training.imports.model_directory import ModelDirectory  # noqa: E402
from docsim.training.imports.prefixes import suspected  # noqa: E402
from docsim.training.towers.average import token_vectors  # noqa: E402
from docsim.training.towers.kinds import compact, trainable  # noqa: E402
from docsim.training.towers.saving import Lineage, load, save  # noqa: E402

pytestmark = pytest.mark.training

TEXTS = ["", "soup", "boil the lentils until soft", "How do we rotate the signing keys?", "x1 \u4e2d\u6587 caf\u00e9"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("originals") / "tiny-bert")


@pytest.fixture(scope="module")
def encoder(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return import_encoder(original, tmp_path_factory.mktemp("imported") / "tiny")


def states_of(original: Path, text: str) -> NDArray[np.float32]:
    tokenizer = load_teacher(original).tokenizer
    tokenizer.enable_truncation(12)
    return bert_states(load_file(original / "model.safetensors"), tokenizer.encode(text).ids)


def unit(row: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(row / np.linalg.norm(row))


@pytest.mark.parametrize("text", TEXTS)
def test_an_import_computes_what_bert_in_numpy_does(encoder: Encoder, original: Path, text: str) -> None:
    expected = unit(states_of(original, text).mean(axis=0))
    assert encoder.encode([text])[0] == pytest.approx(expected, abs=1e-4)


def test_texts_get_the_same_embeddings_together_as_alone(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert encoder.encode(TEXTS) == pytest.approx(alone, abs=1e-5)


def test_many_texts_come_back_in_their_order(encoder: Encoder) -> None:
    texts = [" ".join(["soup"] * (number % 11) + ["cat"]) for number in range(300)]
    found = encoder.encode(texts)
    assert found[[0, 5, 299]] == pytest.approx(encoder.encode([texts[0], texts[5], texts[299]]), abs=1e-5)


def copied(original: Path, target: Path, pooling: dict[str, Any]) -> Path:
    path = shutil.copytree(original, target)
    write_json(path / "1_Pooling" / "config.json", pooling)
    return path


@pytest.mark.parametrize("pooling", [{"pooling_mode": "cls"}, *thorough({"pooling_mode_cls_token": True})], ids=str)
def test_the_first_token_is_taken_where_the_original_does(
    original: Path, tmp_path: Path, pooling: dict[str, Any]
) -> None:
    made = import_encoder(copied(original, tmp_path / "cls", pooling), tmp_path / "made")
    expected = unit(states_of(original, TEXTS[2])[0])
    assert made.encode([TEXTS[2]])[0] == pytest.approx(expected, abs=1e-4)


def test_the_largest_components_are_taken_where_the_original_does(original: Path, tmp_path: Path) -> None:
    path = copied(original, tmp_path / "max", {"pooling_mode_max_tokens": True})
    expected = unit(states_of(original, TEXTS[2]).max(axis=0))
    assert import_encoder(path, tmp_path / "made").encode([TEXTS[2]])[0] == pytest.approx(expected, abs=1e-4)


def test_the_approximate_gelu_is_kept_where_the_original_has_it(original: Path, tmp_path: Path) -> None:
    other = import_encoder(write_teacher(tmp_path / "tanh", hidden_act="gelu_new"), tmp_path / "made")
    teacher = load_teacher(tmp_path / "tanh")
    assert other.encode(TEXTS) == pytest.approx(teacher.embed(TEXTS), abs=1e-4)


def test_a_text_that_contains_the_padding_token_is_read_whole(encoder: Encoder, original: Path) -> None:
    text = "soup [PAD] cat"
    assert encoder.encode([text]) == pytest.approx(load_teacher(original).embed([text]), abs=1e-4)


def test_texts_are_cut_where_the_original_cuts_them(encoder: Encoder) -> None:
    long = "soup " * 10
    assert encoder.max_tokens == 12
    assert encoder.encode([long + "cat"]) == pytest.approx(encoder.encode([long + "dog"]), abs=1e-6)


def test_the_manifest_tells_where_an_import_comes_from(encoder: Encoder) -> None:
    manifest = json.loads((encoder.path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["kind"], manifest["name"], manifest["precision"]) == ("transformer", "tiny-bert", "float32")
    assert manifest["lineage"]["teacher"] == "tiny-bert"


@pytest.mark.thorough
def test_an_import_can_be_trained_further_and_saved(encoder: Encoder, tmp_path: Path) -> None:
    from dataclasses import replace

    parts = load(encoder.path)
    tower = trainable(parts.tower)
    assert token_vectors(tower).shape == (parts.tokenizer.get_vocab_size() + 1, encoder.dim)
    ids = np.array([[5, 6, 7], [8, 9, 0]], dtype=np.int32)
    tower.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", run_eagerly=True)
    tower.fit(ids, np.roll(keras.ops.convert_to_numpy(tower(ids)), 1, axis=0), epochs=3, verbose=0)
    again = save(replace(parts, tower=compact(tower)), tmp_path / "again", name="again", lineage=Lineage(seed=0))
    assert 0.2 < (again.encode(TEXTS) * encoder.encode(TEXTS)).sum(axis=1).mean() < 0.99999


def test_int8_is_smaller_and_its_loss_is_told_and_kept(original: Path, encoder: Encoder, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["encoder", "import", str(original), "--out", str(tmp_path / "small"), "--int8"])
    small = Encoder.load(tmp_path / "small")
    manifest = json.loads((small.path / "manifest.json").read_text(encoding="utf-8"))
    metrics = manifest["lineage"]["metrics"]
    assert manifest["precision"] == "int8"
    assert 0.9 < metrics["int8_cosine_min"] <= metrics["int8_cosine_mean"] < 1
    assert f"cosine {metrics['int8_cosine_mean']:.4f} on average" in result.stdout
    assert 0.9 < (small.encode(TEXTS) * encoder.encode(TEXTS)).sum(axis=1).min() < 1


def test_an_int8_encoder_stays_one_when_it_is_saved_again(original: Path, tmp_path: Path) -> None:
    small = import_encoder(original, tmp_path / "small", Wishes(int8=True))
    again = save(load(small.path), tmp_path / "again", name="again", lineage=Lineage(seed=0))
    assert again.fingerprint == small.fingerprint


def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"its config\.json cannot be read"):
        import_encoder(tmp_path, tmp_path / "made")


@pytest.mark.parametrize(
    "pooling",
    [{"pooling_mode": "weightedmean"}, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}],
    ids=str,
)
def test_a_pooling_that_cannot_be_reproduced_is_refused(
    original: Path, tmp_path: Path, pooling: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="with exactly one of the poolings mean, cls, max and lasttoken"):
        import_encoder(copied(original, tmp_path / "other", pooling), tmp_path / "made")


def test_a_model_with_another_module_is_refused(original: Path, tmp_path: Path) -> None:
    path = shutil.copytree(original, tmp_path / "dense")
    write_json(
        path / "modules.json",
        [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.LSTM"}],
    )
    with pytest.raises(TrainingError, match=r"modules.json has 'LSTM'"):
        import_encoder(path, tmp_path / "made")


PROMPTS = {"prompts": {"query": "query: ", "document": "", "passage": "passage: "}, "default_prompt_name": None}


def prompted(original: Path, target: Path, settings: dict[str, Any]) -> Path:
    path = shutil.copytree(original, target)
    write_json(path / "config_sentence_transformers.json", settings)
    return path


@pytest.mark.parametrize(
    ("settings", "query", "document"),
    [
        (PROMPTS, "query: ", "passage: "),
        pytest.param(*({"prompts": {"query": "ask ", "corpus": "told "}}, "ask ", "told "), marks=pytest.mark.thorough),
        ({"prompts": {"usual": "read: "}, "default_prompt_name": "usual"}, "read: ", "read: "),
        pytest.param(
            *({"prompts": {"query": "ask "}, "default_prompt_name": None}, "ask ", ""), marks=pytest.mark.thorough
        ),
    ],
    ids=str,
)
def test_prompts_of_the_original_are_kept_as_prefixes(
    original: Path, tmp_path: Path, settings: dict[str, Any], query: str, document: str
) -> None:
    made = import_encoder(prompted(original, tmp_path / "prompted", settings), tmp_path / "made")
    assert (made.query_prefix, made.document_prefix) == (query, document)


def test_wishes_take_the_place_of_what_the_original_says(original: Path, tmp_path: Path) -> None:
    path = prompted(original, tmp_path / "prompted", PROMPTS)
    none = import_encoder(path, tmp_path / "none", Wishes(convention="none"))
    own = import_encoder(path, tmp_path / "own", Wishes(convention="e5", query_prefix="why "))
    assert (none.query_prefix, none.document_prefix) == ("", "")
    assert (own.query_prefix, own.document_prefix) == ("why ", "passage: ")


def test_prefixes_are_part_of_the_fingerprint_but_none_changes_nothing(
    encoder: Encoder, original: Path, tmp_path: Path
) -> None:
    same = import_encoder(original, tmp_path / "same", Wishes(query_prefix="", document_prefix=""))
    other = import_encoder(original, tmp_path / "other", Wishes(query_prefix="query: "))
    assert same.fingerprint == encoder.fingerprint != other.fingerprint


def test_a_prefix_that_leaves_no_room_is_refused(original: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected prefixes that leave room for a text in the 12 tokens"):
        import_encoder(original, tmp_path / "made", Wishes(document_prefix="soup " * 11))


def test_prompts_that_the_mean_leaves_out_are_refused(original: Path, tmp_path: Path) -> None:
    path = prompted(original, tmp_path / "prompted", PROMPTS)
    write_json(path / "modules.json", [{"type": "x.Transformer"}, {"type": "x.Pooling", "path": "1_Pooling"}])
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode": "mean", "include_prompt": False})
    with pytest.raises(TrainingError, match="whose mean includes the prompt"):
        import_encoder(path, tmp_path / "made")


def test_leading_components_can_be_kept_alone(encoder: Encoder, original: Path, tmp_path: Path) -> None:
    made = import_encoder(original, tmp_path / "made", Wishes(dim=4))
    kept = encoder.encode(TEXTS)[:, :4]
    assert (made.dim, load(made.path).preprocessing.components) == (4, 4)
    assert made.encode(TEXTS) == pytest.approx(kept / np.linalg.norm(kept, axis=1, keepdims=True), abs=1e-5)


def test_more_components_than_there_are_cannot_be_kept(original: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected from 1 to 16 components"):
        import_encoder(original, tmp_path / "made", Wishes(dim=17))


@pytest.mark.parametrize(
    ("name", "convention"),
    [("multilingual-e5-small", "e5"), ("bge-small-en-v1.5", "bge"), ("bge-base-zh", "bge-zh"), ("gte-small", None)],
)
def test_names_hint_at_conventions(name: str, convention: str | None) -> None:
    assert suspected(name) == convention


def test_the_command_tells_what_stands_before_texts(original: Path, tmp_path: Path) -> None:
    path, out = shutil.copytree(original, tmp_path / "tiny-e5"), str(tmp_path / "made")
    unsure = CliRunner().invoke(main, ["encoder", "import", str(path), "--out", out])
    assert "import it with --prefixes e5" in unsure.stderr
    sure = CliRunner().invoke(main, ["encoder", "import", str(path), "--out", out, "--prefixes", "e5"])
    assert ("--prefixes" in sure.stderr, sure.stdout.splitlines()[1:]) == (
        False,
        ["questions    begin with 'query: '", "passages     begin with 'passage: '"],
    )


def test_a_place_with_something_else_is_refused(original: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(EncoderError, match="there is something else"):
        import_encoder(original, tmp_path)


def test_a_model_that_reads_no_more_than_what_stands_around_a_text_is_refused(tmp_path: Path) -> None:
    path = write_teacher(tmp_path / "original")
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 2})
    with pytest.raises(TrainingError, match="more than the 2 tokens around each text; it reads 2"):
        import_encoder(path, tmp_path / "made")


def test_files_that_are_far_too_large_are_not_read(tmp_path: Path) -> None:
    path = write_teacher(tmp_path / "original")
    with (path / "config.json").open("r+b") as file:
        file.truncate(50 << 30)
    with pytest.raises(TrainingError, match=r"its config\.json cannot be read \(it has more than 10,000,000 bytes\)"):
        import_encoder(path, tmp_path / "made")
    write_json(path / "modules.json", [{"type": "x.Transformer"}] * 101)
    with pytest.raises(TrainingError, match="expected at most 100 modules"):
        ModelDirectory.open(path)


@pytest.mark.parametrize(
    ("shape", "kind", "size", "message"),
    [
        ([10**12, 0], "F32", 0, r"from 1 to 500 million numbers .*; it has the shape \(1000000000000, 0\)"),
        ([10**9, 2], "I8", 2 * 10**9, r"from 1 to 500 million numbers .*; it has the shape \(1000000000, 2\)"),
        ([10**7, 1], "I8", 10**7, "expected about as many vectors as tokens; there are 10,000,000 vectors"),
    ],
)
def test_tables_that_claim_far_too_many_rows_are_refused(
    tmp_path: Path, shape: list[int], kind: str, size: int, message: str
) -> None:
    tmp_path.joinpath("original").mkdir()
    write_modules(tmp_path / "original", {"": "StaticEmbedding"})
    pieces().save(str(tmp_path / "original" / "tokenizer.json"))
    head = json.dumps({"embedding.weight": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()
    with (tmp_path / "original" / "model.safetensors").open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + size)  # a sparse file takes no room
    with pytest.raises(TrainingError, match=message):
        import_encoder(tmp_path / "original", tmp_path / "made")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_settings_that_may_have_no_end_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(TrainingError, match=r"its config\.json cannot be read \(it is no regular file\)"):
        ModelDirectory.open(tmp_path).config()
