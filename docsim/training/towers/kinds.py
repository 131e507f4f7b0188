"""The kinds of towers and how to build, copy and load them.

    average       sum of token vectors
    lstm          average, plus the output of an LSTM
    transformer   average, plus the output of a small pre-norm transformer

Every tower maps ids ``(texts, tokens)`` int32, padded with 0 at the end, to unit rows ``(texts, dim)`` float32, and has
its token vectors in a layer called ``tokens``. New ``lstm`` and ``transformer`` towers compute the same as an
``average`` tower, because their last layer starts at zero: training starts at the quality of the token vectors.
Encoders imported from other models (``docsim.training.imports``) are transformers made of the same layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.towers.average import TOKENS_LAYER, stored_rows, token_vectors
from docsim.training.towers.keras_private import seeded
from docsim.training.towers.layers import POOLINGS, Pooling, Tensor, TokenVectors, UnitLength, WeightedTokenSum
from docsim.training.towers.lstm import Lstm
from docsim.training.towers.transformer import EncoderBlock, Positions

__all__ = ["KINDS", "TowerOptions", "build_tower", "compact", "trainable"]

KINDS = ("average", "lstm", "transformer")

_POLICY_LAYERS = ("scale", "lstm_", "entry", "positions", "block_", "first_norm", "last_norm")
"""Prefixes of the layers that compute in the dtype policy. Sums and lengths would lose too much in half precision."""


@dataclass(frozen=True, slots=True)
class TowerOptions:
    """Shape of a tower; each kind of tower uses the options that concern it.

    Attributes:
        dim: Components of an embedding; None for as many as the token vectors have.
        units: Width of the LSTM's states in each direction, or of the transformer's.
        layers: LSTM layers or transformer blocks.
        heads: Attention heads; must divide ``units``.
        projection: Whether the sum of token vectors passes through a learned linear layer. It always does if ``dim``
            differs from their width. The layer is initialised to keep as much of their inner products as possible.
        max_tokens: Tokens that an LSTM or a transformer reads of a text; a transformer has as many positions.
        dropout: Share of components dropped in training, in [0, 1).
        bidirectional: Whether the LSTM reads in both directions.
        pooling: How token states become one row: ``mean``, ``max`` or ``first``.
    """

    dim: int | None = None
    units: int = 128
    layers: int = 2
    heads: int = 4
    projection: bool = False
    max_tokens: int = 256
    dropout: float = 0.0
    bidirectional: bool = True
    pooling: str = "mean"

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            TrainingError: A number is out of its range, or the pooling is unknown.
        """
        for name in ("dim", "units", "layers", "heads", "max_tokens"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise TrainingError(f"expected a tower's {name} to be at least 1; got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"expected a tower's dropout to be at least 0 and below 1; got {self.dropout}")
        if self.pooling not in POOLINGS:
            raise TrainingError(f"expected a tower's pooling to be one of {', '.join(POOLINGS)}; got {self.pooling!r}")


def build_tower(
    kind: str, vectors: NDArray[np.float32], options: TowerOptions | None = None, *, seed: int = 0
) -> keras.Model:
    """Return a new trainable tower under Keras' current dtype policy.

    Args:
        kind: One of ``KINDS``.
        vectors: Initial token vectors times token weights, float32 ``(vocabulary, width)``; row 0 belongs to padding.
        options: Shape of the tower.
        seed: Seed of the randomly initialised weights.

    Returns:
        A model from ids ``(texts, tokens)`` int32, 0 for padding, to unit rows ``(texts, dim)`` float32.

    Raises:
        TrainingError: The kind is unknown, the vectors are not a table, or the heads do not divide the units.
    """
    options = options or TowerOptions()
    if kind not in KINDS:
        raise TrainingError(f"expected a tower of the kind {', '.join(KINDS)}; got {kind!r}")
    if vectors.ndim != 2 or vectors.shape[0] < 2:
        raise TrainingError(
            f"expected token vectors of shape (vocabulary, width), padding first; got an array of shape {vectors.shape}"
        )
    if kind == "transformer" and options.units % options.heads:
        raise TrainingError(f"expected a number of heads that divides the {options.units} units; got {options.heads}")
    with seeded(seed):
        return _build(kind, np.asarray(vectors, dtype=np.float32), options)


def trainable(tower: keras.Model) -> keras.Model:
    """Return a copy of a tower to train: float32 token vectors, nothing frozen, Keras' current dtype policy.

    The copy computes the same as the tower, up to rounding.
    """
    copy = _copy(tower, storage="float32", policy=keras.config.dtype_policy().name)
    copy.trainable = True
    return copy


def compact(tower: keras.Model, *, policy: str = "float32") -> keras.Model:
    """Return a copy of a tower to save: int8 token vectors, and the LSTM or transformer in a dtype policy of Keras.

    The copy computes the same as the tower, up to rounding the components of each token vector to 255 levels, and the
    other weights to ``policy``.
    """
    return _copy(tower, storage="int8", policy=policy)


def _build(kind: str, vectors: NDArray[np.float32], options: TowerOptions) -> keras.Model:
    vocabulary, width = vectors.shape
    dim = options.dim or width
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    kept = {"storage": "float32", "dtype": "float32", "name": TOKENS_LAYER}
    if kind == "average":
        rows = _projected(WeightedTokenSum(vocabulary, width, **kept)(ids), vectors, options)
    else:
        vectors = vectors / _typical_length(vectors)
        tokens = TokenVectors(vocabulary, width, **kept)(ids)
        states = _context(kind, tokens, ids, options)
        pooled = Pooling(options.pooling, dtype="float32", name="pooling")(states, ids)
        mean = _projected(Pooling("mean", dtype="float32", name="token_mean")(tokens, ids), vectors, options)
        start = UnitLength(dtype="float32", name="token_unit_length")(mean)
        added = keras.layers.Dense(dim, use_bias=False, kernel_initializer="zeros", dtype="float32", name="added")
        rows = keras.layers.Add(dtype="float32", name="sum")([start, added(pooled)])
    tower = keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name=kind)
    tower.get_layer(TOKENS_LAYER).set_weights(stored_rows(vectors, storage="float32"))
    return tower


def _context(kind: str, tokens: Tensor, ids: Tensor, options: TowerOptions) -> Tensor:
    """Return the output of the LSTM or transformer, ``(texts, tokens, units)``, or twice as wide in both directions."""
    states = keras.layers.Rescaling(math.sqrt(tokens.shape[-1]), name="scale")(tokens)
    if kind == "lstm":
        for number in range(options.layers):
            layer = Lstm(
                options.units, bidirectional=options.bidirectional, dropout=options.dropout, name=f"lstm_{number}"
            )
            states = layer(states, ids)
        return states
    states = keras.layers.Dense(options.units, use_bias=False, name="entry")(states)
    states = Positions(options.max_tokens, name="positions")(states)
    for number in range(options.layers):
        block = EncoderBlock(options.heads, 4 * options.units, dropout=options.dropout, name=f"block_{number}")
        states = block(states, ids)
    return keras.layers.LayerNormalization(epsilon=1e-6, name="last_norm")(states)


def _projected(rows: Tensor, vectors: NDArray[np.float32], options: TowerOptions) -> Tensor:
    """Return rows ``(texts, width)`` as ``(texts, dim)``, through a linear layer if one is wanted or needed."""
    width = vectors.shape[1]
    dim = options.dim or width
    if dim == width and not options.projection:
        return rows
    dense = keras.layers.Dense(dim, use_bias=False, dtype="float32", name="projection")
    projected = dense(rows)
    dense.set_weights([_principal_directions(vectors, dim)])
    return projected


def _principal_directions(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return the linear map ``(width, dim)`` that preserves the vectors' inner products best."""
    width = vectors.shape[1]
    if dim >= width:
        return np.eye(width, dim, dtype=np.float32)
    directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1]  # by rising variance
    return np.asarray(directions[:, ::-1][:, :dim], dtype=np.float32)


def _typical_length(vectors: NDArray[np.float32]) -> float:
    """Return the mean length of the rows that are not zero, or 1 if all are."""
    lengths = np.linalg.norm(vectors, axis=1)
    return float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0


def _copy(tower: keras.Model, *, storage: str, policy: str) -> keras.Model:
    """Return a copy of a tower with another type of token vectors and another dtype policy."""

    def again(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, WeightedTokenSum):
            config["storage"] = storage
        if not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = policy if layer.name.startswith(_POLICY_LAYERS) else "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(tower, clone_function=again)
    for layer in tower.layers:
        weights = (
            stored_rows(token_vectors(tower), storage=storage) if layer.name == TOKENS_LAYER else layer.get_weights()
        )
        copy.get_layer(layer.name).set_weights(weights)
    return copy
