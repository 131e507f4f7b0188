"""ONNX export of Keras towers, as bytes that depend only on what the tower computes.

Keras and tf2onnx name nodes and tensors with counters that grow for as long as the process runs, and sort by those
names. Here nodes are sorted and named in the order in which the output needs them. The same tower therefore gives the
same bytes, and an encoder the same fingerprint, wherever it is saved.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import onnx

from docsim.training.towers.fused_export import fused_model, is_fusible
from docsim.training.towers.keras_private import NEGATIVE_ID_CORRECTION, export_warnings_ignored

__all__ = ["INPUT", "OUTPUT", "canonical", "halved", "onnx_bytes", "quantised"]

_ADVICE = ("Please consider to run pre-processing", "Failed to infer data type")  # of onnxruntime.quantization

INPUT = "ids"
OUTPUT = "embeddings"


def onnx_bytes(tower: keras.Model) -> bytes:
    """Return ``tower``, from ids ``(texts, tokens)`` int32 to rows ``(texts, dim)`` float32, as an ONNX model.

    Its input is called ``ids`` and its output ``embeddings``; the numbers of texts and tokens are dynamic.
    """
    model = fused_model(tower) if is_fusible(tower) else _exported_by_keras(tower)
    canonical(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def quantised(content: bytes) -> bytes:
    """Return an ONNX model whose matrix products and attention use int8, with weights of 7 bits, quantised per column.

    Positions are stored as float16. Activations are quantised at run time, each tensor by its range ("dynamic
    quantisation",
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    from docsim.runtime import quantization

    model = onnx.load_from_string(content)
    biased = any(node.op_type == "Attention" and len(node.input) > 5 for node in model.graph.node)
    with TemporaryDirectory() as directory, _advice_ignored():
        file = Path(directory) / "quantised.onnx"
        quantization().quantize_dynamic(
            model,
            file,
            # ONNX Runtime's int8 attention knows no biases by distance, and would drop them without a word.
            op_types_to_quantize=["MatMul"] if biased else ["MatMul", "Attention"],
            per_channel=True,
            reduce_range=True,  # 7 bits: with 8, sums of products overflow on processors without VNNI
            weight_type=quantization().QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # for outputs of fused operators
        )
        model = onnx.load(str(file))
    _halve(model, _tables_of_positions(model.graph))
    canonical(model)
    return bytes(model.SerializeToString(deterministic=True))


def halved(content: bytes) -> bytes:
    """Return an ONNX model that stores the weights of its matrix products and attention as float16.

    ONNX Runtime turns them into float32 once, when it loads the model, so it is as fast and half as large. A weight
    changes by at most 0.05 %.
    """
    model = onnx.load_from_string(content)
    _halve(model, {node.input[1] for node in model.graph.node if node.op_type in ("MatMul", "Attention")})
    canonical(model)
    return bytes(model.SerializeToString(deterministic=True))


def _tables_of_positions(graph: onnx.GraphProto) -> set[str]:
    """Return the names of constants whose first rows are read, as many as a text has tokens."""
    cut = {node.input[0] for node in graph.node if node.op_type == "Slice"}
    return {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT} & cut


def _halve(model: onnx.ModelProto, weights: Collection[str]) -> None:
    """Store some constants as float16, and turn them into float32 where they are read."""
    kept = [constant for constant in model.graph.initializer if constant.name not in weights]
    casts = []
    for constant in model.graph.initializer:
        if constant.name in weights:
            half = onnx.numpy_helper.to_array(constant).astype(np.float16)
            kept.append(onnx.numpy_helper.from_array(half, f"{constant.name}_half"))
            casts.append(onnx.helper.make_node("Cast", [kept[-1].name], [constant.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


@contextmanager
def _advice_ignored() -> Iterator[None]:
    """Hide ONNX Runtime's advice, in the root logger, to pre-process models; fused operators need no such step."""
    root = logging.getLogger()

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ADVICE)

    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def _exported_by_keras(tower: keras.Model) -> onnx.ModelProto:
    """Return the ONNX model that Keras itself exports."""
    tower(np.ones((1, 1), dtype=np.int32))  # Keras exports only models that have been called
    with TemporaryDirectory() as directory, export_warnings_ignored():
        file = Path(directory) / "tower.onnx"
        tower.export(str(file), format="onnx", verbose=False)
        model = onnx.load(str(file))
    _look_up_ids_directly(model.graph)
    return model


def _look_up_ids_directly(graph: onnx.GraphProto) -> None:
    """Make look-ups read the input ids directly, without Keras' handling of negative ids.

    Counting negative ids from the end takes ten operators per look-up, more than everything else for a short text, and
    ids are never negative. Should a tower use these operators on its ids for something else, the comparison with the
    Keras model in ``saving.save`` would fail.
    """
    makers = {name: node for node in graph.node for name in node.output}
    constants = {constant.name for constant in graph.initializer}
    ids = graph.input[0].name

    def is_corrected_id(name: str) -> bool:
        if name == ids or name in constants:
            return True
        return (
            name in makers
            and makers[name].op_type in NEGATIVE_ID_CORRECTION
            and all(map(is_corrected_id, makers[name].input))
        )

    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in constants and is_corrected_id(node.input[1]):
            node.input[1] = ids


def canonical(model: onnx.ModelProto) -> None:
    """Give the graph, its nodes and its tensors names that do not depend on the process that exported it."""
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
    """Rename a graph and the graphs inside its loops and branches, which may refer to names outside them."""

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
    """Sort nodes in the order in which a depth-first walk from the outputs to the inputs completes them."""
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
    """Return the names that a node reads, including those that its loops and branches take from outside."""
    inner = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    reads = [name for graph in inner for part in graph.node for name in _needs(part)]
    reads += [value.name for graph in inner for value in graph.output]
    return [*node.input, *reads]
