"""A tiny real ONNX graph as other programs export them, and what it computes, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH = 6


def table(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(rows, WIDTH)).astype(np.float32)


def states(ids: Sequence[int]) -> NDArray[np.float32]:
    """Each token's vector plus the mean of all, through tanh: ``(tokens, WIDTH)``."""
    vectors = table(200)[list(ids)]
    return np.asarray(np.tanh(vectors + vectors.mean(axis=0)), dtype=np.float32)


def write_graph(
    file: Path,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    output: str = "last_hidden_state",
    version: int = 14,
    kind: int = TensorProto.INT64,
) -> onnx.ModelProto:
    """Write a graph whose tokens attend to each other, so that padding must be masked."""
    constants = [
        numpy_helper.from_array(table(200), "table"),
        numpy_helper.from_array(np.array([0, -1, 1], np.int64), "column"),
        numpy_helper.from_array(np.array([0, 1, -1], np.int64), "line"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["mask", "line"], ["row"]),
        helper.make_node("Reshape", ["mask", "column"], ["down"]),
        helper.make_node("MatMul", ["row", "vectors"], ["sum"]),
        helper.make_node("MatMul", ["row", "down"], ["count"]),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["vectors", "mean"], ["mixed"]),
        helper.make_node("Tanh", ["mixed"], ["states"]),
    ]
    if output == "sentence_embedding":
        nodes += [
            helper.make_node("MatMul", ["row", "states"], ["total"]),
            helper.make_node("Reshape", ["total", "flat"], [output]),
        ]
        constants.append(numpy_helper.from_array(np.array([0, -1], np.int64), "flat"))
    else:
        nodes[-1].output[0] = output
    shape = ["texts", WIDTH] if output == "sentence_embedding" else ["texts", "tokens", WIDTH]
    given = [helper.make_tensor_value_info(name, kind, ["texts", "tokens"]) for name in inputs]
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "tiny", given, [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())
    return model
