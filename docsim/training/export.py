"""Export: a Keras tower as ONNX bytes that depend on nothing but what the tower computes.

Keras and tf2onnx name nodes and tensors with counters that grow while a process runs. They are renamed here in order
of appearance, so that the same tower gives the same bytes, and an encoder the same fingerprint, wherever it was saved.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnx

__all__ = ["INPUT", "OUTPUT", "onnx_bytes"]

INPUT = "ids"
OUTPUT = "embeddings"


def onnx_bytes(tower: keras.Model) -> bytes:
    """Return ``tower``, from ids ``(texts, tokens)`` int32 to rows ``(texts, dim)`` float32, as an ONNX model.

    Its input is called ``ids``, its output ``embeddings``; texts and tokens are of any number.
    """
    tower(np.ones((1, 1), dtype=np.int32))  # Keras exports only a model that was once called
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # from Keras' own code
        file = Path(directory) / "tower.onnx"
        tower.export(str(file), format="onnx", verbose=False)
        model = onnx.load(str(file))
    _rename(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _rename(model: onnx.ModelProto) -> None:
    """Give the model's graph, nodes and tensors names that say nothing about the process that exported it."""
    graph = model.graph
    names = {"": "", graph.input[0].name: INPUT, graph.output[0].name: OUTPUT}
    _rename_graph(graph, names)
    for value, axes in ((graph.input[0], ("texts", "tokens")), (graph.output[0], ("texts", ""))):
        for dimension, axis in zip(value.type.tensor_type.shape.dim, axes, strict=True):
            if axis:
                dimension.dim_param = axis
    for text in ("doc_string", "producer_name", "producer_version"):
        model.ClearField(text)


def _rename_graph(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename a graph and those inside its loops and branches, which may refer to names outside them."""

    def renamed(name: str) -> str:
        return names.setdefault(name, f"t{len(names)}")

    graph.name = "tower"
    graph.ClearField("value_info")
    graph.ClearField("doc_string")
    for value in graph.input:
        value.name = renamed(value.name)
    for position, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{position}"
        node.ClearField("doc_string")
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename_graph(attribute.g, names)
    for value in (*graph.output, *graph.initializer):
        value.name = renamed(value.name)
    constants = sorted(graph.initializer, key=lambda constant: constant.name)  # tf2onnx gives them in any order
    del graph.initializer[:]
    graph.initializer.extend(constants)
