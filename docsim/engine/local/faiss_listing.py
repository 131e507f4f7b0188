"""The listing of a FAISS file: which documents its passages belong to, so that opening an index need not query SQLite.

    documents.DIGEST    a checksum (128-bit XXH3), then first passage and document numbers, int64 (n, 2), little-endian

DIGEST is the checksum of the FAISS file, so the listing of another one is never used by mistake.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from docsim.files import replacing

__all__ = ["load", "save"]

_CHECKSUM = 16


def save(file: Path, digest: str, documents: NDArray[np.int64]) -> None:
    """Write the listing of a FAISS file beside it, and remove listings of other FAISS files.

    Args:
        file: The FAISS file.
        digest: Its checksum.
        documents: The first passage number and the document number of each document in it, ``int64 (n, 2)``, ascending.

    Raises:
        OSError: It cannot be written.
    """
    target = _path(file, digest)
    content = documents.astype("<i8").tobytes()
    with replacing(target) as stream:
        stream.write(xxhash.xxh3_128(content).digest() + content)
    for other in file.parent.glob("documents.*"):
        if other != target:
            other.unlink(missing_ok=True)


def load(file: Path, digest: str) -> NDArray[np.int64]:
    """Return the listing of a FAISS file, ``int64 (n, 2)``; empty if it is missing or damaged."""
    try:
        content = _path(file, digest).read_bytes()
    except OSError:
        content = b""
    if len(content) % 16 or xxhash.xxh3_128(memoryview(content)[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
        return np.zeros((0, 2), np.int64)
    return np.frombuffer(content, "<i8", offset=_CHECKSUM).reshape(-1, 2)


def _path(file: Path, digest: str) -> Path:
    return file.with_name(f"documents.{digest}")
