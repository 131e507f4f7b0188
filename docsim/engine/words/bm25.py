"""BM25: its parameters, and the formula of what a document gains for a word that it holds.

BM25 (Robertson & Zaragoza 2009, Foundations and Trends in IR 3(4)) is a sum over the words of a query. For each word
that a document holds, it gains

    weight * (K1 + 1) * times / (times + K1 * (1 - B + B * length / mean length))

where ``weight`` is the inverse document frequency of the word, ``times`` is how often the document holds it, and
lengths are in words. A word counts as its stem, which other words may share, and to a lesser part as itself, so that
pages which say "train" come before those which say "training" when "train" is asked for.

``term_postings`` finds the documents that hold each word, and ``matches`` adds up what they gain.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["EXACT", "K1", "RAREST", "TITLE_WEIGHT", "B", "gained", "inverse_document_frequency", "norms"]

K1, B = 1.2, 0.75
"""BM25's parameters, at their usual values: how soon repeats of a word stop counting, and how much length counts."""

TITLE_WEIGHT = 2
"""What a word in the title counts, where one in the text counts 1; measured, see docs/research/ranking.md.

It is part of what segments hold: whoever changes it also raises ``segment.FORMAT``, so that segments are made again.
"""

EXACT = 0.3
"""The share of a word's score that only documents with the very word get; measured, see docs/research/ranking.md."""

RAREST = 1e-6
"""The least that a word weighs, however many documents hold it."""


def inverse_document_frequency(holding: int, documents: int) -> float:
    """Return how much a match of a word weighs, at least ``RAREST``.

    Args:
        holding: How many documents hold the word.
        documents: How many documents there are.
    """
    return max(RAREST, math.log((documents - holding + 0.5) / (holding + 0.5)))


def norms(lengths: NDArray[np.float32], mean_length: float) -> NDArray[np.float32]:
    """Return what the formula adds to ``times`` in each document, ``float32 (n,)``; more for longer ones.

    Args:
        lengths: How many words each document has, ``float32 (n,)``.
        mean_length: The mean number of words of a document, above 0.
    """
    return (K1 * (1 - B + B / mean_length * lengths)).astype(np.float32)


def gained(weight: float, times: NDArray[np.float32], norms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what documents gain for a word, ``float32 (n,)``, from 0.

    Args:
        weight: How much a match weighs.
        times: How often each document holds the word, words in the title counting more, ``float32 (n,)``.
        norms: The ``norms`` of the same documents, ``float32 (n,)``.
    """
    return np.float32(weight * (K1 + 1)) * times / (times + norms)
