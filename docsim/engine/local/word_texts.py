"""Stored texts: words that no segment on disk covers are made of the texts in the database."""

from __future__ import annotations

from collections.abc import Iterator

from docsim.engine.local.store import Store
from docsim.engine.words import building
from docsim.engine.words.building import Text
from docsim.engine.words.segment import Segment

__all__ = ["TEXTS", "segments"]

TEXTS = (
    "SELECT number, first_passage, id, title, text FROM documents"
    " WHERE first_passage > ? AND first_passage <= ? ORDER BY first_passage"
)


def segments(store: Store, after: int, upto: int | None = None) -> Iterator[Segment]:
    """Yield segments of the documents whose first passage numbers are in a range, made of their texts.

    Args:
        store: Open.
        after: The first passage numbers are above this,
        upto: and not above this, if it is given.
    """
    return building.segments(_texts(store, after, upto))


def _texts(store: Store, after: int, upto: int | None) -> Iterator[Text]:
    """Yield the texts of the documents whose first passage numbers are in a range."""
    for number, first, id, title, text in store.stream(TEXTS, after, (1 << 62) if upto is None else upto):
        yield Text(number, first, building.named(_readable(title), _readable(id)), _readable(text))


def _readable(content: object) -> str:
    """Return a stored text; nothing for one that damage has turned into something else."""
    return content if isinstance(content, str) else ""
