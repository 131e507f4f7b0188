"""ONNX files are changed without the ``onnx`` package as they would be with it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from docsim.encoding.encoder import ONNX_FILE
from docsim.encoding.onnx_unscaled import without_scaling


def test_the_last_division_is_left_out_and_nothing_else_changes(tiny_encoder_dir: Path) -> None:
    content = (tiny_encoder_dir / ONNX_FILE).read_bytes()
    changed = without_scaling(content)
    assert changed is not None
    expected = onnx.load_from_string(content)
    last = next(node for node in expected.graph.node if expected.graph.output[0].name in node.output)
    assert last.op_type == "Div"
    expected.graph.output[0].name = last.input[0]
    expected.graph.node.remove(last)
    assert onnx.load_from_string(changed) == expected


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_a_model_that_ends_in_something_else_is_none(operator: str) -> None:
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "abc"]
    graph = onnx.helper.make_graph([onnx.helper.make_node(operator, ["a", "b"], ["c"])], "g", values[:2], values[2:])
    assert without_scaling(onnx.helper.make_model(graph).SerializeToString()) is None
