"""What docsim uses of Keras beyond its documented interface is still there, and still does the same.

When a test here fails after an upgrade, adapt ``docsim/training/towers/keras_private.py``, or lower the
version bound in ``pyproject.toml``.
"""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import onnx  # noqa: E402

from docsim.training.towers.keras_private import (  # noqa: E402
    NEGATIVE_ID_CORRECTION,
    export_warnings_ignored,
    seeded,
    without_memory,
)


def test_layers_without_a_seed_start_from_python_s_random_state() -> None:
    def kernel(seed: int) -> Any:
        with seeded(seed):
            layer = keras.layers.Dense(3)
        layer.build((None, 2))
        return np.asarray(layer.get_weights()[0]).tolist()

    assert kernel(1) == kernel(1)
    assert kernel(1) != kernel(2)


def test_weights_of_a_model_take_no_memory() -> None:
    with without_memory():
        layer = keras.layers.Dense(10**9)
        layer.build((None, 10**6))
    with keras.StatelessScope():  # gives memory to what still waits for it
        pass
    assert [tuple(one.shape) for one in layer.variables] == [(10**6, 10**9), (10**9,)]


def test_the_export_of_a_look_up_corrects_negative_ids_with_the_known_operators_only() -> None:
    ids = keras.Input(shape=(None,), dtype="int32")
    model = keras.Model(ids, keras.layers.Embedding(5, 4)(ids))
    model(np.ones((1, 1), dtype=np.int32))  # Keras exports only models that have been called
    with TemporaryDirectory() as directory, export_warnings_ignored():
        file = Path(directory) / "model.onnx"
        model.export(str(file), format="onnx", verbose=False)
        graph = onnx.load(str(file)).graph
    (gather,) = (node for node in graph.node if node.op_type == "Gather")
    makers = {name: node for node in graph.node for name in node.output}
    operators, waiting = set(), [gather.input[1]]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None:
            operators.add(node.op_type)
            waiting.extend(node.input)
    assert operators <= NEGATIVE_ID_CORRECTION, f"Keras now corrects negative ids with {operators}"
