"""Starting points of a training: an existing encoder, or a new tower around the token vectors of one.

directory        the tower of that encoder; if another kind is wanted, a new tower around its token vectors
fast, accurate   the same with an encoder that docsim ships; default is fast
scratch          random token vectors over the vocabulary of the fast encoder
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.encoding.shipped import FAST, located
from docsim.errors import TrainingError
from docsim.training.towers.average import TOKENS_LAYER, token_vectors
from docsim.training.towers.kinds import KINDS, TowerOptions, build_tower, trainable
from docsim.training.towers.saving import EncoderParts, load

__all__ = [
    "DEFAULT",
    "POLICIES",
    "SCRATCH",
    "StartingPoint",
    "encoder_directory",
    "make_starting_point",
    "set_token_weights",
    "starting_point",
]

DEFAULT = "default"
SCRATCH = "scratch"

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
"""Keras dtype policy for each precision of matrix products."""


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What a training starts from.

    Attributes:
        parts: The encoder; its tower can be trained.
        parent: Fingerprint of the encoder that it was made from; None if it was made of documents alone.
        name: Its display name.
        adapted: Whether its token weights already come from a corpus; training then keeps them. Otherwise, as for the
            shipped encoders, training on documents sets them anew.
    """

    parts: EncoderParts
    parent: str | None
    name: str
    adapted: bool = False


def make_starting_point(
    of: str, *, kind: str | None = None, options: TowerOptions | None = None, precision: str = "float32", seed: int = 0
) -> StartingPoint:
    """Return a tower to train.

    Args:
        of: An encoder directory, ``fast``, ``accurate`` or ``scratch``.
        kind: ``average``, ``lstm`` or ``transformer``; by default the kind of the encoder.
        options: Shape of a new tower.
        precision: One of ``POLICIES``. Token vectors, sums and lengths are float32 in every precision.
        seed: Random seed.

    Raises:
        EncoderError: The encoder is missing or damaged.
        TrainingError: The kind is unknown, or no tower can have the shape in ``options``.
    """
    if kind is not None and kind not in KINDS:
        raise TrainingError(f"expected a tower of the kind {', '.join(KINDS)}; got {kind!r}")
    path = encoder_directory(of)
    parts, encoder = load(path), Encoder.load(path)
    made = _made(parts, kind or parts.kind, options, precision, scratch=of == SCRATCH, seed=seed)
    if of == SCRATCH:
        return StartingPoint(made, encoder.fingerprint, SCRATCH)
    return StartingPoint(made, encoder.fingerprint, encoder.name, encoder.is_adapted)


def starting_point(
    parts: EncoderParts, *, name: str, kind: str | None = None, precision: str = "float32", seed: int = 0
) -> StartingPoint:
    """Return a tower to train that is made of an encoder in memory, as that of documents alone is.

    Args:
        parts: The encoder.
        name: What it is called.
        kind: See ``make_starting_point``, like the following.
        precision: One of ``POLICIES``.
        seed: Random seed.
    """
    made = _made(parts, kind or parts.kind, None, precision, scratch=False, seed=seed)
    return StartingPoint(made, None, name)


def encoder_directory(of: str) -> Path:
    """Return the directory of the encoder that a starting point is made from."""
    return located(FAST if of == SCRATCH else of)


def set_token_weights(tower: keras.Model, weights: NDArray[np.float32], *, share: float = 1.0) -> None:
    """Mix new token weights into a trainable tower, in place. The mean of all weights stays the same.

    Padding keeps its weight of zero, and so do other tokens whose weight is zero.

    Args:
        tower: A tower with float32 token vectors.
        weights: New weight of each token, float32 ``(vocabulary,)``, at least 0.
        share: How far to move towards the new weights, in [0, 1]: their exponent in the geometric mean with the old.
    """
    layer = tower.get_layer(TOKENS_LAYER)
    before = np.array(keras.ops.convert_to_numpy(layer.weights_by_token))
    after = np.where(before > 0, before ** (1 - share) * weights**share, 0)
    layer.weights_by_token.assign((after * (before.mean() / max(float(after.mean()), 1e-12))).astype(np.float32))


def _made(
    parts: EncoderParts, kind: str, options: TowerOptions | None, precision: str, *, scratch: bool, seed: int
) -> EncoderParts:
    """Return parts with a trainable tower that computes in the given precision."""
    policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        return _trainable_parts(parts, kind, options, scratch=scratch, seed=seed)
    finally:
        keras.config.set_dtype_policy(policy)


def _trainable_parts(
    parts: EncoderParts, kind: str, options: TowerOptions | None, *, scratch: bool, seed: int
) -> EncoderParts:
    """Return parts with a trainable tower of the given kind."""
    if kind == parts.kind and not scratch and options is None:
        return replace(parts, tower=trainable(parts.tower))
    vectors = token_vectors(parts.tower)
    if scratch:
        random = np.random.default_rng(seed).standard_normal(vectors.shape, dtype=np.float32)
        vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
        vectors[parts.preprocessing.padding_id] = 0
    options = options or TowerOptions()
    tower = build_tower(kind, vectors, options, seed=seed)
    most = parts.max_tokens if kind == "average" else min(parts.max_tokens, options.max_tokens)
    return replace(parts, tower=tower, kind=kind, max_tokens=most)
