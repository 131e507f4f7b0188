"""A copy of an encoder's ONNX graph that returns embeddings before they are scaled to unit length.

``docsim explain`` needs it to add up what each word contributes. The few fields that have to be changed are read with
protobuf, which ONNX Runtime depends on anyway, because the ``onnx`` package is installed only for training. All other
fields are copied as they are.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["without_scaling"]

_REPEATED, _ONE = 3, 1  # FieldDescriptorProto's labels
_TEXT, _MESSAGE = 9, 11  # and types

# The messages of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: name, number, label and type of each field
_MESSAGES: dict[str, tuple[tuple[str, int, int, str], ...]] = {
    "Value": (("name", 1, _ONE, ""),),
    "Node": (("input", 1, _REPEATED, ""), ("output", 2, _REPEATED, ""), ("op_type", 4, _ONE, "")),
    "Graph": (("node", 1, _REPEATED, "Node"), ("output", 12, _REPEATED, "Value")),
    "Model": (("graph", 7, _ONE, "Graph"),),
}


def without_scaling(model: bytes) -> bytes | None:
    """Return a copy of an ONNX model without its last step, the scaling to unit length.

    Args:
        model: The content of an ONNX file with one output.

    Returns:
        The content of an ONNX file; None where the last step is no division.
    """
    parsed = _model_class()()
    parsed.ParseFromString(model)
    graph = parsed.graph
    last = next((node for node in graph.node if graph.output[0].name in node.output), None)
    if last is None or last.op_type != "Div" or not last.input:
        return None
    graph.output[0].name = last.input[0]
    graph.node.remove(last)
    content: bytes = parsed.SerializeToString()
    return content


def _model_class() -> Any:
    """Return the class of a model's message; made in a pool of its own, beside that of ``onnx`` where it is loaded."""
    file = descriptor_pb2.FileDescriptorProto(name="docsim.proto", package="docsim", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind in fields:
            made = message.field.add(name=field, number=number, label=label, type=_MESSAGE if kind else _TEXT)
            if kind:
                made.type_name = f".docsim.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("docsim.Model"))
