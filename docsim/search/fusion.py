"""Fusion: one score from what embeddings and words say of each document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONG", "SHORT", "Fusion"]

SHORT = 0.5
"""Share of the lexical scores for a query of one passage; measured, see docs/research/ranking.md."""

LONG = 0.3
"""Share of the lexical scores for a longer query, of whose many words fewer say what it is about."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """The weighted sum of two kinds of scores, each in standard deviations from its mean (z-scores).

    Means and deviations are those of one query's first candidates, and stay what they are for those found later, so
    that a document's score does not depend on how many were asked for. See docs/research/ranking.md for what else was tried.
    """

    dense_mean: float
    dense_deviation: float
    lexical_mean: float
    lexical_deviation: float
    share: float

    @classmethod
    def fitted(cls, dense: NDArray[np.float32], lexical: NDArray[np.float32], *, share: float) -> Fusion:
        """Return the fusion for a query whose first candidates have these scores, both ``float32 (n,)``.

        Args:
            dense: Scores by embeddings.
            lexical: Scores by words; 0 where none is shared.
            share: What lexical scores count, in [0, 1]; dense ones count the rest.
        """
        if not len(dense):
            return cls(0.0, 1.0, 0.0, 1.0, share)
        return cls(float(dense.mean()), _deviation(dense), float(lexical.mean()), _deviation(lexical), share)

    def scores(self, dense: NDArray[np.float32], lexical: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the fused scores ``float32 (n,)``, higher is better; 0 is that of an average candidate."""
        z_dense = (dense - self.dense_mean) / self.dense_deviation
        z_lexical = (lexical - self.lexical_mean) / self.lexical_deviation
        fused: NDArray[np.float32] = (1 - self.share) * z_dense + self.share * z_lexical
        return fused.astype(np.float32)


def _deviation(values: NDArray[np.float32]) -> float:
    """Return the standard deviation; 1 where all are equal but for noise, so that they say nothing.

    BM25 gives a term that half of the documents or more hold 1e-6 times what it gives a rare one.
    """
    deviation = float(values.std())
    return deviation if deviation > 1e-4 else 1.0
