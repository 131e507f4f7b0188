"""Export: a Keras tower as ONNX bytes that depend on nothing but what the tower computes.

Keras and tf2onnx name nodes and tensors with counters that grow while a process runs, and order them by those names.
Here they are put in the order in which the output needs them and named by that order, so that the same tower gives the
same bytes, and an encoder the same fingerprint, wherever it was saved.
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
    _reorder(graph)
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
    constants = sorted(graph.initializer, key=lambda constant: constant.name)
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _reorder(graph: onnx.GraphProto) -> None:
    """Put nodes in the order in which a walk from the graph's outputs to its inputs leaves them."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: dict[int, onnx.NodeProto] = {}
    waiting = [makers[value.name] for value in reversed(graph.output) if value.name in makers]
    while waiting:
        node = waiting[-1]
        needed = [makers[name] for name in _needs(node) if name in makers and id(makers[name]) not in ordered]
        if needed:
            waiting.extend(reversed(needed))
        else:
            ordered.setdefault(id(waiting.pop()), node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered.values()]
    del graph.node[:]
    graph.node.extend(copies)


def _needs(node: onnx.NodeProto) -> list[str]:
    """Return the names a node reads, those that its loops and branches take from outside among them."""
    inner = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    reads = [name for graph in inner for part in graph.node for name in _needs(part)]
    reads += [value.name for graph in inner for value in graph.output]
    return [*node.input, *reads]
