"""Document rows: makes a document of a row of the database, without checking once more what could be stored."""

from __future__ import annotations

import json

from docsim.models import Document

__all__ = ["document"]

_READER = json.JSONDecoder(parse_constant=str)  # made once: ``json.loads`` would make one for every document


def document(id: str, text: str, title: str, metadata: str) -> Document:
    """Return the document of a row.

    Args:
        id: Its id.
        text: Its text.
        title: Its title.
        metadata: Its metadata as a JSON object.

    Raises:
        TypeError: A part is of another type.
        ValueError: The id is blank, or the metadata is no JSON.
    """
    held = _READER.decode(metadata)
    if not isinstance(held, dict) or not all(isinstance(one, str) for one in (id, text, title)):
        raise TypeError("expected strings and a JSON object")
    if not id.strip():
        raise ValueError("expected an id that is not blank")
    found = object.__new__(Document)
    for name, value in (("id", id), ("text", text), ("title", title), ("metadata", held)):
        object.__setattr__(found, name, value)
    return found
