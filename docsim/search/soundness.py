"""Soundness: whether a document that is about to be shown is what was stored, so that damage is never shown as a hit.

Only what is shown is checked, which takes well under a millisecond a page. ``docsim verify`` checks everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from docsim.engine.records import StoredDocument
from docsim.ingest.repeated import are_repeated
from docsim.models import Passage

__all__ = ["flaw"]


def flaw(
    stored: StoredDocument | None,
    passages: Sequence[Passage],
    *,
    embeddings: int,
    named: Mapping[str, int],
    lines: Callable[[], Collection[str]] = tuple,
) -> str:
    """Return what is wrong with a document, in a few words; nothing when it is sound.

    Args:
        stored: The document; None where it is missing.
        passages: Its passages, in order.
        embeddings: How many embeddings it has.
        named: The number that each id stands for.
        lines: Returns the lines that passages leave out; asked only where a passage does not begin where the last ends.
    """
    if stored is None:
        return "it is missing"
    document = stored.document
    if document.digest() != stored.digest or named.get(document.id) != stored.number:
        return "its text, title, metadata or id is not what was stored"
    if not len(passages) == stored.passages == embeddings:
        return "its passages do not match its embeddings"
    return "" if _are_of(document.text, passages, lines) else "its passages are not those of its text"


def _are_of(text: str, passages: Sequence[Passage], lines: Callable[[], Collection[str]]) -> bool:
    """Return whether passages are in order, cover a text but for what is left out, and stand under headings of it."""
    start = end = 0
    for one in (*passages, Passage(len(text), len(text))):
        if not (start <= one.start <= one.end <= len(text)) or not _is_left_out(text[end : one.start], lines):
            return False
        if any(part not in text for part in one.heading.split(" > ")):
            return False
        start, end = one.start, max(end, one.end)
    return True


def _is_left_out(part: str, lines: Callable[[], Collection[str]]) -> bool:
    """Return whether no passage needs to hold a part of a text: it is white space, or what most pages repeat."""
    return not part.strip() or are_repeated(part, lines())
