"""What docsim relies on in Keras beyond its documented interface, all in one place.

- Layers without a seed of their own draw one from Python's ``random`` module when they are created
  (``keras.src.random.seed_generator.make_default_seed``), so seeding ``random`` fixes the initial weights.
- ``keras.ops.take`` is exported to ONNX as a ``Gather`` whose indices are corrected for negative ids by the operators
  in ``NEGATIVE_ID_CORRECTION``; ``docsim.training.towers.export`` skips that correction.
- Variables that are made in a ``keras.StatelessScope`` have no memory yet. They wait in a list of Keras' own global
  state, and the next such scope would give it to them.
- Exporting to ONNX triggers a ``FutureWarning`` of NumPy inside Keras' own code.

``pyproject.toml`` bounds the version of Keras because of these, and tests/test_private_parts.py fails when one of them
changes.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state

__all__ = ["NEGATIVE_ID_CORRECTION", "export_warnings_ignored", "seeded", "without_memory"]

NEGATIVE_ID_CORRECTION = frozenset({"Add", "Cast", "Less", "Mul", "Not", "Where"})
"""ONNX operators with which Keras turns negative indices of ``keras.ops.take`` into positive ones."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make the initial weights of layers that are created in this context depend on ``seed`` alone.

    ``keras.utils.set_random_seed`` would also reset the random state of NumPy and TensorFlow for the whole process.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def without_memory() -> Iterator[None]:
    """Have the models that are made in this context take no memory for their weights, whose shapes are known.

    They must not be used afterwards.
    """
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])


@contextmanager
def export_warnings_ignored() -> Iterator[None]:
    """Ignore the NumPy warning that Keras' ONNX export triggers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        yield
