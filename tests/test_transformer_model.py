"""Transformers of several families, imported with their weights and compared with NumPy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tiny_bert import write_json
from tiny_models import FAMILIES, FULLWIDTH_A, Family, states, write_model, write_modules

keras = pytest.importorskip("keras")

from docsim.encoding.encoder import Encoder  # noqa: E402
from docsim.errors import TrainingError  # noqa: E402
from docsim.training.imports.importing import import_encoder  # noqa: E402
from docsim.training.towers.kinds import trainable  # noqa: E402
from docsim.training.towers.saving import Lineage, load, save  # noqa: E402

pytestmark = pytest.mark.training

TEXTS = [
    "",
    "soup",
    "boil the lentils until soft",
    "How do we rotate the signing keys?",
    "x1 \u4e2d\u6587 caf\u00e9",
    "</s> <s>",
]
POOLED = {
    "mean": lambda rows: rows.mean(axis=0),
    "cls": lambda rows: rows[0],
    "max": lambda rows: rows.max(axis=0),
    "lasttoken": lambda rows: rows[-1],
    "mean_sqrt_len_tokens": lambda rows: rows.mean(axis=0),
}
BY_NAME = {family.name: family for family in FAMILIES}


def unit(row: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(row / np.linalg.norm(row))


def expected(path: Path, family: Family, text: str, pooling: str = "mean") -> NDArray[np.float32]:
    return unit(POOLED[pooling](states(path, family, text)))


ALIKE = ("camembert", "electra")  # computed as roberta and bert are
PARAMETERS = [
    pytest.param(family, id=family.name, marks=[pytest.mark.thorough] if family.name in ALIKE else [])
    for family in FAMILIES
]


@pytest.fixture(scope="module", params=PARAMETERS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Family, Encoder]:
    folder = tmp_path_factory.mktemp("families")
    path = write_model(folder / "original", request.param)
    return path, request.param, import_encoder(path, folder / "made")


def test_every_family_computes_what_numpy_does(imported: tuple[Path, Family, Encoder]) -> None:
    path, family, encoder = imported
    wanted = np.stack([expected(path, family, text) for text in TEXTS])
    assert encoder.encode(TEXTS) == pytest.approx(wanted, abs=1e-4)


def test_texts_are_cut_where_the_original_cuts_them(imported: tuple[Path, Family, Encoder]) -> None:
    _, _, encoder = imported
    long = "the soup of the day " * 3
    assert encoder.max_tokens == 12
    assert encoder.encode([long + "cat"]) == pytest.approx(encoder.encode([long + "dog"]), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("roberta", "cls"), ("mpnet", "max"), ("distilbert", "lasttoken"), ("xlm-roberta", "mean_sqrt_len_tokens")],
)
def test_every_pooling_is_that_of_the_original(tmp_path: Path, name: str, pooling: str) -> None:
    family = BY_NAME[name]
    path = write_model(tmp_path / "original", family, pooling=pooling)
    wanted = np.stack([expected(path, family, text, pooling) for text in TEXTS])
    assert import_encoder(path, tmp_path / "made").encode(TEXTS) == pytest.approx(wanted, abs=1e-4)


def test_a_precompiled_map_is_kept(tmp_path: Path) -> None:
    encoder = import_encoder(write_model(tmp_path / "original", BY_NAME["xlm-roberta"]), tmp_path / "made")
    assert encoder.encode([FULLWIDTH_A]) == pytest.approx(encoder.encode(["A"]), abs=1e-6)
    assert np.abs(encoder.encode(["A"]) - encoder.encode(["B"])).max() > 0.01


def with_dense(path: Path, activation: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Add a linear layer to 6 components to a model; return its kernel and bias."""
    random = np.random.default_rng(1)
    kernel, bias = random.normal(size=(6, 16)).astype(np.float32), random.normal(size=6).astype(np.float32)
    (path / "2_Dense").mkdir()
    save_file({"linear.weight": kernel, "linear.bias": bias}, path / "2_Dense" / "model.safetensors")
    settings = {"in_features": 16, "out_features": 6, "bias": True, "activation_function": activation}
    write_json(path / "2_Dense" / "config.json", settings)
    write_modules(path, {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"})
    return kernel, bias


@pytest.mark.parametrize("activation", ["torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"])
def test_a_linear_layer_after_pooling_is_applied(tmp_path: Path, activation: str) -> None:
    family = BY_NAME["distilbert"]
    path = write_model(tmp_path / "original", family)
    kernel, bias = with_dense(path, activation)
    row = states(path, family, TEXTS[2]).mean(axis=0) @ kernel.T + bias
    encoder = import_encoder(path, tmp_path / "made")
    assert encoder.dim == 6
    assert encoder.encode([TEXTS[2]])[0] == pytest.approx(unit(np.tanh(row) if "Tanh" in activation else row), abs=1e-4)


def test_texts_are_put_in_lower_case_where_the_original_does(tmp_path: Path) -> None:
    family = BY_NAME["roberta"]
    path = write_model(tmp_path / "original", family)
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True})
    encoder = import_encoder(path, tmp_path / "made")
    assert encoder.encode(["THE SOUP"])[0] == pytest.approx(expected(path, family, "the soup"), abs=1e-4)


