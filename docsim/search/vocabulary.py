"""Vocabulary: how much of an index and of a query the encoder's vocabulary does not know.

All tokens that a vocabulary does not know have one embedding. So texts full of them resemble each other, whatever they
say, and only their words can tell them apart.
"""

from __future__ import annotations

import numpy as np

from docsim.engine.base import Snapshot
from docsim.models import Document

__all__ = ["unknown_in", "unknown_in_index"]

DOCUMENTS = 100
"""Documents in the sample, at most."""

CHARACTERS = 400
"""Characters of each that are read."""

_NOTED = "unknown"


def unknown_in_index(snapshot: Snapshot) -> float:
    """Return what share of the index's tokens its encoder does not know, in [0, 1], by a sample of documents.

    It is computed once for a state of the index.

    Raises:
        EncoderError: The encoder is missing or damaged.
    """
    known = snapshot.background
    if _NOTED not in known:
        pieces = snapshot.excerpts(snapshot.sample(DOCUMENTS).tolist(), CHARACTERS)
        texts = [text for text, _ in pieces.values() if text.strip()]
        shares = snapshot.encoder.unknown_shares(texts) if texts else np.zeros(1, np.float32)
        known[_NOTED] = shares.mean(keepdims=True)
    return float(known[_NOTED][0])


def unknown_in(snapshot: Snapshot, document: Document) -> float:
    """Return what share of a query's tokens the encoder does not know, in [0, 1].

    Raises:
        EncoderError: The encoder is missing or damaged.
    """
    return float(snapshot.encoder.unknown_shares([f"{document.title} {document.text}"])[0])
