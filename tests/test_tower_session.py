"""A tower that takes too long to encode a batch is ended, and said so in one sentence."""

from __future__ import annotations

import time

import numpy as np
import pytest

from docsim.encoding import tower_session
from docsim.encoding.tower_session import TowerSession

pytest.importorskip("onnx")
from onnx import NodeProto, TensorProto, helper

IDS = helper.make_tensor_value_info("ids", TensorProto.INT32, ["n", "tokens"])
ROWS = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 4])


def saved(nodes: list[NodeProto], initializers: list[TensorProto]) -> bytes:
    graph = helper.make_graph(nodes, "g", [IDS], [ROWS], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def number(name: str, value: int, kind: int = TensorProto.INT64) -> TensorProto:
    return helper.make_tensor(name, kind, [], [value])


def rows_from(name: str) -> list[NodeProto]:
    """Return what makes rows of four zeros, and what ``name`` holds added to them."""
    return [
        helper.make_node("Cast", ["ids"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["means", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", name], ["rows"]),
    ]


NONE = helper.make_tensor("none", TensorProto.FLOAT, [1, 4], [0.0] * 4)


def endless() -> bytes:
    """Return a graph with a loop of 2 ** 62 steps."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Add", ["held", "one"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 4]),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1, 4], [1.0] * 4)],
    )
    means = rows_from("held0")
    loop = helper.make_node("Loop", ["steps", "yes", "rows0"], ["rows"], body=body)
    means[-1] = helper.make_node("Add", ["zeros", "none"], ["rows0"])
    return saved([*means, loop], [NONE, number("steps", 2**62), number("yes", 1, TensorProto.BOOL)])


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_session, "LONGEST", 1.0)


def test_a_tower_that_takes_too_long_to_encode_is_ended_and_others_go_on() -> None:
    late, other = TowerSession(endless(), "lstm"), TowerSession(saved(rows_from("none"), [NONE]), "average")
    ids = np.ones((2, 3), np.int32)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="it takes more than 1 seconds"):
        late.run(ids)
    assert time.monotonic() - began < 30
    assert (other.components, other.run(ids).shape) == (4, (2, 4))


def test_nothing_is_computed_when_a_tower_is_loaded() -> None:
    """ONNX Runtime computes what follows from constants alone as it loads a graph, for as long as that takes."""
    size = 2000
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [size, size])
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0001])
    products = [
        helper.make_node("MatMul", [f"m{step}", f"m{step}"], [f"m{step + 1}"])
        for step in range(1000)  # some minutes
    ]
    nodes = [
        helper.make_node("ConstantOfShape", ["sizes"], ["m0"], value=value),
        *products,
        helper.make_node("ReduceMax", ["m1000"], ["largest"], axes=[0, 1], keepdims=1),
        *rows_from("largest"),
    ]
    for kind in ("average", "transformer"):
        began = time.monotonic()
        tower = TowerSession(saved(nodes, [sizes, NONE]), kind)
        assert time.monotonic() - began < 10
        with pytest.raises(TimeoutError):
            tower.run(np.ones((2, 3), np.int32))
