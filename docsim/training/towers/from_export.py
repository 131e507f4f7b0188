"""From an exported tower back to one that can be trained, for encoders that come without ``tower.keras``.

The encoders that docsim ships keep their weights once, in ``tower.onnx``. Weights that the export rounded to int8 stay
as they were rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from docsim.errors import EncoderError
from docsim.training.towers.average import average_tower
from docsim.training.towers.bert import Block, Floats, Linear, Transformer, states_of
from docsim.training.towers.layers import Pooling, UnitLength

__all__ = ["tower_of_export", "weights_of_export"]

_ATTENTION = ("Attention", "QAttention")
_PRODUCTS = ("MatMul", "MatMulInteger")
_ACTIVATIONS = {"BiasGelu": "gelu", "FastGelu": "gelu_tanh"}


def tower_of_export(file: Path, *, kind: str) -> keras.Model:
    """Return a trainable tower that computes the same as its export, up to rounding.

    Args:
        file: A ``tower.onnx`` that docsim wrote.
        kind: ``average``; or ``transformer``, of BERT's kind and with the mean of the states as embedding.

    Raises:
        EncoderError: The export is of another kind or shape.
    """
    graph = _Export(onnx.load(str(file)).graph)
    try:
        if kind == "average":
            return average_tower(graph.token_vectors())
        if kind == "transformer":
            return _transformer(graph)
    except (LookupError, ValueError) as error:
        raise EncoderError(f"expected a tower that docsim exported in {file}; its graph has another shape") from error
    raise EncoderError(
        f"expected an encoder with tower.keras, or one of the kinds average and transformer, at {file.parent}; got one "
        f"of the kind {kind} without it"
    )


def weights_of_export(file: Path) -> Transformer:
    """Return the weights of an exported transformer of BERT's kind, up to rounding.

    Raises:
        EncoderError: The export is of another kind or shape.
    """
    try:
        return _read(_Export(onnx.load(str(file)).graph))
    except (LookupError, ValueError) as error:
        raise EncoderError(f"expected a transformer that docsim exported in {file}; it has another shape") from error


class _Export:
    """The graph of an exported tower, with its constants as arrays."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self._constants = {one.name: one for one in graph.initializer}
        casts = [node for node in self.nodes if node.op_type == "Cast" and node.input[0] in self._constants]
        self._constants |= {node.output[0]: self._constants[node.input[0]] for node in casts}  # kept as float16
        self._readers = {name: node for node in self.nodes for name in node.input}

    def constant(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = onnx.numpy_helper.to_array(self._constants[name])
        return found

    def floats(self, name: str) -> Floats:
        return self.constant(name).astype(np.float32)

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def of_type(self, *types: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type in types]

    def token_vectors(self) -> Floats:
        """Return the table that ids are looked up in; int8 rows are multiplied by their scales."""
        tables = [self.constant(node.input[0]) for node in self.of_type("Gather") if node.input[1] == "ids"]
        (rows,) = [one for one in tables if one.ndim == 2 and one.shape[1] > 1]
        scales = [one.reshape(-1, 1) for one in tables if one.size == len(one)]
        return np.asarray(rows.astype(np.float32) * (scales[0] if scales else 1), np.float32)

    def kernel(self, product: onnx.NodeProto) -> Floats:
        """Return the weights of a matrix product, undoing their rounding to int8."""
        weights = self.constant(product.input[1]).astype(np.float32)
        if product.op_type == "MatMul":
            return np.asarray(weights, np.float32)
        scale = self._scale_of(product)
        return np.asarray((weights - self.constant(product.input[3]).astype(np.float32)) * scale, np.float32)

    def _scale_of(self, product: onnx.NodeProto) -> NDArray[Any]:
        """Return the factor per column that turns an int8 product's weights back into numbers.

        The product is cast and multiplied by (scale of the activations times scale of the weights).
        """
        cast = self._readers[product.output[0]]
        scaled = self._readers[cast.output[0]]
        both = next(node for node in self.of_type("Mul") if node.output[0] in scaled.input)
        return self.constant(next(name for name in both.input if self.is_constant(name)))

    def attention(self, node: onnx.NodeProto) -> tuple[list[Linear], int]:
        """Return the linear layers of queries, keys and values, and the number of heads."""
        weights, bias = self.constant(node.input[1]).astype(np.float32), self.constant(node.input[2])
        if node.op_type == "QAttention":
            weights = (weights - self.constant(node.input[7]).astype(np.float32)) * self.constant(node.input[4])
        kernels, biases = np.split(weights, 3, axis=1), np.split(bias, 3)
        heads = next(one.i for one in node.attribute if one.name == "num_heads")
        return [
            [np.asarray(k, np.float32), np.asarray(b, np.float32)] for k, b in zip(kernels, biases, strict=True)
        ], heads


def _transformer(graph: _Export) -> keras.Model:
    read = _read(graph)
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    rows = Pooling("mean", dtype="float32", name="pooling")(states_of(read, ids), ids)
    return keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name="transformer")


def _read(graph: _Export) -> Transformer:
    """Return the weights of a graph whose blocks each consist of attention, three products and two normalisations."""
    attentions, norms = graph.of_type(*_ATTENTION), graph.of_type("SkipLayerNormalization")
    products = [one for one in graph.of_type(*_PRODUCTS) if graph.is_constant(one.input[1])]
    activations = graph.of_type(*_ACTIVATIONS)
    (first_norm,) = graph.of_type("LayerNormalization")
    (positions,) = graph.of_type("Slice")
    blocks = tuple(
        _block(graph, attention, *parts)
        for attention, *parts in zip(attentions, _by(3, products), _by(2, norms), activations, strict=True)
    )
    return Transformer(
        words=graph.token_vectors(),
        positions=graph.floats(positions.input[0]),
        first_norm=[graph.floats(name) for name in first_norm.input[1:]],
        blocks=blocks,
        heads=graph.attention(attentions[0])[1],
        activation=_ACTIVATIONS[activations[0].op_type],
        epsilon=next(one.f for one in first_norm.attribute if one.name == "epsilon"),
    )


def _block(
    graph: _Export,
    attention: onnx.NodeProto,
    products: list[onnx.NodeProto],
    norms: list[onnx.NodeProto],
    activation: onnx.NodeProto,
) -> Block:
    (query, key, value), _ = graph.attention(attention)
    output, widen, narrow = map(graph.kernel, products)
    after_attention, after_feed = ([graph.floats(name) for name in one.input[2:5]] for one in norms)
    return Block(
        query=query,
        key=key,
        value=value,
        output=[output, after_attention[2]],
        attention_norm=after_attention[:2],
        widen=[widen, graph.floats(activation.input[1])],
        narrow=[narrow, after_feed[2]],
        feed_norm=after_feed[:2],
    )


def _by(size: int, nodes: list[onnx.NodeProto]) -> Iterator[list[onnx.NodeProto]]:
    """Yield the nodes ``size`` at a time.

    Raises:
        ValueError: Some are left over.
    """
    if len(nodes) % size:
        raise ValueError(len(nodes))
    yield from (nodes[start : start + size] for start in range(0, len(nodes), size))
