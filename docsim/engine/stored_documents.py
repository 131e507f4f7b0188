"""Stored documents: whether what an engine keeps of a document is what its source held, and is all found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from docsim.engine.records import StoredDocument
from docsim.ingest import repeated
from docsim.models import Passage

__all__ = ["is_covered", "is_sound"]


def is_sound(stored: StoredDocument | None) -> bool:
    """Return whether a document is what its source held, as its digest tells."""
    return stored is not None and stored.document.digest() == stored.digest


def is_covered(stored: StoredDocument, passages: Sequence[Passage], lines: Collection[str]) -> bool:
    """Return whether a document's passages are in order and cover its text except for white space and some lines.

    Args:
        stored: The document.
        passages: Its passages, in order.
        lines: Those that passages may leave out.
    """
    text, end, start = stored.document.text, 0, 0
    for passage in [*passages, Passage(len(text), len(text))]:
        if passage.start < start or not repeated.are_repeated(text[end : passage.start], lines):
            return False
        start, end = passage.start, max(end, passage.end)
    return True
