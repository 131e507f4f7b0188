"""Weights: the numbers that scores of words are made with."""

from __future__ import annotations

__all__ = ["EXACT", "K1", "RAREST", "TITLE_WEIGHT", "B"]

K1, B = 1.2, 0.75
"""BM25's parameters, at their usual values: how soon repeats of a word stop counting, and how much length counts."""

TITLE_WEIGHT = 2
"""What a word in the title counts, where one in the text counts 1; measured, see docs/research/ranking.md."""

EXACT = 0.3
"""The share of a word's score that only documents with the very word get; measured, see docs/research/ranking.md."""

RAREST = 1e-6
"""The least that a word weighs, however many documents hold it."""
