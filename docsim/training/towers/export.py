"""Export: a Keras tower as ONNX bytes that depend on nothing but what the tower computes.

Keras and tf2onnx name nodes and tensors with counters that grow while a process runs, and order them by those names.
Here they are put in the order in which the output needs them and named by that order, so that the same tower gives the
same bytes, and an encoder the same fingerprint, wherever it was saved.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnx

from docsim.training.towers.fused import fused_model, is_fusible

__all__ = ["INPUT", "OUTPUT", "onnx_bytes", "quantised"]

_CORRECTION = {"Add", "Cast", "Less", "Mul", "Not", "Where"}

_ADVICE = ("Please consider to run pre-processing", "Failed to infer data type")

INPUT = "ids"
OUTPUT = "embeddings"


def onnx_bytes(tower: keras.Model) -> bytes:
    """Return ``tower``, from ids ``(texts, tokens)`` int32 to rows ``(texts, dim)`` float32, as an ONNX model.

    Its input is called ``ids``, its output ``embeddings``; texts and tokens are of any number.
    """
    model = fused_model(tower) if is_fusible(tower) else _by_keras(tower)
    _rename(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def quantised(content: bytes) -> bytes:
    """Return an ONNX model whose matrix products and attention compute with int8, weights quantised per column.

    Activations are quantised as they come, each tensor by its range ("dynamic quantisation",
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    from docsim.runtime import quantization

    with TemporaryDirectory() as directory, _without_advice():
        file = Path(directory) / "quantised.onnx"
        quantization().quantize_dynamic(
            onnx.load_from_string(content),
            file,
            op_types_to_quantize=["MatMul", "Attention"],
            per_channel=True,
            weight_type=quantization().QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # of what fused operators give
        )
        model = onnx.load(str(file))
    _rename(model)
    return bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep quantisation from advising, through the root logger, a preparation that fused operators do not need."""
    root = logging.getLogger()

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ADVICE)

    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def _by_keras(tower: keras.Model) -> onnx.ModelProto:
    """Return what Keras itself exports."""
    tower(np.ones((1, 1), dtype=np.int32))  # Keras exports only a model that was once called
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # from Keras' own code
        file = Path(directory) / "tower.onnx"
        tower.export(str(file), format="onnx", verbose=False)
        model = onnx.load(str(file))
    _take_ids_as_they_are(model.graph)
    return model


def _take_ids_as_they_are(graph: onnx.GraphProto) -> None:
    """Let look-ups read the ids themselves instead of what ``keras.ops.take`` makes of negative ones.

    Counting negative ids from the end takes ten operators a look-up, longer than all else for a short text, and there
    are none. Should a tower do something else of this form with its ids, the comparison with Keras tells.
    """
    makers = {name: node for node in graph.node for name in node.output}
    constants = {constant.name for constant in graph.initializer}
    ids = graph.input[0].name

    def only_corrects(name: str) -> bool:
        if name == ids or name in constants:
            return True
        return name in makers and makers[name].op_type in _CORRECTION and all(map(only_corrects, makers[name].input))

    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in constants and only_corrects(node.input[1]):
            node.input[1] = ids


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
    used = {name for node in graph.node for name in _needs(node)}
    constants = sorted((one for one in graph.initializer if one.name in used), key=lambda constant: constant.name)
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
