"""Fusion: combines dense and lexical scores into one score per document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONG", "SHORT", "Fusion"]

SHORT = 0.5
"""The weight of lexical scores for a query of one passage; measured, see docs/research/ranking.md."""

LONG = 0.3
"""The weight of lexical scores for a longer query, where a smaller part of the words tells what it is about."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """The weighted sum of dense and lexical scores, each as z-scores: standard deviations from the mean.

    Means and deviations are those of a query's first candidates. They do not change for candidates found later, so a
    document's score does not depend on how many hits were asked for. Alternatives are compared in
    docs/research/ranking.md.

    Attributes:
        dense_mean: Mean of the dense scores.
        dense_deviation: Standard deviation of the dense scores, above 0.
        lexical_mean: Mean of the lexical scores.
        lexical_deviation: Standard deviation of the lexical scores, above 0.
        share: The weight of lexical scores, in [0, 1]; dense scores have the rest.
    """

    dense_mean: float
    dense_deviation: float
    lexical_mean: float
    lexical_deviation: float
    share: float

    @classmethod
    def fitted(cls, dense: NDArray[np.float32], lexical: NDArray[np.float32], *, share: float) -> Fusion:
        """Return the fusion for a query whose first candidates have these scores.

        Args:
            dense: Scores by embeddings, ``float32 (n,)``.
            lexical: Scores by words, ``float32 (n,)``; 0 for a document that shares no word with the query.
            share: The weight of lexical scores, in [0, 1]; dense scores have the rest.
        """
        if not len(dense):
            return cls(0.0, 1.0, 0.0, 1.0, share)
        return cls(float(dense.mean()), _deviation(dense), float(lexical.mean()), _deviation(lexical), share)

    def scores(self, dense: NDArray[np.float32], lexical: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the fused scores, ``float32 (n,)``. Higher is better; an average candidate scores 0."""
        z_dense = (dense - self.dense_mean) / self.dense_deviation
        z_lexical = (lexical - self.lexical_mean) / self.lexical_deviation
        fused: NDArray[np.float32] = (1 - self.share) * z_dense + self.share * z_lexical
        return fused.astype(np.float32)


def _deviation(values: NDArray[np.float32]) -> float:
    """Return the standard deviation, or 1 if the values differ by noise only, so that they do not influence the sum.

    BM25 gives a term that is in half of the documents or more a millionth of the score of a rare term.
    """
    deviation = float(values.std())
    return deviation if deviation > 1e-4 else 1.0
