"""A check of ONNX graphs before they are loaded, since a model may come from a stranger.

A graph is refused if it reads other files (tensors whose data are kept outside), if it contains loops, branches or
functions, or if it has far more operators than any encoder. A loop may run forever, and the file does not show
whether it does. Only the graphs of lstm towers, which loop over the tokens of a text, may contain loops.

The content is walked field by field in the wire format of protobuf, because nothing has to be parsed or copied for it
(https://protobuf.dev/programming-guides/encoding/, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["MOST_NODES", "problem"]

MOST_NODES = 20_000
"""Operators of a graph, and constants; a transformer of 24 layers has some 3,000 and 400."""

_MOST_PARTS = 10 * MOST_NODES  # of operators: their inputs, names, attributes; a part takes far more memory than bytes

_MOST_DEPTH = 8  # graphs inside graphs
_MOST_FIELDS = 1_000_000  # of a tensor; exporters write a few
_EXTERNAL = 1  # TensorProto.DataLocation

# Numbers of fields in onnx.proto
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_SPARSE, _GRAPH_VALUES = 1, 5, 15, (11, 12, 13)
_VALUE_DIMENSIONS = (2, 1, 2)  # the type of a value, its tensor type, its shape
_NODE_ATTRIBUTE = 5
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_SPARSE_TENSORS = (1, 2)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


class _Refused(Exception):
    """Why a graph is refused, as part of a sentence."""


def problem(model: bytes, *, loops: bool = False) -> str | None:
    """Return why a model is refused, as part of a sentence; None where nothing speaks against it.

    Args:
        model: The content of an ONNX file.
        loops: Whether it may have loops and branches.
    """
    try:
        _Walk(loops).model(memoryview(model))
    except _Refused as refused:
        return str(refused)
    except (IndexError, ValueError):
        return "is damaged"
    return None


class _Walk:
    """One walk through a model; counts operators, constants, and all of their parts."""

    def __init__(self, loops: bool) -> None:
        self._loops, self._nodes, self._constants, self._parts = loops, 0, 0, 0

    def model(self, content: memoryview) -> None:
        for number, value in self._counted(content):
            if number == _MODEL_GRAPH:
                self._graph(value, 1)
            elif number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
                raise _Refused("has functions or training steps of its own")

    def _graph(self, content: memoryview, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise _Refused(f"has graphs inside graphs, more than {_MOST_DEPTH} deep")
        for number, value in self._counted(content):
            if number == _GRAPH_NODE:
                self._node(value, depth)
            elif number == _GRAPH_CONSTANT:
                self._constant(value)
            elif number == _GRAPH_SPARSE:
                _check_sparse(value)
            elif number in _GRAPH_VALUES:
                self._value(value, _VALUE_DIMENSIONS)

    def _value(self, content: memoryview, path: tuple[int, ...]) -> None:
        for number, value in self._counted(content):
            if path and number == path[0]:
                self._value(value, path[1:])

    def _counted(self, content: memoryview) -> Iterator[tuple[int, memoryview]]:
        for one in _messages(content):
            self._parts += 1
            if self._parts > _MOST_PARTS:
                raise _Refused(f"has more than {_MOST_PARTS:,} parts")
            yield one

    def _constant(self, content: memoryview) -> None:
        self._constants += 1
        if self._constants > MOST_NODES:
            raise _Refused(f"has more than {MOST_NODES:,} constants")
        _check_tensor(content)

    def _node(self, content: memoryview, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _Refused(f"has more than {MOST_NODES:,} operators")
        for number, value in self._counted(content):
            if number == _NODE_ATTRIBUTE:
                self._attribute(value, depth)

    def _attribute(self, content: memoryview, depth: int) -> None:
        for number, value in self._counted(content):
            if number in _ATTRIBUTE_TENSORS:
                _check_tensor(value)
            elif number in _ATTRIBUTE_SPARSE:
                _check_sparse(value)
            elif number in _ATTRIBUTE_GRAPHS:
                if not self._loops:
                    raise _Refused("has loops or branches")
                self._graph(value, depth + 1)


def _check_tensor(content: memoryview) -> None:
    for count, (number, value) in enumerate(_fields(content)):
        if count > _MOST_FIELDS:
            raise _Refused("keeps a tensor in millions of parts")
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value == _EXTERNAL):
            raise _Refused("keeps data in other files")


def _check_sparse(content: memoryview) -> None:
    for number, value in _messages(content):
        if number in _SPARSE_TENSORS:
            _check_tensor(value)


def _messages(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field that is a message, a text or bytes."""
    return ((number, value) for number, value in _fields(content) if isinstance(value, memoryview))


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield number and value of each field: an integer, or a view of bytes.

    Raises:
        IndexError: A field is cut short.
        ValueError: There is no such type of field.
    """
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(content, place)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"expected a type of field of protobuf; got {kind}")
        if place + size > end:
            raise IndexError("a field is cut short")
        yield number, content[place : place + size]
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number is too long")
