"""What docsim uses of Keras and keras-hub beyond their documented interfaces is still there, and still does the same.

When a test here fails after an upgrade, adapt ``docsim/training/towers/keras_private.py`` or
``docsim/training/distill/keras_hub_private.py``, or lower the version bound in ``pyproject.toml``.
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
from keras_hub.models import BertBackbone  # noqa: E402

from docsim.training.distill.keras_hub_private import (  # noqa: E402
    block_weights,
    position_vectors,
    use_exact_gelu,
    word_vectors,
)
from docsim.training.towers.keras_private import (  # noqa: E402
    NEGATIVE_ID_CORRECTION,
    export_warnings_ignored,
    seeded,
)

WIDTH, HEADS, INNER = 8, 2, 12


@pytest.fixture(scope="module")
def bert() -> BertBackbone:
    return BertBackbone(
        vocabulary_size=20,
        num_layers=1,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=INNER,
        max_sequence_length=6,
    )


def test_layers_without_a_seed_start_from_python_s_random_state() -> None:
    def kernel(seed: int) -> Any:
        with seeded(seed):
            layer = keras.layers.Dense(3)
        layer.build((None, 2))
        return np.asarray(layer.get_weights()[0]).tolist()

    assert kernel(1) == kernel(1)
    assert kernel(1) != kernel(2)


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


def test_the_weights_of_a_keras_hub_block_have_their_shapes(bert: BertBackbone) -> None:
    weights = block_weights(bert.transformer_layers[0], width=WIDTH)
    for linear in (weights.query, weights.key, weights.value, weights.attention_output):
        assert [one.shape for one in linear] == [(WIDTH, WIDTH), (WIDTH,)]
    for norm in (weights.attention_norm, weights.feed_forward_norm):
        assert [one.tolist() for one in norm] == [[1.0] * WIDTH, [0.0] * WIDTH]
    assert [one.shape for one in weights.feed_forward_in] == [(WIDTH, INNER), (INNER,)]
    assert [one.shape for one in weights.feed_forward_out] == [(INNER, WIDTH), (WIDTH,)]
    count = sum(one.size for field in weights.__dataclass_fields__ for one in getattr(weights, field))
    assert count == bert.transformer_layers[0].count_params()


def test_the_embeddings_of_a_keras_hub_bert_have_their_shapes(bert: BertBackbone) -> None:
    assert word_vectors(bert).shape == (20, WIDTH)
    assert position_vectors(bert).shape == (6, WIDTH)


def test_replacing_the_activation_changes_what_a_keras_hub_bert_computes() -> None:
    made = BertBackbone(
        vocabulary_size=20,
        num_layers=1,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=INNER,
        max_sequence_length=6,
    )
    random = np.random.default_rng(0)
    made.set_weights([random.normal(size=one.shape) for one in made.get_weights()])
    ids = np.array([[1, 2, 3]], dtype=np.int32)
    inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": np.ones_like(ids)}
    before = np.asarray(made(inputs, training=False)["sequence_output"])
    use_exact_gelu(made)
    difference = np.abs(np.asarray(made(inputs, training=False)["sequence_output"]) - before).max()
    assert 1e-6 < difference < 0.05
