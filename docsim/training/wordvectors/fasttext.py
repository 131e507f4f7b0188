"""fastText's ``.bin`` files: is one whole, and of a kind that holds vectors of words and of their n-grams?

    magic, version            int32 each; older files begin at once with what comes next
    settings                  12 int32 and a float64
    words, of them words, of them labels     int32 each
    tokens, and in newer files pruned n-grams           int64 each
    per word                  its bytes, a zero byte, a count (int64) and a type (int8)
    per pruned n-gram         2 int32
    quantised?                1 byte, in newer files
    rows, dim                 int64 each, and as many float32

As ``FastText::saveModel`` and ``Dictionary::save`` of https://github.com/facebookresearch/fastText write them.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from docsim.errors import TrainingError

__all__ = ["check", "is_one"]

_MAGIC = 793_712_314
_SETTINGS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3iq")
_LOSSES, _MODELS = range(1, 5), range(1, 4)
_AFTER_WORD = 1 + 8 + 1  # the zero byte, the count, the type


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the settings end, and what they say."""

    newer: bool
    end: int
    dim: int
    loss: int
    model: int
    buckets: int


def is_one(head: bytes) -> bool:
    """Return whether a file that begins so is fastText's: it bears the magic number, or plausible settings."""
    if len(head) < _SETTINGS.size + 8:
        return head[:4] == struct.pack("<i", _MAGIC)
    layout = _layout(head)
    return layout.newer or (0 < layout.dim <= 10_000 and layout.loss in _LOSSES and layout.model in _MODELS)


def check(stream: IO[bytes], path: Path) -> None:
    """Raise unless the file holds all that it says it does, and vectors of words that are not compressed.

    Raises:
        TrainingError: It is cut short, a classifier, or quantised; ``path`` is its name in the message.
    """
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            whole = _end(content, path) <= len(content)
        except (struct.error, IndexError):
            whole = False
    if not whole:
        raise TrainingError(f"expected a whole fastText file at {path}; it is cut short or damaged. Get it anew")


def _layout(content: bytes | mmap.mmap) -> _Layout:
    newer = struct.unpack_from("<i", content)[0] == _MAGIC
    start = 8 if newer else 0
    dim, _, _, _, _, _, loss, model, buckets, *_ = _SETTINGS.unpack_from(content, start)
    return _Layout(newer, start + _SETTINGS.size, dim, loss, model, buckets)


def _end(content: mmap.mmap, path: Path) -> int:
    """Return where the word and n-gram vectors end, by what the file says of itself."""
    layout = _layout(content)
    entries, _, labels, _ = _COUNTS.unpack_from(content, layout.end)
    if labels > 0:
        raise TrainingError(
            f"expected fastText word vectors at {path}; it is a classifier with {labels} labels, whose vectors cannot "
            "be read. Take the .vec file that fastText wrote beside it"
        )
    position = layout.end + _COUNTS.size
    pruned = 0
    if layout.newer:
        (pruned,) = struct.unpack_from("<q", content, position)
        position += 8
    position = _after_words(content, position, entries) + 8 * max(pruned, 0)
    if layout.newer:
        if content[position]:
            raise TrainingError(f"expected fastText word vectors at {path}; they are quantised, which cannot be read")
        position += 1
    rows, dim = struct.unpack_from("<2q", content, position)
    if dim != layout.dim or rows < entries + layout.buckets:
        raise IndexError(position)
    return int(position + 16 + 4 * rows * dim)


def _after_words(content: mmap.mmap, position: int, entries: int) -> int:
    """Return where the list of words that begins at ``position`` ends."""
    for _ in range(entries):
        end = content.find(b"\0", position)
        if end < 0:
            raise IndexError(position)
        position = end + _AFTER_WORD
    return position
