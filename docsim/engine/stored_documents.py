"""Stored documents: whether what an engine keeps of one is what its source held, and how it is embedded again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from docsim.encoding.documents import kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.engine.records import Embedded, StoredDocument
from docsim.ingest import passages, repeated
from docsim.models import Passage

__all__ = ["embedded_again", "is_covered", "is_sound"]


def is_sound(stored: StoredDocument | None) -> bool:
    """Return whether a document is what its source held, as its digest tells."""
    return stored is not None and stored.document.digest() == stored.digest


def is_covered(stored: StoredDocument, spans: Sequence[Passage], lines: Collection[str]) -> bool:
    """Return whether a document's passages are in order and cover its text except for white space and some lines.

    Args:
        stored: The document.
        spans: Its passages, in order.
        lines: Those that passages may leave out.
    """
    text, end, start = stored.document.text, 0, 0
    for passage in [*spans, Passage(len(text), len(text))]:
        if passage.start < start or not repeated.are_repeated(text[end : passage.start], lines):
            return False
        start, end = passage.start, max(end, passage.end)
    return True


def embedded_again(encoder: Encoder, stored: StoredDocument, lines: Collection[str]) -> Embedded:
    """Return a document, split and encoded once more.

    Args:
        encoder: What encodes.
        stored: The document.
        lines: Those that passages leave out.
    """
    text = stored.document.text
    spans = tuple(passages.split(text, without=repeated.spans(text, lines)))
    return Embedded(stored.document, spans, kept_embeddings(encoder, [(stored.document, spans)])[0])
