"""Checksums of files that are opened by every process: of all of a small file, and of samples of a large one.

A large file is mapped into memory, and reading all of it would take longer than many queries. ``docsim verify`` does.
"""

from __future__ import annotations

import hashlib
import json
import os
from io import BufferedReader
from pathlib import Path

import numpy as np
import xxhash

__all__ = ["WHOLE", "of_file", "of_json", "quick", "quick_of"]

WHOLE = 64_000_000
"""The largest file of which every byte is read, in bytes."""

_BLOCK, _BLOCKS = 16_384, 256


def quick(file: BufferedReader, *, whole: int = WHOLE) -> str:
    """Return the checksum of an open file (128-bit XXH3, 32 hex digits).

    Args:
        file: The file.
        whole: The size in bytes above which it covers the size and samples only.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if size <= whole:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
    digest = xxhash.xxh3_128(str(size).encode())
    for offset in np.linspace(0, size - _BLOCK, _BLOCKS, dtype=np.int64).tolist():
        file.seek(offset)
        digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def quick_of(path: Path) -> str:
    """Return ``quick`` of the file at a path."""
    with path.open("rb") as file:
        return quick(file)


def of_file(path: Path) -> str:
    """Return the checksum of a whole file (128-bit XXH3, 32 hex digits)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def of_json(value: object) -> str:
    """Return the checksum of a JSON value, whatever the order of its keys."""
    return xxhash.xxh3_128(json.dumps(value, sort_keys=True).encode()).hexdigest()
