"""Graphs from anybody: what docsim refuses to run, told from the bytes of the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.encoding import onnx_check
from docsim.encoding.encoder import Encoder
from docsim.encoding.manifest import Preprocessing, fingerprint
from docsim.errors import EncoderError


def field(number: int, content: bytes | int) -> bytes:
    """One field of a protobuf message: an integer, or a length and bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


NODE = field(4, b"Identity")
EXTERNAL = field(14, 1)


def model(*parts: bytes) -> bytes:
    return field(1, 8) + field(7, b"".join(parts))


def nested(depth: int) -> bytes:
    """Graphs inside graphs, each in an attribute of an operator."""
    graph = field(1, NODE)
    for _ in range(depth):
        graph = field(1, NODE + field(5, field(6, graph)))
    return field(7, graph)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (model(field(5, EXTERNAL)), "keeps data in other files"),
        (model(field(5, field(13, field(1, b"location")))), "keeps data in other files"),
        (model(field(15, field(1, EXTERNAL))), "keeps data in other files"),
        (model(field(1, NODE + field(5, field(5, EXTERNAL)))), "keeps data in other files"),
        (model(field(1, NODE + field(5, field(10, EXTERNAL)))), "keeps data in other files"),
        (model(field(1, NODE + field(5, field(22, field(2, EXTERNAL))))), "keeps data in other files"),
        (model(field(1, NODE + field(5, field(6, b"")))), "has loops or branches"),
        (model(field(1, NODE + field(5, field(11, b"")))), "has loops or branches"),
        (model(field(1, NODE)) + field(25, b""), "has functions or training steps of its own"),
        (model(field(1, NODE)) + field(20, b""), "has functions or training steps of its own"),
        (model(field(1, NODE) * 12_000) + model(field(1, NODE) * 12_000), "has more than 20,000 operators"),
        (model(field(5, b"") * 12_000) + model(field(5, b"") * 12_000), "has more than 20,000 constants"),
        (model(field(13, b"") * 200_000), "has more than 200,000 parts"),
        (model(field(13, field(2, field(1, field(2, field(1, b"") * 200_000))))), "has more than 200,000 parts"),
        (model(field(1, field(1, b"x") * 200_000)), "has more than 200,000 parts"),
        (model(field(1, NODE + field(5, b"") * 200_000)), "has more than 200,000 parts"),
        (model(field(1, NODE)) + field(8, b"") * 200_000, "has more than 200,000 parts"),
        (model(field(1, NODE))[:-3], "is damaged"),
        (b"\xff" * 40, "is damaged"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_a_graph_must_not_be_made_of(content: bytes, reason: str) -> None:
    assert onnx_check.problem(content) == reason


def test_an_ordinary_graph_passes() -> None:
    content = model(field(1, NODE) * 20_000, field(5, field(9, b"x" * 100) + field(14, 0)))
    assert onnx_check.problem(content) is None


def test_loops_are_followed_where_they_are_allowed() -> None:
    assert onnx_check.problem(nested(3), loops=True) is None
    assert onnx_check.problem(nested(9), loops=True) == "has graphs inside graphs, more than 8 deep"
    inner = field(7, field(1, NODE + field(5, field(6, field(5, EXTERNAL)))))
    assert onnx_check.problem(inner, loops=True) == "keeps data in other files"


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_error(content: bytes) -> None:
    assert onnx_check.problem(content) is None or isinstance(onnx_check.problem(content), str)


def test_the_default_encoder_passes() -> None:
    assert onnx_check.problem((Encoder.default().path / "tower.onnx").read_bytes()) is None


def strangers(original: Path, path: Path, name: str, content: bytes) -> Path:
    """Write an encoder with another file in it, whose digests and fingerprint are right."""
    import hashlib

    shutil.copytree(original, path)
    (path / name).write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    preprocessing = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=preprocessing, max_tokens=manifest["max_tokens"]
    )
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


def test_an_encoder_whose_graph_reads_other_files_is_not_loaded(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    graph = (tiny_encoder_dir / "tower.onnx").read_bytes() + field(7, field(5, EXTERNAL))
    with pytest.raises(EncoderError, match=r"cannot be loaded: its tower\.onnx keeps data in other files$"):
        Encoder.load(strangers(tiny_encoder_dir, tmp_path / "theirs", "tower.onnx", graph))


def test_an_encoder_whose_map_of_characters_is_damaged_is_not_loaded(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((tiny_encoder_dir / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}
    path = strangers(tiny_encoder_dir, tmp_path / "theirs", "tokenizer.json", json.dumps(tokenizer).encode())
    with pytest.raises(
        EncoderError, match=r"its tokenizer\.json has a precompiled map of characters that is cut short$"
    ):
        Encoder.load(path)


def test_a_prefix_that_is_no_text_is_refused(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    path = shutil.copytree(tiny_encoder_dir, tmp_path / "theirs")
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["preprocessing"]["query_prefix"] = ["query: "]
    preprocessing = Preprocessing(**manifest["preprocessing"])
    manifest["fingerprint"] = fingerprint(
        manifest["files"], preprocessing=preprocessing, max_tokens=manifest["max_tokens"]
    )
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(EncoderError, match="has a query_prefix that is no text"):
        Encoder.load(path)


def test_an_encoder_that_takes_any_amount_of_memory_is_stopped(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    """A graph of some hundred bytes makes a tensor of 4 TB, as soon as it encodes a text."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    dim = Encoder.load(tiny_encoder_dir).dim
    nodes = [
        helper.make_node("ConstantOfShape", ["huge"], ["tensor"]),
        helper.make_node("ReduceSum", ["tensor"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["token_ids"], ["cast"], to=kinds.FLOAT),
        helper.make_node("Add", ["cast", "sum"], ["embeddings"]),
    ]
    given = helper.make_tensor_value_info("token_ids", kinds.INT32, ["n", "tokens"])
    gives = helper.make_tensor_value_info("embeddings", kinds.FLOAT, ["n", dim])
    huge = onnx.numpy_helper.from_array(np.array([1_000_000, 1_000_000], np.int64), "huge")
    graph = helper.make_graph(nodes, "bomb", [given], [gives], initializer=[huge])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    theirs = Encoder.load(strangers(tiny_encoder_dir, tmp_path / "theirs", "tower.onnx", model.SerializeToString()))
    with pytest.raises(EncoderError, match=r"failed to encode a text: it needs more than \d+ GB of memory"):
        theirs.encode(["soup"])
    assert len(Encoder.load(tiny_encoder_dir).encode(["soup"])) == 1
