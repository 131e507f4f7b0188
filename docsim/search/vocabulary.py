"""Vocabulary: how much of an index and of a query the encoder's vocabulary does not know.

All tokens that a vocabulary does not know have one embedding. So texts full of them resemble each other, whatever they
say, and only their words can tell them apart. If the encoder reads a word letter by letter, the letters are known
tokens, but the word's meaning is not known either: see ``docsim.encoding.spelling``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.encoding.spelling import spelled_out_share
from docsim.engine.base import Snapshot
from docsim.errors import EncoderError
from docsim.models import Document

__all__ = ["nothing", "spelled_out_in_index", "unknown_in", "unknown_in_index"]

DOCUMENTS = 100
"""Documents in the sample, at most."""

CHARACTERS = 400
"""Characters of each that are read."""

_NOTED, _SPELLED_OUT, _NOTHING = "unknown", "spelled out", "nothing"


def unknown_in_index(snapshot: Snapshot) -> float:
    """Return what share of the index's tokens its encoder does not know, in [0, 1], by a sample of documents.

    It is computed once for a state of the index.

    Raises:
        EncoderError: The encoder is missing or damaged.
    """
    known = snapshot.background
    if _NOTED not in known:
        texts = _sample(snapshot)
        shares = snapshot.encoder.unknown_shares(texts) if texts else np.zeros(1, np.float32)
        known[_NOTED] = shares.mean(keepdims=True)
    return float(known[_NOTED][0])


def spelled_out_in_index(snapshot: Snapshot, encoder: Encoder | None = None) -> float:
    """Return what share of the index's words an encoder spells out or does not know, in [0, 1], by a sample.

    Args:
        snapshot: The index.
        encoder: The encoder; by default the index's own, for which it is computed once for a state of the index.

    Raises:
        EncoderError: The index's own encoder is missing or damaged.
    """
    if encoder is not None:
        return spelled_out_share(encoder, _sample(snapshot))
    known = snapshot.background
    if _SPELLED_OUT not in known:
        share = spelled_out_share(snapshot.encoder, _sample(snapshot))
        known[_SPELLED_OUT] = np.array([share], np.float32)
    return float(known[_SPELLED_OUT][0])


def _sample(snapshot: Snapshot) -> list[str]:
    """Return pieces of documents from all over the index."""
    pieces = snapshot.excerpts(snapshot.sample(DOCUMENTS).tolist(), CHARACTERS)
    return [text for text, _ in pieces.values() if text.strip()]


def nothing(snapshot: Snapshot) -> NDArray[np.float32] | None:
    """Return the embedding of every text of which the encoder knows no token, ``float32 (dim,)``, unit norm.

    None for an encoder that reads tokens in context, which has a different one for each number of them, and for one
    that cannot be read. It is computed once for a state of the index.
    """
    known = snapshot.background
    if _NOTHING not in known:
        try:
            encoder = snapshot.encoder
            known[_NOTHING] = encoder.encode([""][encoder.is_contextual :])
        except EncoderError:
            return None
    return known[_NOTHING][0] if len(known[_NOTHING]) else None


def unknown_in(snapshot: Snapshot, document: Document) -> float:
    """Return what share of a query's tokens the encoder does not know, in [0, 1].

    Raises:
        EncoderError: The encoder is missing or damaged.
    """
    return float(snapshot.encoder.unknown_shares([f"{document.title} {document.text}"])[0])
