"""Precompiled character maps: how a tokenizer of SentencePiece's family normalises characters.

The map is a trie in a double array and a block of replacements (https://github.com/google/sentencepiece, normalizer.cc;
Yata et al. 2007, "A compact static double-array keeping character codes"). The ``tokenizers`` library follows a map
without looking where it leads, and a damaged one ends the whole process' call in a panic instead of an error. So every
step that a text could make it take is checked here, before the library sees the map.

    uint32      bytes of the trie
    uint32 ...  units of the trie
    the rest    replacements in UTF-8, each ended by a NUL
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

__all__ = ["problem"]

MOST_CHARACTERS = 16_000_000
"""Characters of a map in base64; those of published models have some 300,000."""

_HEADER = 4  # bytes
_NODE_MASK = np.uint32(1 << 31)  # not set in units that a byte of a text can lead to
_LAST_BYTE = 0xFF


def problem(encoded: object) -> str | None:
    """Return what is wrong with a precompiled map, as part of a sentence; None where it is sound.

    Args:
        encoded: The value of ``precompiled_charsmap`` in a ``tokenizer.json``: bytes in base64.
    """
    if encoded is None:
        return None
    if not isinstance(encoded, str):
        return "is no text"
    if len(encoded) > MOST_CHARACTERS:
        return f"has {len(encoded):,} characters, more than {MOST_CHARACTERS:,}"
    try:
        return _problem(base64.b64decode(encoded, validate=True))
    except ValueError:
        return "is not in base64"


def _problem(content: bytes) -> str | None:
    """Return what is wrong with the bytes of a map."""
    size = int.from_bytes(content[:_HEADER], "little")
    if len(content) < _HEADER or not size or size % 4 or size > len(content) - _HEADER:
        return "is cut short"
    units = np.frombuffer(content, dtype="<u4", count=size // 4, offset=_HEADER)
    replacements = content[_HEADER + size :]
    try:
        replacements.decode()
    except UnicodeDecodeError:
        return "has replacements that are not in UTF-8"
    return None if _is_sound(units, np.frombuffer(replacements, np.uint8)) else "leads out of itself"


def _is_sound(units: NDArray[np.uint32], replacements: NDArray[np.uint8]) -> bool:
    """Return whether no byte that follows another can lead out of the trie, nor any of its leaves into the middle."""
    nodes = np.flatnonzero(units & _NODE_MASK == 0)
    node = units[nodes].astype(np.int64)
    base = nodes ^ ((node >> 10) << ((node & (1 << 9)) >> 6))
    if len(base) and int((base | _LAST_BYTE).max()) >= len(units):
        return False
    leaves = base[(node >> 8) & 1 == 1]
    starts = (units[leaves] & ~_NODE_MASK).astype(np.int64)
    if len(starts) and int(starts.max()) > len(replacements):
        return False
    inside = starts[starts < len(replacements)]
    return not bool(np.any(replacements[inside] & 0xC0 == 0x80))  # the middle of a character