def test_half_precision_weights_are_read(tmp_path: Path) -> None:
    family = BY_NAME["bert"]
    path = write_model(tmp_path / "original", family)
    halves = {name: rows.astype(np.float16) for name, rows in load_file(path / "model.safetensors").items()}
    save_file(halves, path / "model.safetensors")
    assert import_encoder(path, tmp_path / "made").encode([TEXTS[2]])[0] == pytest.approx(
        expected(path, family, TEXTS[2]), abs=1e-4
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["roberta", "mpnet"])
def test_an_import_can_be_trained_and_saved(tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    encoder = import_encoder(write_model(tmp_path / "original", BY_NAME[name]), tmp_path / "made")
    parts = load(encoder.path)
    tower = trainable(parts.tower)
    ids = np.array([[5, 6, 7], [8, 9, 0]], dtype=np.int32)
    before = [np.array(one) for one in tower.get_weights()]
    tower.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", run_eagerly=True)
    tower.fit(ids, np.roll(keras.ops.convert_to_numpy(tower(ids)), 1, axis=0), epochs=2, verbose=0)
    moved = [bool(np.abs(a - b).max() > 0) for a, b in zip(before, tower.get_weights(), strict=True)]
    assert sum(moved) > len(moved) - 6  # biases of keys cannot matter, and row 0 is padding
    again = save(replace(parts, tower=tower), tmp_path / "again", name="again", lineage=Lineage(seed=0))
    assert 0.2 < (again.encode(TEXTS) * encoder.encode(TEXTS)).sum(axis=1).mean() < 0.99999


def test_int8_of_a_model_with_biases_by_distance_keeps_them(tmp_path: Path) -> None:
    from docsim.training.imports.importing import Wishes

    path = write_model(tmp_path / "original", BY_NAME["mpnet"])
    small = import_encoder(path, tmp_path / "small", Wishes(int8=True))
    metrics = json.loads((small.path / "manifest.json").read_text(encoding="utf-8"))["lineage"]["metrics"]
    assert 0.97 < metrics["int8_cosine_min"] <= metrics["int8_cosine_mean"] < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "t5"}, "is 't5' without such an export"),
        ({"hidden_act": "silu"}, "config.json has 'silu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'absolute'"),
        ({"is_decoder": True}, "is_decoder False"),
        ({"num_attention_heads": 3}, "expected heads that divide the width 16"),
        ({"num_hidden_layers": "two"}, "expected num_hidden_layers of at least 1"),
        ({"model_type": ["bert"]}, r"is \['bert'\] without such an export"),
        ({"hidden_act": ["gelu"]}, r"config.json has \['gelu'\]"),
        ({"layer_norm_eps": []}, r"layer_norm_eps from 0 to 1 .*; got \[\]"),
        ({"layer_norm_eps": 1e308}, r"layer_norm_eps from 0 to 1 .*; got 1e\+308"),
        ({"num_hidden_layers": 3}, r"expected a tensor encoder\.layer\.2\.intermediate\.dense\.weight"),
    ],
    ids=str,
)
def test_what_cannot_be_reproduced_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    path = write_model(tmp_path / "original", BY_NAME["bert"], **settings)
    with pytest.raises(TrainingError, match=message):
        import_encoder(path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_weights_that_could_run_code_are_not_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "original", BY_NAME["bert"])
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(TrainingError, match="reads no format of weights that can run code"):
        import_encoder(path, tmp_path / "made")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "original", BY_NAME["bert"])
    (path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(TrainingError, match="they are damaged"):
        import_encoder(path, tmp_path / "made")


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "original", BY_NAME["electra"])
    stored = load_file(path / "model.safetensors")
    stored["embeddings.LayerNorm.bias"][3] = np.nan
    save_file(stored, path / "model.safetensors")
    with pytest.raises(TrainingError, match=r"expected finite numbers in the tensor embeddings\.LayerNorm\.bias"):
        import_encoder(path, tmp_path / "made")


def test_modules_outside_the_directory_are_not_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "original", BY_NAME["bert"])
    shutil.move(path / "1_Pooling", tmp_path / "1_Pooling")
    write_modules(path, {"": "Transformer", "../1_Pooling": "Pooling"})
    with pytest.raises(TrainingError, match="expected modules inside the model's directory"):
        import_encoder(path, tmp_path / "made")
