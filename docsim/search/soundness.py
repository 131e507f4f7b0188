"""Soundness: whether a document that is about to be shown is what was stored, so that damage is never shown as a hit.

Only what is shown is checked, which takes well under a millisecond a page. ``docsim verify`` checks everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docsim.engine.records import StoredDocument
from docsim.models import Passage

__all__ = ["flaw"]


def flaw(
    stored: StoredDocument | None, passages: Sequence[Passage], *, embeddings: int, named: Mapping[str, int]
) -> str:
    """Return what is wrong with a document, in a few words; nothing when it is sound.

    Args:
        stored: The document; None where it is missing.
        passages: Its passages, in order.
        embeddings: How many embeddings it has.
        named: The number that each id stands for.
    """
    if stored is None:
        return "it is missing"
    document = stored.document
    if document.digest() != stored.digest or named.get(document.id) != stored.number:
        return "its text, title, metadata or id is not what was stored"
    if not len(passages) == stored.passages == embeddings:
        return "its passages do not match its embeddings"
    return "" if _are_of(document.text, passages) else "its passages are not those of its text"


def _are_of(text: str, passages: Sequence[Passage]) -> bool:
    """Return whether passages are in order, cover a text but for white space, and stand under headings of it."""
    start = end = 0
    for one in passages:
        if not (start <= one.start <= one.end <= len(text)) or text[end : one.start].strip():
            return False
        if any(part not in text for part in one.heading.split(" > ")):
            return False
        start, end = one.start, max(end, one.end)
    return not text[end:].strip()
