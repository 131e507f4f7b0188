"""An encoder whose space is another one's turned: components in another order, some with another sign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from encoder_variants import variant
from onnx import numpy_helper

__all__ = ["turned"]


def turned(source: Path, target: Path, *, seed: int = 0) -> Path:
    """Write an encoder with the same similarities as ``source`` exactly, but other embeddings."""

    def change(model: Any) -> None:
        table = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        rows = numpy_helper.to_array(table)
        random = np.random.default_rng(seed)
        order, signs = random.permutation(rows.shape[1]), random.choice([-1, 1], rows.shape[1])
        table.CopyFrom(numpy_helper.from_array((rows[:, order] * signs).astype(rows.dtype), table.name))

    return variant(source, target, change)
