"""The kinds of towers: the one place that knows them all.

    average       the sum of token vectors
    lstm          plus what an LSTM makes of them
    transformer   plus what a small pre-norm transformer makes of them

Every tower goes from ids ``(texts, tokens)`` int32, padded with 0 at the end, to unit rows ``(texts, dim)`` float32,
and has its token vectors in a layer called ``tokens``. The second and third start out as the first: their last layer
is zero, so that training begins at what the token vectors are worth and can only add to it. Imported encoders
(``docsim.training.distill.imported``) are transformers of the same layers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.towers.layers import POOLINGS, Pooling, TokenVectors
from docsim.training.towers.lstm import Lstm
from docsim.training.towers.static import UnitLength, WeightedTokenSum, stored_rows, token_vectors
from docsim.training.towers.transformer import EncoderBlock, Positions

__all__ = [
    "KINDS",
    "TowerOptions",
    "build_tower",
    "compact",
    "embedding_of",
    "load_tower",
    "set_embedding_trainable",
    "trainable",
]

KINDS = ("average", "lstm", "transformer")

_TOKENS = "tokens"
_POLICY_LAYERS = ("scale", "lstm_", "entry", "positions", "block_", "first_norm", "last_norm")
"""How the names of layers begin that compute in the dtype policy; sums and lengths lose too much in half precision."""


@dataclass(frozen=True, slots=True)
class TowerOptions:
    """The shape of a tower; each kind reads what concerns it.

    Attributes:
        dim: Components of an embedding; None for those of the token vectors.
        units: Width of an LSTM's states in each direction, or of the transformer's.
        layers: LSTM layers or transformer blocks.
        heads: Attention heads; they divide ``units``.
        projection: Whether the sum of token vectors goes through a learnt linear layer. One that is needed to reach
            ``dim`` is there anyway. It starts as the projection that keeps most of the token vectors' inner products.
        max_tokens: Tokens of the longest text that an LSTM or a transformer reads; the latter has as many positions.
        dropout: Share of components dropped in training, in [0, 1).
        bidirectional: Whether the LSTM reads both ways.
        pooling: How token states become one row: ``mean`` or ``max``.
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
        """Refuse what no tower can have.

        Raises:
            TrainingError: A number is out of its range, or the pooling unknown.
        """
        for name in ("dim", "units", "layers", "heads", "max_tokens"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise TrainingError(f"expected a tower's {name} to be at least 1; got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"expected a tower's dropout in [0, 1); got {self.dropout}")
        if self.pooling not in POOLINGS:
            raise TrainingError(f"expected a tower's pooling to be one of {', '.join(POOLINGS)}; got {self.pooling!r}")


def build_tower(
    kind: str, vectors: NDArray[np.float32], options: TowerOptions | None = None, *, seed: int = 0
) -> keras.Model:
    """Return a new tower, ready to be trained, under Keras' current dtype policy.

    Args:
        kind: One of ``KINDS``.
        vectors: Token vectors times token weights, float32 ``(vocabulary, width)``, that its embedding starts from; row
            0 belongs to padding.
        options: Its shape.
        seed: Seed of the weights that start random.

    Returns:
        A model from ids ``(texts, tokens)`` int32, 0 for padding, to unit rows ``(texts, dim)`` float32.

    Raises:
        TrainingError: The kind is unknown, the vectors are no table, or the heads do not divide the units.
    """
    options = options or TowerOptions()
    if kind not in KINDS:
        raise TrainingError(f"expected a tower of the kind {', '.join(KINDS)}; got {kind!r}")
    if vectors.ndim != 2 or vectors.shape[0] < 2:
        raise TrainingError(f"expected token vectors (vocabulary, width), padding first; got the shape {vectors.shape}")
    if kind == "transformer" and options.units % options.heads:
        raise TrainingError(f"expected heads that divide the {options.units} units; got {options.heads}")
    with _seeded(seed):
        return _built(kind, np.asarray(vectors, dtype=np.float32), options)


def trainable(tower: keras.Model) -> keras.Model:
    """Return a copy of a tower to train: float32 token vectors, nothing frozen, Keras' current dtype policy.

    It computes what the tower does, up to rounding.
    """
    copy = _copied(tower, storage="float32", policy=keras.config.dtype_policy().name)
    copy.trainable = True
    return copy


def compact(tower: keras.Model) -> keras.Model:
    """Return a copy of a tower to save: int8 token vectors, the rest float32.

    It computes what the tower does, up to the rounding of each token vector to 255 steps.
    """
    return _copied(tower, storage="int8", policy="float32")


def set_embedding_trainable(tower: keras.Model, trainable: bool) -> None:
    """Freeze or unfreeze a tower's token vectors; compile it again for that to take effect.

    A frozen ``average`` tower without a projection has nothing left to train.

    Raises:
        TrainingError: The tower's token vectors are int8; ``trainable`` gives a copy whose are not.
    """
    layer = tower.get_layer(_TOKENS)
    if trainable and layer.storage != "float32":
        raise TrainingError("expected a tower with float32 token vectors; int8 ones cannot be trained: copy it first")
    layer.trainable = trainable


def embedding_of(tower: keras.Model) -> NDArray[np.float32]:
    """Return the token vectors times weights that a tower reads, float32 ``(vocabulary, width)``."""
    return token_vectors(tower)


def load_tower(path: str) -> keras.Model:
    """Return the Keras model kept in a ``tower.keras``; importing this module is what makes its layers known."""
    return keras.saving.load_model(path, compile=False)


def _built(kind: str, vectors: NDArray[np.float32], options: TowerOptions) -> keras.Model:
    vocabulary, width = vectors.shape
    dim = options.dim or width
    ids = keras.Input(shape=(None,), dtype="int32", name="ids")
    kept = {"storage": "float32", "dtype": "float32", "name": _TOKENS}
    if kind == "average":
        rows = _narrowed(WeightedTokenSum(vocabulary, width, **kept)(ids), vectors, options)
    else:
        vectors = vectors / _typical_length(vectors)
        tokens = TokenVectors(vocabulary, width, **kept)(ids)
        states = _context(kind, tokens, ids, options)
        pooled = Pooling(options.pooling, dtype="float32", name="pooling")(states, ids)
        mean = _narrowed(Pooling("mean", dtype="float32", name="token_mean")(tokens, ids), vectors, options)
        start = UnitLength(dtype="float32", name="token_unit_length")(mean)
        added = keras.layers.Dense(dim, use_bias=False, kernel_initializer="zeros", dtype="float32", name="added")
        rows = keras.layers.Add(dtype="float32", name="sum")([start, added(pooled)])
    tower = keras.Model(ids, UnitLength(dtype="float32", name="unit_length")(rows), name=kind)
    tower.get_layer(_TOKENS).set_weights(stored_rows(vectors, storage="float32"))
    return tower


def _context(kind: str, tokens: Any, ids: Any, options: TowerOptions) -> Any:
    """Return what an LSTM or a transformer makes of token vectors: ``(texts, tokens, units)`` or twice as wide."""
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


def _narrowed(rows: Any, vectors: NDArray[np.float32], options: TowerOptions) -> Any:
    """Return rows ``(texts, width)`` as ``(texts, dim)``, through a linear layer where one is wanted or needed."""
    width = vectors.shape[1]
    dim = options.dim or width
    if dim == width and not options.projection:
        return rows
    dense = keras.layers.Dense(dim, use_bias=False, dtype="float32", name="projection")
    projected = dense(rows)
    dense.set_weights([_principal_directions(vectors, dim)])
    return projected


def _principal_directions(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return the linear map ``(width, dim)`` that keeps most of the vectors' inner products; all of them if it can."""
    width = vectors.shape[1]
    if dim >= width:
        return np.eye(width, dim, dtype=np.float32)
    directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1]  # by rising variance
    return np.asarray(directions[:, ::-1][:, :dim], dtype=np.float32)


def _typical_length(vectors: NDArray[np.float32]) -> float:
    """Return the mean length of the rows that are not zero; 1 if all are."""
    lengths = np.linalg.norm(vectors, axis=1)
    return float(lengths[lengths > 0].mean()) if (lengths > 0).any() else 1.0


def _copied(tower: keras.Model, *, storage: str, policy: str) -> keras.Model:
    """Return a copy of a tower that keeps its token vectors, and computes, in other types."""

    def again(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, WeightedTokenSum):
            config["storage"] = storage
        if not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = policy if layer.name.startswith(_POLICY_LAYERS) else "float32"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(tower, clone_function=again)
    for layer in tower.layers:
        weights = stored_rows(token_vectors(tower), storage=storage) if layer.name == _TOKENS else layer.get_weights()
        copy.get_layer(layer.name).set_weights(weights)
    return copy


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Make what Keras starts at random depend on ``seed`` alone: it draws the seeds of layers from ``random``."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
