"""Encoders made of another one's files: the same but for one thing, without training anything."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from docsim.encoding.encoder import Preprocessing, fingerprint

__all__ = ["reading_fewer_tokens", "variant", "with_nan", "with_other_dim"]


def reading_fewer_tokens(source: Path, target: Path, max_tokens: int = 16) -> Path:
    """An encoder that differs from ``source`` for long texts alone, and by its fingerprint."""
    return variant(source, target, lambda model: None, max_tokens=max_tokens)


def with_nan(source: Path, target: Path, token: int = -1) -> Path:
    """An encoder that gives NaN for texts with a token; -1 is the vocabulary's last."""

    def change(model: Any) -> None:
        floats = [one for one in model.graph.initializer if one.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)]
        table = max(floats, key=lambda one: len(one.raw_data))
        rows = numpy_helper.to_array(table).copy()
        rows[token] = np.nan
        table.CopyFrom(numpy_helper.from_array(rows, table.name))

    return variant(source, target, change)


def with_other_dim(source: Path, target: Path, dim: int) -> Path:
    """An encoder that keeps the first components only."""

    def change(model: Any) -> None:
        graph = model.graph
        output = graph.output[0]
        whole = f"{output.name}_whole"
        for node in graph.node:
            node.output[:] = [whole if name == output.name else name for name in node.output]
        for name, value in (("starts", 0), ("ends", dim), ("axes", 1)):
            graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), f"{name}_of_slice"))
        names = [whole, "starts_of_slice", "ends_of_slice", "axes_of_slice"]
        graph.node.append(helper.make_node("Slice", names, ["sliced"]))
        graph.node.append(helper.make_node("LpNormalization", ["sliced"], [output.name], axis=1, p=2))
        shape = [output.type.tensor_type.shape.dim[0].dim_param or "texts", dim]
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))

    return variant(source, target, change, dim=dim)


def variant(source: Path, target: Path, change: Callable[[Any], None], **settings: int) -> Path:
    """Write a copy of an encoder with a changed export and settings, whose fingerprint fits."""
    shutil.copytree(source, target)
    model = onnx.load(target / "tower.onnx")
    change(model)
    onnx.save(model, target / "tower.onnx")
    manifest = json.loads((target / "manifest.json").read_text()) | settings | {"name": target.name}
    content = {name: (target / name).read_bytes() for name in ("tower.onnx", "tokenizer.json")}
    manifest["files"] |= {name: hashlib.sha256(one).hexdigest() for name, one in content.items()}
    manifest["fingerprint"] = fingerprint(
        manifest["files"],
        preprocessing=Preprocessing(**manifest["preprocessing"]),
        max_tokens=manifest["max_tokens"],
    )
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target
