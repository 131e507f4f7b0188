"""Models that come with their own ONNX export: they are used as they are, and cannot be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from tiny_bert import teacher_tokenizer, write_json
from tiny_models import FAMILIES, write_model, write_modules

keras = pytest.importorskip("keras")

import onnx  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from tiny_graph import WIDTH, states, write_graph  # noqa: E402

from docsim.cli import main  # noqa: E402
from docsim.encoding.encoder import Encoder  # noqa: E402
from docsim.errors import EncoderError, TrainingError  # noqa: E402
from docsim.training.imports.importing import Wishes, import_encoder  # noqa: E402
from docsim.training.towers.saving import load  # noqa: E402

pytestmark = pytest.mark.training

TEXTS = ["", "soup", "boil the lentils until soft", "soup [PAD] cat", "How do we rotate the signing keys of it?"]
POOLED = {
    "mean": lambda rows: rows.mean(axis=0),
    "cls": lambda rows: rows[0],
    "max": lambda rows: rows.max(axis=0),
    "lasttoken": lambda rows: rows[-1],
}


def write(path: Path, *, pooling: str = "mean", place: str = "onnx/model.onnx", **graph: Any) -> Path:
    path.mkdir()
    write_json(path / "config.json", {"model_type": "unheard-of", "max_position_embeddings": 40})
    write_modules(path, {"": "Transformer", "1_Pooling": "Pooling"})
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    teacher_tokenizer().save(str(path / "tokenizer.json"))
    write_graph(path / place, **graph)
    return path


def expected(text: str, pooling: str = "mean") -> NDArray[np.float32]:
    row = POOLED[pooling](states(teacher_tokenizer().encode(text).ids))
    return np.asarray(row / np.linalg.norm(row))


@pytest.mark.parametrize(
    ("pooling", "version"), [("mean", 11), ("max", 11), ("max", 18), ("cls", 18), ("lasttoken", 18)]
)
def test_a_graph_is_pooled_as_the_directory_says(tmp_path: Path, pooling: str, version: int) -> None:
    encoder = import_encoder(write(tmp_path / "m", pooling=pooling, version=version), tmp_path / "made")
    wanted = np.stack([expected(text, pooling) for text in TEXTS])
    assert encoder.encode(TEXTS) == pytest.approx(wanted, abs=1e-5)
    assert (encoder.manifest["kind"], encoder.dim, encoder.max_tokens) == ("onnx", WIDTH, 40)


def test_a_graph_that_pools_itself_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "m", pooling="cls", place="model.onnx", output="sentence_embedding")
    encoder = import_encoder(path, tmp_path / "made")
    assert encoder.encode(TEXTS) == pytest.approx(np.stack([expected(text) for text in TEXTS]), abs=1e-5)


def test_a_graph_may_do_without_segments_and_have_short_integers(tmp_path: Path) -> None:
    path = write(tmp_path / "m", inputs=("input_ids", "attention_mask"), kind=TensorProto.INT32)
    assert import_encoder(path, tmp_path / "made").encode([TEXTS[2]])[0] == pytest.approx(expected(TEXTS[2]), abs=1e-5)


def test_the_same_graph_gives_the_same_encoder(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    made = [import_encoder(path, tmp_path / name) for name in ("a", "b")]
    assert made[0].fingerprint == made[1].fingerprint


def test_weights_that_can_be_read_are_preferred_to_an_export_unless_it_is_wished_for(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", FAMILIES[0])
    write_graph(path / "onnx" / "model.onnx")
    kinds = [
        import_encoder(path, tmp_path / "made", wishes).manifest["kind"] for wishes in (Wishes(), Wishes(graph=True))
    ]
    assert kinds == ["transformer", "onnx"]


def test_it_cannot_be_trained_and_says_so(tmp_path: Path) -> None:
    encoder = import_encoder(write(tmp_path / "m"), tmp_path / "made")
    with pytest.raises(EncoderError, match=r"expected an encoder that can be trained; the one at .* ONNX export"):
        load(encoder.path)


def test_training_on_it_ends_in_one_sentence(tmp_path: Path) -> None:
    import_encoder(write(tmp_path / "m"), tmp_path / "made")
    documents = tmp_path / "docs"
    documents.mkdir()
    for number in range(30):
        (documents / f"{number}.md").write_text(
            f"# Page {number}\n\nsoup cat dog house {number}\n" * 9, encoding="utf-8"
        )
    arguments = ["--corpus", str(documents), "--from", str(tmp_path / "made"), "--out", str(tmp_path / "trained")]
    result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == 1
    assert "expected an encoder that can be trained" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_says_that_it_cannot_be_trained(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    result = CliRunner().invoke(main, ["encoder", "import", str(path), "--out", str(tmp_path / "made")])
    shown = CliRunner().invoke(main, ["encoder", "show", str(tmp_path / "made")])
    assert "it can be used as it is, but not trained" in result.stdout
    assert "which cannot be trained" in shown.stdout


def test_int8_of_a_graph_is_measured(tmp_path: Path) -> None:
    encoder = import_encoder(write(tmp_path / "m"), tmp_path / "made", Wishes(int8=True, dim=4))
    metrics = encoder.manifest["lineage"]["metrics"]
    assert (encoder.manifest["precision"], encoder.dim) == ("int8", 4)
    assert 0.9 < metrics["int8_cosine_min"] <= metrics["int8_cosine_mean"] <= 1.0001


def changed(path: Path, change: Any) -> Path:
    file = path / "onnx" / "model.onnx"
    model = onnx.load(str(file))
    change(model)
    file.write_bytes(model.SerializeToString())
    return path


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def looping(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["vectors"], ["x"])], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["yes"], ["y"], then_branch=body, else_branch=body))


def endless(model: onnx.ModelProto) -> None:
    model.graph.node.extend(helper.make_node("Identity", ["vectors"], [f"v{n}"]) for n in range(20_001))


def calling(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (outside, "keeps data in other files"),
        (looping, "has loops or branches"),
        (endless, "has more than 20,000 operators"),
        (calling, "has functions"),
        (lambda model: model.graph.input.pop(0), "with the inputs input_ids, attention_mask, token_type_ids"),
        (lambda model: model.opset_import[0].__setattr__("version", 9), "expected a graph of ONNX version 11"),
        (lambda model: model.graph.node[0].__setattr__("op_type", "Steal"), "ONNX Runtime can run"),
    ],
    ids=["external data", "branches", "operators", "functions", "inputs", "version", "operator"],
)
def test_graphs_that_docsim_does_not_run_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = changed(write(tmp_path / "m"), change)
    with pytest.raises(TrainingError, match=message):
        import_encoder(path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_graph_that_cannot_read_as_long_texts_as_it_says_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    write_graph(path / "onnx" / "model.onnx")

    def short(model: onnx.ModelProto) -> None:
        """Add a vector for each of 16 positions."""
        positions = onnx.numpy_helper.from_array(np.ones((16, WIDTH), np.float32), "positions")
        model.graph.initializer.append(positions)
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(40), "all"))
        model.graph.node[0].output[0] = "plain"
        nodes = [
            helper.make_node("Shape", ["input_ids"], ["shape"]),
            helper.make_node("Gather", ["shape", "one"], ["length"]),
            helper.make_node("Slice", ["all", "nought", "length"], ["used"]),
            helper.make_node("Gather", ["positions", "used"], ["placed"]),
            helper.make_node("Add", ["plain", "placed"], ["vectors"]),
        ]
        for name, value in (("one", [1]), ("nought", [0])):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        for node in reversed(nodes):
            model.graph.node.insert(1, node)

    with pytest.raises(EncoderError, match=r"expected the graph in .* to read texts of 40 tokens"):
        import_encoder(changed(path, short), tmp_path / "made")


def test_an_encoder_with_such_a_graph_is_not_loaded(tmp_path: Path) -> None:
    """Somebody else's encoder has digests and a fingerprint that fit."""
    import json

    from docsim.encoding.manifest import Preprocessing, fingerprint
    from docsim.training.towers.saving import _sha256

    encoder = import_encoder(write(tmp_path / "m"), tmp_path / "made")
    model = onnx.load(str(encoder.path / "tower.onnx"))
    outside(model)
    (encoder.path / "tower.onnx").write_bytes(model.SerializeToString())
    manifest = dict(encoder.manifest)
    manifest["files"] = {**manifest["files"], "tower.onnx": _sha256(encoder.path / "tower.onnx")}
    preprocessing = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(manifest["files"], preprocessing=preprocessing, max_tokens=40)
    (encoder.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(EncoderError, match="keeps data in other files"):
        Encoder.load(encoder.path)
