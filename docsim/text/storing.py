"""Texts and values in the form in which a database can keep them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "composed", "plain", "quoted", "storable"]

# Unpaired surrogates cannot be written as UTF-8, and NUL ends a C string: no database can store either as text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_SHORT = 1_000_000  # characters of a text that is encoded as a trial; of a longer one, that would take much memory

# In JSON, NUL is ``\u0000``. After an even number of backslashes, ``u0000`` is plain text.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

# Made once: the functions of ``json`` would make one for every document that an answer shows.
_WRITER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))
_READER = json.JSONDecoder(parse_constant=str)

quoted = json.encoder.encode_basestring
"""Returns a text as a JSON string, whatever letters it has; quicker than a whole encoder."""


def storable(text: str) -> str:
    """Return ``text`` with unpaired surrogates and NUL, which no database can store as text, replaced by U+FFFD."""
    if "\x00" not in text and (text.isascii() or _is_whole(text)):
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _is_whole(text: str) -> bool:
    """Return False if a text may have unpaired surrogates; quicker than looking for them."""
    if len(text) > _SHORT:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def composed(id: str) -> str:
    """Return an id with its accents composed (NFC), as they are typed; macOS and zip files have them apart (NFD)."""
    return id if id.isascii() else unicodedata.normalize("NFC", id)


def plain(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return metadata with plain JSON values only: NaN and infinity become strings."""
    text = _ESCAPED_NUL.sub("\\1\ufffd", storable(canonical(metadata)))
    decoded: Mapping[str, Any] = _READER.decode(text)
    return decoded


def canonical(value: object) -> str:
    """Return ``value`` as JSON with sorted keys; dates and other values unknown to JSON become their ``str``."""
    return _WRITER.encode(value)
