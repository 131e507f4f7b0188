"""Starting points: an encoder's tower made ready to be trained, or a new tower around its token vectors.

ENCODER    the tower of an encoder directory; of another kind than asked for, a new tower around its token vectors
default    the encoder that docsim ships
scratch    random token vectors, over the default encoder's vocabulary
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder, read_manifest
from docsim.errors import TrainingError
from docsim.training.towers.artefact import Parts, load
from docsim.training.towers.kinds import KINDS, TowerOptions, build_tower, embedding_of, trainable

__all__ = ["DEFAULT", "POLICIES", "SCRATCH", "Start", "start", "weigh"]

DEFAULT = "default"
SCRATCH = "scratch"

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
"""Keras' dtype policy by the precision that matrix products are taken in."""

_TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Start:
    """Where a training starts.

    Attributes:
        parts: The encoder's parts; its tower can be trained.
        parent: Fingerprint of the encoder that it was made from.
        name: Its name, for people.
        adapted: Whether its token weights are those of a corpus already, and are kept. Training of other kinds, as that
            of the default encoder, leaves them to be weighed anew.
    """

    parts: Parts
    parent: str
    name: str
    adapted: bool = False


def start(
    of: str, *, kind: str | None = None, options: TowerOptions | None = None, precision: str = "float32", seed: int = 0
) -> Start:
    """Return a tower to train.

    Args:
        of: The directory of an encoder, ``default`` or ``scratch``.
        kind: ``average``, ``lstm`` or ``transformer``; when not given, that of the encoder.
        options: The shape of a new tower.
        precision: One of ``POLICIES``; token vectors, sums and lengths are float32 in all.
        seed: Seed of what starts random.

    Raises:
        EncoderError: The encoder is missing or damaged.
        TrainingError: The kind is unknown, or ``options`` asks for what cannot be.
    """
    if kind is not None and kind not in KINDS:
        raise TrainingError(f"expected a tower of the kind {', '.join(KINDS)}; got {kind!r}")
    path = Encoder.default().path if of in (DEFAULT, SCRATCH) else Path(of)
    parts, encoder = load(path), Encoder.load(path)
    policy = keras.config.dtype_policy().name
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        made = _made(parts, kind or parts.kind, options, scratch=of == SCRATCH, seed=seed)
    finally:
        keras.config.set_dtype_policy(policy)
    if of == SCRATCH:
        return Start(made, encoder.fingerprint, SCRATCH)
    return Start(made, encoder.fingerprint, encoder.name, _adapted(read_manifest(path).get("lineage", {})))


def weigh(tower: keras.Model, weights: NDArray[np.float32], *, share: float = 1.0) -> None:
    """Give a trainable tower other token weights, in place, scaled to the mean that the old ones had.

    Padding keeps its zero, and so do tokens that counted for nothing.

    Args:
        tower: A tower whose token vectors are float32.
        weights: How much each token is to count, float32 ``(vocabulary,)``, at least 0.
        share: Exponent of ``weights`` in their geometric mean with the old ones, in [0, 1].
    """
    layer = tower.get_layer(_TOKENS)
    before = np.array(keras.ops.convert_to_numpy(layer.weights_by_token))
    after = np.where(before > 0, before ** (1 - share) * weights**share, 0)
    layer.weights_by_token.assign((after * (before.mean() / max(float(after.mean()), 1e-12))).astype(np.float32))


def _adapted(lineage: Mapping[str, Any]) -> bool:
    """Return what a manifest says; those of before it did say only which documents were held out of which training."""
    return bool(lineage.get("adapted", lineage.get("parent") and lineage.get("held_out")))


def _made(parts: Parts, kind: str, options: TowerOptions | None, *, scratch: bool, seed: int) -> Parts:
    """Return parts with a trainable tower of a kind."""
    if kind == parts.kind and not scratch and options is None:
        return replace(parts, tower=trainable(parts.tower))
    vectors = embedding_of(parts.tower)
    if scratch:
        random = np.random.default_rng(seed).standard_normal(vectors.shape, dtype=np.float32)
        vectors = random / np.linalg.norm(random, axis=1, keepdims=True)
        vectors[parts.preprocessing.padding_id] = 0
    options = options or TowerOptions()
    tower = build_tower(kind, vectors, options, seed=seed)
    most = parts.max_tokens if kind == "average" else min(parts.max_tokens, options.max_tokens)
    return replace(parts, tower=tower, kind=kind, max_tokens=most)
