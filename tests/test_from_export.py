"""Towers read back from their export, for encoders without ``tower.keras``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import write_teacher

keras = pytest.importorskip("keras")

from docsim.encoding.encoder import KERAS_FILE, ONNX_FILE, Encoder  # noqa: E402
from docsim.errors import EncoderError  # noqa: E402
from docsim.training.imports.importing import Wishes, import_encoder  # noqa: E402
from docsim.training.towers.from_export import tower_of_export  # noqa: E402
from docsim.training.towers.kinds import build_tower, compact  # noqa: E402
from docsim.training.towers.saving import Lineage, load, save  # noqa: E402

pytestmark = pytest.mark.training

IDS = np.array([[3, 5, 2, 7, 0, 0], [4, 4, 8, 6, 9, 2]], np.int32)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(tmp_path_factory.mktemp("originals") / "tiny-bert")


@pytest.mark.parametrize("int8", [False, True])
def test_a_transformer_computes_the_same_as_before_it_was_exported(original: Path, tmp_path: Path, int8: bool) -> None:
    made = import_encoder(original, tmp_path / "made", Wishes(int8=int8))
    again = tower_of_export(made.path / ONNX_FILE, kind="transformer")
    before = load(made.path).tower
    allowed = 0.02 if int8 else 1e-5
    assert np.asarray(again(IDS)) == pytest.approx(np.asarray(before(IDS)), abs=allowed)


@pytest.mark.thorough
def test_int8_weights_stay_as_they_were_rounded(original: Path, tmp_path: Path) -> None:
    made = import_encoder(original, tmp_path / "made", Wishes(int8=True))
    parts = load(made.path)
    once = replace(parts, tower=compact(tower_of_export(made.path / ONNX_FILE, kind="transformer")))
    first = save(once, tmp_path / "first", name="first", lineage=Lineage(seed=0), with_tower=False)
    twice = replace(once, tower=compact(tower_of_export(first.path / ONNX_FILE, kind="transformer")))
    second = save(twice, tmp_path / "second", name="second", lineage=Lineage(seed=0), with_tower=False)
    texts = ["boil the lentils", "soup"]
    assert second.encode(texts) == pytest.approx(first.encode(texts), abs=1e-5)


def test_an_encoder_without_its_tower_can_be_trained_on(original: Path, tmp_path: Path) -> None:
    parts = load(import_encoder(original, tmp_path / "made").path)
    made = save(
        replace(parts, tower=compact(parts.tower)),
        tmp_path / "small",
        name="small",
        lineage=Lineage(seed=0),
        with_tower=False,
    )
    assert not (made.path / KERAS_FILE).exists()
    again = load(made.path)
    assert np.asarray(again.tower(IDS)) == pytest.approx(np.asarray(parts.tower(IDS)), abs=0.01)
    assert again.tower.trainable_variables


def test_the_fast_encoder_is_read_back_exactly() -> None:
    fast = Encoder.default()
    parts = load(fast.path)
    text = "who answers the phone at night"
    ids = np.array([parts.tokenizer.encode(text, add_special_tokens=False).ids], np.int32)
    assert np.asarray(parts.tower(ids)) == pytest.approx(fast.encode([text]), abs=1e-6)


def test_a_tower_of_another_kind_needs_its_own_file(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="of the kind lstm without it"):
        tower_of_export(Encoder.default().path / ONNX_FILE, kind="lstm")


def test_an_export_of_another_shape_is_refused_in_a_sentence(tmp_path: Path) -> None:
    parts = load(Encoder.default().path)
    vectors = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    other = replace(parts, tower=build_tower("transformer", vectors), kind="transformer", max_tokens=12)
    from docsim.training.towers.export import onnx_bytes

    file = tmp_path / ONNX_FILE
    file.write_bytes(onnx_bytes(other.tower))
    with pytest.raises(EncoderError, match="its graph has another shape"):
        tower_of_export(file, kind="transformer")
