"""Fusion: one score from what embeddings and words say of each document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEXICAL_WEIGHT", "Fusion"]

LEXICAL_WEIGHT = 0.5
"""What a standard deviation of the lexical scores counts, where one of the dense scores counts 1 less this."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """The sum of two kinds of scores, each measured in standard deviations from its mean (z-scores).

    Means and deviations are those of one query's first candidates, and stay what they are for those found later, so
    that a document's score does not depend on how many were asked for. See docs/ranking.md for what else was tried.
    """

    dense_mean: float
    dense_deviation: float
    lexical_mean: float
    lexical_deviation: float

    @classmethod
    def fitted(cls, dense: NDArray[np.float32], lexical: NDArray[np.float32]) -> Fusion:
        """Return the fusion for a query whose first candidates have these scores, both ``float32 (n,)``."""
        if not len(dense):
            return cls(0.0, 1.0, 0.0, 1.0)
        return cls(float(dense.mean()), _deviation(dense), float(lexical.mean()), _deviation(lexical))

    def scores(self, dense: NDArray[np.float32], lexical: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the fused scores ``float32 (n,)``, higher is better; 0 is that of an average candidate."""
        z_dense = (dense - self.dense_mean) / self.dense_deviation
        z_lexical = (lexical - self.lexical_mean) / self.lexical_deviation
        fused: NDArray[np.float32] = (1 - LEXICAL_WEIGHT) * z_dense + LEXICAL_WEIGHT * z_lexical
        return fused.astype(np.float32)


def _deviation(values: NDArray[np.float32]) -> float:
    """Return the standard deviation; 1 where all are equal, so that they say nothing."""
    deviation = float(values.std())
    return deviation if deviation > 1e-6 else 1.0
