"""Advice on vocabulary: whether the encoder knows the language of an index, and what to do if it does not."""

from __future__ import annotations

from docsim.engine.retrying import retried
from docsim.errors import EncoderError
from docsim.index import Index
from docsim.search.fusion import MOST_UNKNOWN
from docsim.search.vocabulary import unknown_in_index

__all__ = ["advice", "unknown_share"]


@retried
def unknown_share(index: Index) -> float | None:
    """Return what share of the tokens of an index its encoder does not know, in [0, 1], by a sample of documents.

    None if the encoder cannot be read.
    """
    try:
        with index.engine.snapshot(encoder=True) as snapshot:
            return unknown_in_index(snapshot)
    except EncoderError:
        return None


def advice(share: float | None) -> str | None:
    """Return what to do about a share of unknown tokens, a sentence; None where nothing needs to be done."""
    if share is None or share < MOST_UNKNOWN:
        return None
    return (
        f"the encoder's vocabulary does not know {share:.0%} of the documents' tokens, so documents are found by their "
        "words, and hardly by meaning; docsim adapt makes a vocabulary of these documents. Better still is an encoder "
        "that knows their languages: docsim encoder import, then docsim reindex --encoder"
    )
