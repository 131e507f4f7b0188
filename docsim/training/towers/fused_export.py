"""ONNX export of transformer towers with the fused operators of ONNX Runtime.

Attention, bias plus GELU, and residual plus normalisation are one operator each (domain ``com.microsoft``,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md). Keras' own export writes each of them as
dozens of operators that ONNX Runtime does not fuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray

from docsim.training.towers.layers import Pooling, TokenVectors, UnitLength
from docsim.training.towers.transformer import Distances, EncoderBlock, Positions

__all__ = ["fused_model", "is_fusible"]

_FUSED = "com.microsoft"
_OPSET, _IR_VERSION = 17, 8
_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}
_BIASED_ACTIVATIONS = {"gelu": "BiasGelu", "gelu_tanh": "FastGelu"}


class _Graph:
    """An ONNX graph under construction. Names are counters, so the same tower always gives the same graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.present = self.mask = ""

    def constant(self, values: ArrayLike | keras.Variable, dtype: DTypeLike = np.float32) -> str:
        """Add an array or a Keras variable as a constant and return its name."""
        if isinstance(values, keras.Variable):
            values = keras.ops.convert_to_numpy(values)
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.array(values, dtype=dtype, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, fused: bool = False, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"n{len(self.nodes)}"
        domain = _FUSED if fused else ""
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def dense(self, states: str, layer: keras.layers.Dense, *, biased: bool = True) -> str:
        """Add a linear layer, with or without its bias."""
        product = self.add("MatMul", states, self.constant(layer.kernel))
        return self.add("Add", product, self.constant(layer.bias)) if biased and layer.use_bias else product

    def norm(self, states: str, layer: keras.layers.LayerNormalization) -> str:
        """Add a layer normalisation."""
        gamma, beta = self.constant(layer.gamma), self.constant(layer.beta)
        return self.add("LayerNormalization", states, gamma, beta, axis=-1, epsilon=layer.epsilon)


def is_fusible(tower: keras.Model) -> bool:
    """Return whether a tower has encoder blocks, and only layers that this module can export."""
    return EncoderBlock in map(type, tower.layers) and all(map(_is_known, tower.layers))


def _is_known(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return keras.activations.serialize(layer.activation) in _ACTIVATIONS
    return isinstance(layer, keras.layers.InputLayer) or type(layer) in _WRITERS


def fused_model(tower: keras.Model) -> onnx.ModelProto:
    """Return an ONNX model of a transformer tower, from ids ``(texts, tokens)`` int32 to rows ``(texts, dim)`` float32.

    It runs in ONNX Runtime only. It computes the same as the tower, up to rounding.
    """
    graph = _Graph()
    zero = graph.constant(0, np.int32)
    graph.mask = graph.add("Cast", graph.add("Not", graph.add("Equal", "ids", zero)), to=onnx.TensorProto.INT32)
    graph.present = graph.add("Cast", graph.mask, to=onnx.TensorProto.FLOAT)
    names = {id(tower.inputs[0]): "ids"}
    for layer in tower.operations:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = [names[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        names[id(layer.output)] = _WRITERS[type(layer)](graph, layer, inputs)
    graph.nodes[-1].output[0] = "embeddings"
    return _model(graph, int(tower.output_shape[-1]))


def _model(graph: _Graph, dim: int) -> onnx.ModelProto:
    tensor = onnx.helper.make_tensor_value_info
    ids = tensor("ids", onnx.TensorProto.INT32, ["texts", "tokens"])
    embeddings = tensor("embeddings", onnx.TensorProto.FLOAT, ["texts", dim])
    made = onnx.helper.make_graph(graph.nodes, "tower", [ids], [embeddings], graph.constants)
    versions = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(_FUSED, 1)]
    return onnx.helper.make_model(made, opset_imports=versions, ir_version=_IR_VERSION)


def _tokens(graph: _Graph, layer: TokenVectors, inputs: list[str]) -> str:
    rows, weights = (keras.ops.convert_to_numpy(kept) for kept in (layer.rows, layer.weights_by_token))
    weights = np.where(np.arange(len(weights)) == 0, 0, weights)  # padding gets zeros
    if layer.storage == "float32":
        return graph.add("Gather", graph.constant(rows * weights[:, None]), *inputs)
    vectors = graph.add("Gather", graph.constant(rows, np.int8), *inputs)
    vectors = graph.add("Cast", vectors, to=onnx.TensorProto.FLOAT)
    return graph.add("Mul", vectors, graph.add("Gather", graph.constant(weights[:, None]), *inputs))


def _positions(graph: _Graph, layer: Positions, inputs: list[str]) -> str:
    start, axis, step = (graph.constant([number], np.int64) for number in (0, 0, 1))
    tokens = graph.add("Shape", inputs[0], start=1, end=2)
    return graph.add("Add", inputs[0], graph.add("Slice", graph.constant(layer.rows), start, tokens, axis, step))


def _distances(graph: _Graph, layer: Distances, inputs: list[str]) -> str:
    """Add the biases ``(1, heads, tokens, tokens)``: a slice of a table of all distances for each query token."""
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    tokens = graph.add("Squeeze", graph.add("Shape", *inputs, start=1, end=2))
    places = graph.add("Range", zero, tokens, one)
    column = graph.add("Unsqueeze", places, graph.constant([1], np.int64))
    distances = graph.add("Add", graph.add("Sub", places, column), graph.constant(layer.length - 1, np.int64))
    table = keras.ops.convert_to_numpy(layer.rows)[layer.buckets_by_distance()].T  # (heads, distances)
    found = graph.add("Gather", graph.constant(table), distances, axis=1)
    return graph.add("Unsqueeze", found, graph.constant([0], np.int64))


def _block(graph: _Graph, layer: EncoderBlock, inputs: list[str]) -> str:
    states, bias_by_distance = inputs[0], inputs[2:]
    if layer.norm_first:
        attended = _attention(graph, layer, graph.norm(states, layer.attention_norm), bias_by_distance)
        bias = graph.constant(layer.attention.output_projection.bias)
        states = graph.add("Add", states, graph.add("Add", attended, bias))
        fed = _feed(graph, layer, graph.norm(states, layer.feed_norm))
        return graph.add("Add", states, graph.add("Add", fed, graph.constant(layer.narrow.bias)))
    attended = _attention(graph, layer, states, bias_by_distance)
    states = _sum_and_norm(graph, attended, states, layer.attention_norm, layer.attention.output_projection)
    return _sum_and_norm(graph, _feed(graph, layer, states), states, layer.feed_norm, layer.narrow)


def _attention(graph: _Graph, layer: EncoderBlock, states: str, bias_by_distance: list[str]) -> str:
    """Add attention and its output layer, but not that layer's bias."""
    parts = (layer.attention.query, layer.attention.key, layer.attention.value)
    kernel = graph.constant(_side_by_side(part.kernel for part in parts))
    bias = graph.constant(_side_by_side(part.bias for part in parts))
    scores = ["", *bias_by_distance] if bias_by_distance else []  # the fifth input, of past states, stays empty
    sizes = {"qkv_hidden_sizes": [part.units for part in parts]} if layer.units else {}
    inputs = (states, kernel, bias, graph.mask, *scores)
    mixed = graph.add("Attention", *inputs, fused=True, num_heads=layer.heads, **sizes)
    return graph.dense(mixed, layer.attention.output_projection, biased=False)


def _feed(graph: _Graph, layer: EncoderBlock, states: str) -> str:
    """Add the feed-forward network, but not the bias of its second layer."""
    inner, bias = graph.dense(states, layer.widen, biased=False), graph.constant(layer.widen.bias)
    if layer.activation in _BIASED_ACTIVATIONS:
        inner = graph.add(_BIASED_ACTIVATIONS[layer.activation], inner, bias, fused=True)
    else:
        inner = graph.add("Relu", graph.add("Add", inner, bias))
    return graph.dense(inner, layer.narrow, biased=False)


def _sum_and_norm(
    graph: _Graph, new: str, states: str, norm: keras.layers.LayerNormalization, dense: keras.layers.Dense
) -> str:
    """Add the normalised sum of a sub-layer's output, the bias of its last layer, and its input."""
    gamma, beta, bias = graph.constant(norm.gamma), graph.constant(norm.beta), graph.constant(dense.bias)
    return graph.add("SkipLayerNormalization", new, states, gamma, beta, bias, fused=True, epsilon=norm.epsilon)


def _pooling(graph: _Graph, layer: Pooling, inputs: list[str]) -> str:
    states, axis = inputs[0], graph.constant([1], np.int64)
    if layer.mode == "first":
        first = graph.constant(0, np.int64)
        kept = graph.add("Gather", graph.present, graph.constant([0], np.int64), axis=1)
        return graph.add("Mul", graph.add("Gather", states, first, axis=1), kept)
    if layer.mode == "last":
        count = graph.add("ReduceSum", graph.present, axis, keepdims=1)
        at_end = graph.add("Equal", graph.add("CumSum", graph.present, axis), count)
        last = graph.add("Mul", graph.add("Cast", at_end, to=onnx.TensorProto.FLOAT), graph.present)
        return graph.add("Squeeze", graph.add("MatMul", graph.add("Unsqueeze", last, axis), states), axis)
    if layer.mode == "max":
        absent = graph.add("Sub", graph.present, graph.constant(1))
        lowered = graph.add("Mul", absent, graph.constant(1e9))
        lowered = graph.add("Add", states, graph.add("Unsqueeze", lowered, graph.constant([2], np.int64)))
        any_token = graph.add("ReduceMax", graph.present, axes=[1], keepdims=1)
        return graph.add("Mul", graph.add("ReduceMax", lowered, axes=[1], keepdims=0), any_token)
    total = graph.add("MatMul", graph.add("Unsqueeze", graph.present, axis), states)
    count = graph.add("ReduceSum", graph.present, axis, keepdims=1)
    return graph.add("Div", graph.add("Squeeze", total, axis), graph.add("Max", count, graph.constant(1)))


def _activation(graph: _Graph, layer: keras.layers.Activation, inputs: list[str]) -> str:
    return graph.add(_ACTIVATIONS[keras.activations.serialize(layer.activation)], *inputs)


def _unit_length(graph: _Graph, layer: UnitLength, inputs: list[str]) -> str:
    squares = graph.add("ReduceSumSquare", *inputs, axes=[-1], keepdims=1)
    smallest = graph.constant(UnitLength.SMALLEST_SQUARE)
    return graph.add("Div", *inputs, graph.add("Sqrt", graph.add("Max", squares, smallest)))


def _side_by_side(variables: Iterable[keras.Variable]) -> NDArray[np.float32]:
    return np.concatenate([keras.ops.convert_to_numpy(variable) for variable in variables], axis=-1)


_WRITERS: dict[type, Callable[[_Graph, Any, list[str]], str]] = {
    TokenVectors: _tokens,
    Positions: _positions,
    Distances: _distances,
    EncoderBlock: _block,
    Pooling: _pooling,
    UnitLength: _unit_length,
    keras.layers.Dense: lambda graph, layer, inputs: graph.dense(inputs[0], layer),
    keras.layers.LayerNormalization: lambda graph, layer, inputs: graph.norm(inputs[0], layer),
    keras.layers.Rescaling: lambda graph, layer, inputs: graph.add("Mul", *inputs, graph.constant(layer.scale)),
    keras.layers.Activation: _activation,
    keras.layers.Add: lambda graph, layer, inputs: graph.add("Add", *inputs),
}
