"""Fusion: combines dense and lexical scores into one score per document."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ADAPTED", "EVEN", "LESS", "MOST", "MOST_UNKNOWN", "Circumstances", "Fusion"]

EVEN = 0.5
"""The weight of lexical scores where nothing speaks for another; measured, see docs/research/ranking.md."""

LESS = 0.1
"""How much less it is for a question in a sentence, and again for an encoder that reads words in context."""

ADAPTED = 0.3
"""The weight for a query of several passages, where the encoder was trained on documents."""

MOST = 0.97
"""Their weight where the encoder knows nothing: embeddings only decide between documents that match equally."""

MOST_UNKNOWN = 0.02
"""From this share of unknown tokens in an index on, the weight of lexical scores is ``MOST``."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides how much words count in a query's score.

    Attributes:
        long: Whether the query has several passages.
        sentence: Whether it is worded as a sentence, and not as keywords.
        contextual: Whether the encoder reads tokens in context.
        adapted: Whether it was trained on documents.
        unknown: The share of tokens in the index that it does not know, in [0, 1].
        unasked: The share of the query's tokens that it does not know, in [0, 1].
    """

    long: bool = False
    sentence: bool = False
    contextual: bool = False
    adapted: bool = False
    unknown: float = 0.0
    unasked: float = 0.0

    @property
    def share(self) -> float:
        """The weight of lexical scores, in [0, ``MOST``]; dense scores have the rest.

        What the vocabulary of the encoder does not know can be found by words only. In an index with unknown tokens,
        the others mislead as well: texts of one language, or with as many unknown tokens, resemble each other. Fitted
        on all judged sets, see docs/research/ranking.md.
        """
        share = EVEN - LESS * (self.sentence + self.contextual)
        if self.long:
            share = ADAPTED if self.adapted else EVEN
        return share + (MOST - share) * max(min(1.0, self.unknown / MOST_UNKNOWN), self.unasked)


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
