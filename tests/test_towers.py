"""The kinds of towers: their layers, training, copies, saving and export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from effort import thorough
from numpy.typing import NDArray

keras = pytest.importorskip("keras")

from docsim.errors import TrainingError  # noqa: E402
from docsim.runtime import onnxruntime  # noqa: E402
from docsim.training.towers.average import TOKENS_LAYER, stored_rows, token_vectors  # noqa: E402
from docsim.training.towers.export import halved, onnx_bytes, quantised  # noqa: E402
from docsim.training.towers.fused_export import is_fusible  # noqa: E402
from docsim.training.towers.keras_file import load_tower  # noqa: E402
from docsim.training.towers.kinds import (  # noqa: E402
    TowerOptions,
    build_tower,
    compact,
    trainable,
)
from docsim.training.towers.layers import Pooling, TokenVectors, UnitLength  # noqa: E402
from docsim.training.towers.lstm import Lstm  # noqa: E402
from docsim.training.towers.transformer import Attention, EncoderBlock, Positions  # noqa: E402

pytestmark = pytest.mark.training

VOCABULARY, WIDTH = 40, 12
VECTORS = np.random.default_rng(5).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
SMALL = TowerOptions(units=8, layers=2, heads=2, max_tokens=16)
IDS = np.array([[7, 3, 39, 1, 12, 5], [4, 4, 8, 0, 0, 0], [21, 0, 0, 0, 0, 0]], dtype=np.int32)
CONTEXTUAL = ("lstm", "transformer")
OF_CONTEXT = [*thorough("lstm"), "transformer"]
EVERY = ["average", *OF_CONTEXT]

Rows = NDArray[np.float32]


def computed(model: Any, *inputs: NDArray[Any]) -> Rows:
    return np.asarray(keras.ops.convert_to_numpy(model(*inputs)), dtype=np.float32)


def tower_of(kind: str, options: TowerOptions = SMALL, *, seed: int = 0) -> Any:
    """Return a tower that no longer computes what it started with."""
    tower = build_tower(kind, VECTORS, options, seed=seed)
    random = np.random.default_rng(seed)
    for variable in tower.trainable_variables:
        if "tokens" not in variable.path:
            variable.assign_add(random.normal(scale=0.3, size=variable.shape))
    return tower


def exported(content: bytes, ids: NDArray[np.int32]) -> Rows:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["embeddings"], {"ids": ids})[0])


def train_once(tower: Any) -> None:
    """Take one step, without compiling a graph, which would take longer than all other tests of towers."""
    tower.compile(optimizer="adam", loss="mse", run_eagerly=True)
    tower.fit(IDS, np.roll(computed(tower, IDS), 1, axis=0), verbose=0)


@pytest.fixture
def precision() -> Iterator[Any]:
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("kind", EVERY)
def test_a_new_tower_computes_the_direction_of_the_mean_token_vector(kind: str) -> None:
    mean = VECTORS[IDS[0]].mean(axis=0)
    assert computed(build_tower(kind, VECTORS, SMALL), IDS)[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


@pytest.mark.parametrize("kind", EVERY)
def test_rows_have_length_one(kind: str) -> None:
    assert np.linalg.norm(computed(tower_of(kind), IDS), axis=1) == pytest.approx(np.ones(3), abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_more_padding_changes_nothing(kind: str) -> None:
    tower = tower_of(kind)
    assert computed(tower, np.pad(IDS, ((0, 0), (0, 9)))) == pytest.approx(computed(tower, IDS), abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_a_text_gets_the_same_row_alone_as_among_longer_ones(kind: str) -> None:
    tower = tower_of(kind)
    assert computed(tower, IDS[1:2, :3]) == pytest.approx(computed(tower, IDS)[1:2], abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_padding_alone_gives_zeros(kind: str) -> None:
    assert not computed(tower_of(kind), np.zeros((2, 4), dtype=np.int32)).any()


@pytest.mark.parametrize("kind", OF_CONTEXT)
def test_the_order_of_tokens_counts_once_a_contextual_tower_is_trained(kind: str) -> None:
    tower = tower_of(kind)
    assert np.abs(computed(tower, IDS[:1]) - computed(tower, IDS[:1, ::-1].copy())).max() > 0.01


@pytest.mark.parametrize("kind", EVERY)
def test_a_smaller_dim_keeps_most_of_the_inner_products(kind: str) -> None:
    flat = VECTORS * np.where(np.arange(WIDTH) < 6, 1, 0.01).astype(np.float32)  # six components hardly matter
    narrow, whole = (build_tower(kind, flat, TowerOptions(dim=dim, units=8, heads=2)) for dim in (6, None))
    small, large = computed(narrow, IDS), computed(whole, IDS)
    assert small.shape == (3, 6)
    assert small @ small.T == pytest.approx(large @ large.T, abs=1e-3)


@pytest.mark.parametrize("kind", EVERY)
def test_a_projection_starts_as_one_that_changes_nothing(kind: str) -> None:
    projected = build_tower(kind, VECTORS, TowerOptions(projection=True, units=8, heads=2))
    assert projected.get_layer("projection").trainable
    assert computed(projected, IDS) == pytest.approx(computed(build_tower(kind, VECTORS, SMALL), IDS), abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_seed_gives_the_same_weights(kind: str) -> None:
    one, other, third = (build_tower(kind, VECTORS, SMALL, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert kind == "average" or not all(np.array_equal(a, b) for a, b in zip(one, third, strict=True))


def test_building_leaves_the_random_state_alone() -> None:
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    build_tower("lstm", VECTORS, SMALL)
    assert random.random() == expected


@pytest.mark.parametrize("kind", OF_CONTEXT)
def test_gradients_reach_every_weight(kind: str) -> None:
    import tensorflow as tf

    tower = tower_of(kind)
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(tower(IDS, training=True)[:, 0])
    gradients = tape.gradient(loss, [variable.value for variable in tower.trainable_variables])
    silent = [
        variable.path
        for variable, gradient in zip(tower.trainable_variables, gradients, strict=True)
        if gradient is None or not np.abs(keras.ops.convert_to_numpy(tf.convert_to_tensor(gradient))).any()
    ]
    # A softmax does not change when the same is added to every score, so no bias of the keys ever learns.
    assert [path for path in silent if not path.endswith("key/bias")] == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kind", OF_CONTEXT)
@pytest.mark.thorough
def test_training_in_mixed_precision_lowers_the_loss(kind: str, policy: str, precision: Any) -> None:
    precision(policy)
    tower = build_tower(kind, VECTORS, SMALL)
    target = np.roll(computed(tower, IDS), 1, axis=0)
    tower.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse", run_eagerly=True)
    losses = tower.fit(IDS, target, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert computed(tower, IDS).dtype == np.float32


@pytest.mark.parametrize("kind", OF_CONTEXT)
def test_half_precision_computes_nearly_the_same(kind: str, precision: Any) -> None:
    tower = tower_of(kind)
    precision("mixed_bfloat16")
    half = trainable(tower)
    assert half.get_layer("lstm_0" if kind == "lstm" else "block_0").compute_dtype == "bfloat16"
    assert (computed(half, IDS) * computed(tower, IDS)).sum(axis=1) == pytest.approx(np.ones(3), abs=0.01)


def test_what_is_saved_computes_in_full_precision(precision: Any) -> None:
    precision("mixed_bfloat16")
    assert {layer.compute_dtype for layer in compact(tower_of("transformer")).layers[1:]} == {"float32"}


@pytest.mark.parametrize("kind", EVERY)
def test_a_compact_tower_has_int8_vectors_and_computes_nearly_the_same(kind: str) -> None:
    tower = tower_of(kind)
    small = compact(tower)
    assert small.get_layer("tokens").rows.dtype == "int8"
    assert (computed(small, IDS) * computed(tower, IDS)).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-3)


@pytest.mark.parametrize("kind", EVERY)
def test_a_compact_tower_made_trainable_computes_the_same(kind: str) -> None:
    small = compact(tower_of(kind))
    copy = trainable(small)
    assert len(copy.trainable_variables) == len(copy.weights)
    assert computed(copy, IDS) == pytest.approx(computed(small, IDS), abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_training_a_copy_leaves_the_original_alone(kind: str) -> None:
    tower = tower_of(kind)
    before = computed(tower, IDS)
    for variable in trainable(tower).trainable_variables:
        variable.assign(variable * 0 + 1)
    assert computed(tower, IDS).tolist() == before.tolist()


@pytest.mark.parametrize("kind", OF_CONTEXT)
def test_a_frozen_embedding_stays_while_the_rest_learns(kind: str) -> None:
    tower = build_tower(kind, VECTORS, SMALL)
    tower.get_layer("tokens").trainable = False
    before, rest = token_vectors(tower), tower.get_layer("added").get_weights()[0]
    train_once(tower)
    assert token_vectors(tower).tolist() == before.tolist()
    assert np.abs(tower.get_layer("added").get_weights()[0] - rest).max() > 1e-4


@pytest.mark.parametrize("kind", EVERY)
def test_an_embedding_unfrozen_again_learns(kind: str) -> None:
    tower = build_tower(kind, VECTORS, SMALL)
    tower.get_layer("tokens").trainable = False
    tower.get_layer("tokens").trainable = True
    before = token_vectors(tower)
    train_once(tower)
    moved = np.abs(token_vectors(tower) - before).max(axis=1) > 1e-5
    assert set(np.flatnonzero(moved)) <= set(IDS[IDS > 0].tolist())
    assert moved[7]


@pytest.mark.parametrize("kind", EVERY)
def test_the_embedding_is_that_which_the_tower_was_built_from(kind: str) -> None:
    found = token_vectors(build_tower(kind, VECTORS, SMALL))
    scale = np.linalg.norm(VECTORS, axis=1).mean() if kind in CONTEXTUAL else 1
    assert found[1:] * scale == pytest.approx(VECTORS[1:], abs=1e-5)
    assert not found[0].any()


@pytest.mark.parametrize("kind", EVERY)
def test_a_tower_survives_saving_and_loading(kind: str, tmp_path: Path) -> None:
    tower = tower_of(kind)
    tower.save(tmp_path / "tower.keras")
    assert computed(load_tower(tmp_path / "tower.keras"), IDS).tolist() == computed(tower, IDS).tolist()


@pytest.mark.parametrize("kind", EVERY)
def test_the_export_computes_what_the_tower_does_at_any_length(kind: str) -> None:
    tower = compact(tower_of(kind))
    content = onnx_bytes(tower)
    for length in (1, 2, 6):
        ids = np.concatenate([IDS[:, :length], np.zeros((1, length), dtype=np.int32)])
        assert exported(content, ids) == pytest.approx(computed(tower, ids), abs=1e-5)


@pytest.mark.parametrize("pooling", ["max", "first"])
def test_other_poolings_export_too(pooling: str) -> None:
    tower = tower_of("transformer", TowerOptions(units=8, heads=2, pooling=pooling, dim=5))
    assert is_fusible(tower)
    assert exported(onnx_bytes(tower), IDS) == pytest.approx(computed(tower, IDS), abs=1e-5)


def test_an_lstm_in_one_direction_exports_too() -> None:
    tower = tower_of("lstm", TowerOptions(units=8, layers=1, bidirectional=False, pooling="max"))
    assert exported(onnx_bytes(tower), IDS) == pytest.approx(computed(tower, IDS), abs=1e-5)


def test_a_tower_with_a_layer_of_ones_own_is_left_to_keras() -> None:
    tower = tower_of("transformer")
    own = keras.Model(tower.inputs[0], keras.layers.Activation("elu")(tower.outputs[0]))
    assert not is_fusible(own)
    assert exported(onnx_bytes(own), IDS) == pytest.approx(computed(own, IDS), abs=1e-5)


def test_the_same_transformer_exports_to_the_same_bytes() -> None:
    tower = compact(tower_of("transformer"))
    assert onnx_bytes(tower) == onnx_bytes(compact(tower))


def test_an_export_in_int8_is_near_the_exact_one() -> None:
    content = onnx_bytes(tower_of("transformer"))
    cosines = (exported(quantised(content), IDS) * exported(content, IDS)).sum(axis=1)
    assert 0.98 < cosines.min() < 0.9999999


def test_an_lstm_reads_backwards_within_each_text() -> None:
    layer = Lstm(4)
    states = np.random.default_rng(0).normal(size=(1, 3, 5)).astype(np.float32)
    padded = np.concatenate([states, np.full((1, 2, 5), 9, dtype=np.float32)], axis=1)
    whole = computed(layer, padded, np.array([[1, 1, 1, 0, 0]], dtype=np.int32))
    backward = computed(layer.directions[1], states[:, ::-1].copy())
    assert whole[:, :3, 4:] == pytest.approx(backward[:, ::-1], abs=1e-6)


def test_attention_is_softmax_of_scaled_products_over_tokens_that_are_there() -> None:
    layer = Attention(1)
    states = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    found = computed(layer, states, np.array([[5, 6, 0]], dtype=np.int32))
    query, key, value = (computed(part, states[0]) for part in (layer.query, layer.key, layer.value))
    scores = np.exp(query @ key[:2].T / 2)
    expected = computed(layer.output_projection, scores / scores.sum(axis=1, keepdims=True) @ value[:2])
    assert found[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("units", [None, 6])
def test_heads_must_divide_the_units(units: int | None) -> None:
    with pytest.raises(ValueError, match=f"the 4 heads .* must divide its units, which are {units or 5}"):
        Attention(4, units=units)(np.zeros((1, 2, 5), dtype=np.float32), np.ones((1, 2), dtype=np.int32))


def test_attention_may_be_narrower_than_the_states() -> None:
    layer = Attention(2, units=6)
    states = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
    assert computed(layer, states, np.array([[5, 6, 7]], dtype=np.int32)).shape == (1, 3, 4)
    assert [part.kernel.shape for part in (layer.query, layer.key, layer.value, layer.output_projection)] == [
        *[(4, 6)] * 3,
        (6, 4),
    ]


def narrow_tower() -> Any:
    """Return a tower of one block whose attention is narrower than its states."""
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    states = TokenVectors(*VECTORS.shape, storage="float32", name=TOKENS_LAYER)(ids)
    states = EncoderBlock(2, 8, units=2, norm_first=False, name="block_0")(states, ids)
    tower = keras.Model(ids, UnitLength()(Pooling("mean", name="pooling")(states, ids)))
    tower.get_layer(TOKENS_LAYER).set_weights(stored_rows(VECTORS, storage="float32"))
    return tower


def test_a_tower_with_narrow_attention_exports_and_loads(tmp_path: Path) -> None:
    tower = compact(narrow_tower())
    assert is_fusible(tower)
    assert exported(onnx_bytes(tower), IDS) == pytest.approx(computed(tower, IDS), abs=1e-5)
    tower.save(tmp_path / "tower.keras")
    assert computed(load_tower(tmp_path / "tower.keras"), IDS).tolist() == computed(tower, IDS).tolist()


def test_an_export_in_float16_is_smaller_and_very_near_the_exact_one() -> None:
    tower = tower_of("transformer", TowerOptions(units=64, heads=2))
    content = onnx_bytes(tower)
    small = halved(content)
    assert len(small) < 0.6 * len(content)
    assert exported(small, IDS) == pytest.approx(exported(content, IDS), abs=1e-3)


def test_a_tower_saved_in_float16_is_trained_on_in_float32(tmp_path: Path) -> None:
    tower = tower_of("transformer")
    compact(tower, policy="float16").save(tmp_path / "tower.keras")
    loaded = load_tower(tmp_path / "tower.keras")
    assert {str(one.dtype) for one in loaded.get_layer("block_0").variables} == {"float16"}
    again = trainable(loaded)
    assert {str(one.dtype) for one in again.get_layer("block_0").variables} == {"float32"}
    assert computed(again, IDS) == pytest.approx(computed(tower, IDS), abs=2e-2)


@pytest.mark.parametrize(("activation", "expected"), [("gelu", 0.8413447), ("gelu_tanh", 0.8411920), ("relu", 1.0)])
def test_each_activation_has_its_value_at_one(activation: str, expected: float) -> None:
    block = EncoderBlock(1, 2, activation=activation)
    block(np.zeros((1, 1, 2), dtype=np.float32), np.ones((1, 1), dtype=np.int32))
    block.widen.set_weights([np.zeros((2, 2)), np.ones(2)])
    block.narrow.set_weights([np.eye(2), np.zeros(2)])
    found = computed(lambda states: block._feed(states, training=False), np.zeros((1, 1, 2), dtype=np.float32))
    assert found[0, 0, 0] == pytest.approx(expected, abs=1e-6)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="activation must be one of gelu, gelu_tanh, relu"):
        EncoderBlock(1, 2, activation="swish")


def test_positions_are_added_from_the_first_on() -> None:
    layer = Positions(5)
    found = computed(layer, np.ones((2, 3, 4), dtype=np.float32))
    assert found[1] == pytest.approx(1 + keras.ops.convert_to_numpy(layer.rows)[:3])


@pytest.mark.parametrize(("mode", "expected"), [("mean", [2, 3]), ("max", [3, 4]), ("first", [1, 4])])
def test_pooling_reads_tokens_and_not_padding(mode: str, expected: list[float]) -> None:
    states = np.array([[[1, 4], [3, 2], [9, 9]]], dtype=np.float32)
    assert computed(Pooling(mode), states, np.array([[5, 6, 0]], dtype=np.int32)).tolist() == [expected]


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="mode must be one of mean, max, first"):
        Pooling("median")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TrainingError, match="expected a tower of the kind average, lstm, transformer; got 'gru'"):
        build_tower("gru", VECTORS)


def test_heads_that_do_not_divide_the_units_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected a number of heads that divides the 10 units; got 4"):
        build_tower("transformer", VECTORS, TowerOptions(units=10))


def test_vectors_that_are_no_table_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected token vectors"):
        build_tower("average", VECTORS[0])


@pytest.mark.parametrize(
    ("name", "value"), [("units", 0), ("layers", 0), ("heads", 0), ("max_tokens", 0), ("dim", 0), ("dropout", 1.0)]
)
def test_impossible_options_are_refused(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match=f"expected a tower's {name}"):
        TowerOptions(**{name: value})  # type: ignore[arg-type]
