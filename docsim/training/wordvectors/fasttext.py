"""Checks of fastText's ``.bin`` files: that a file is complete and holds vectors of words and n-grams.

gensim reads these files, but reads a truncated one for ever. The layout, little-endian:

    magic, version            int32 each; missing in older files
    settings                  12 int32 and a float64
    entries, words, labels    int32 each; entries are words plus labels
    tokens, pruned n-grams    int64 each; the latter in newer files only
    per entry                 its bytes, a zero byte, a count (int64) and a type (int8)
    per pruned n-gram         2 int32
    quantised?                1 byte, in newer files only
    rows, dim                 int64 each, followed by rows * dim float32

``FastText::saveModel`` and ``Dictionary::save`` of https://github.com/facebookresearch/fastText write them.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from docsim.errors import TrainingError

__all__ = ["check", "is_fasttext"]

_MAGIC = 793_712_314
_SETTINGS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3iq")
_LOSSES, _MODELS = range(1, 5), range(1, 4)
_AFTER_WORD = 1 + 8 + 1  # the zero byte, the count and the type


@dataclass(frozen=True, slots=True)
class _Layout:
    """The settings in a file, and where they end."""

    newer: bool
    end: int
    dim: int
    loss: int
    model: int
    buckets: int


def is_fasttext(head: bytes) -> bool:
    """Return whether a file that starts with ``head`` is fastText's: it has the magic number, or plausible settings."""
    if len(head) < _SETTINGS.size + 8:
        return head[:4] == struct.pack("<i", _MAGIC)
    layout = _layout(head)
    return layout.newer or (0 < layout.dim <= 10_000 and layout.loss in _LOSSES and layout.model in _MODELS)


def check(stream: IO[bytes], path: Path) -> None:
    """Raise unless the file is complete and holds uncompressed vectors of words.

    Args:
        stream: The file, opened for reading.
        path: Name of the file in error messages.

    Raises:
        TrainingError: The file is cut short, a classifier, or quantised.
    """
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            whole = _end(content, path) <= len(content)
        except (struct.error, IndexError):
            whole = False
    if not whole:
        raise TrainingError(
            f"expected a complete fastText file at {path}; it is cut short or damaged. Download it again"
        )


def _layout(content: bytes | mmap.mmap) -> _Layout:
    newer = struct.unpack_from("<i", content)[0] == _MAGIC
    start = 8 if newer else 0
    dim, _, _, _, _, _, loss, model, buckets, *_ = _SETTINGS.unpack_from(content, start)
    return _Layout(newer, start + _SETTINGS.size, dim, loss, model, buckets)


def _end(content: mmap.mmap, path: Path) -> int:
    """Return where the vectors should end, according to the file's own counts."""
    layout = _layout(content)
    entries, _, labels, _ = _COUNTS.unpack_from(content, layout.end)
    if labels > 0:
        raise TrainingError(
            f"expected fastText word vectors at {path}; it is a classifier with {labels} labels, which is not "
            "supported. Use the .vec file that fastText wrote beside it"
        )
    position = layout.end + _COUNTS.size
    pruned = 0
    if layout.newer:
        (pruned,) = struct.unpack_from("<q", content, position)
        position += 8
    position = _after_words(content, position, entries) + 8 * max(pruned, 0)
    if layout.newer:
        if content[position]:
            raise TrainingError(f"expected fastText word vectors at {path}; they are quantised, which is not supported")
        position += 1
    rows, dim = struct.unpack_from("<2q", content, position)
    if dim != layout.dim or rows < entries + layout.buckets:
        raise IndexError(position)
    return int(position + 16 + 4 * rows * dim)


def _after_words(content: mmap.mmap, position: int, entries: int) -> int:
    """Return where the list of entries that starts at ``position`` ends."""
    for _ in range(entries):
        end = content.find(b"\0", position)
        if end < 0:
            raise IndexError(position)
        position = end + _AFTER_WORD
    return position
