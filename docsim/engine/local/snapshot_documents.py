"""The listing of a snapshot: which documents its passages belong to, so that opening an index need not query SQLite.

    documents.DIGEST    a checksum (128-bit XXH3), then first passage and document numbers, int64 (n, 2), little-endian

DIGEST is the checksum of the snapshot, so the listing of another snapshot is never used by mistake.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from docsim.files import replacing

__all__ = ["load", "save"]

_CHECKSUM = 16


def save(snapshot: Path, digest: str, documents: NDArray[np.int64]) -> None:
    """Write the listing of a snapshot beside it, and remove listings of other snapshots.

    Args:
        snapshot: The snapshot's file.
        digest: The snapshot's checksum.
        documents: The first passage number and the document number of each document in it, ``int64 (n, 2)``, ascending.

    Raises:
        OSError: It cannot be written.
    """
    target = _path(snapshot, digest)
    content = documents.astype("<i8").tobytes()
    with replacing(target) as file:
        file.write(xxhash.xxh3_128(content).digest() + content)
    for other in snapshot.parent.glob("documents.*"):
        if other != target:
            other.unlink(missing_ok=True)


def load(snapshot: Path, digest: str) -> NDArray[np.int64]:
    """Return the listing of a snapshot, ``int64 (n, 2)``; empty if it is missing or damaged."""
    try:
        content = _path(snapshot, digest).read_bytes()
    except OSError:
        content = b""
    if len(content) % 16 or xxhash.xxh3_128(memoryview(content)[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
        return np.zeros((0, 2), np.int64)
    return np.frombuffer(content, "<i8", offset=_CHECKSUM).reshape(-1, 2)


def _path(snapshot: Path, digest: str) -> Path:
    return snapshot.with_name(f"documents.{digest}")
