"""Durable files: written completely before they replace the old file, so a crash leaves the old file or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["INDEX_FILE", "flush", "replacing"]

INDEX_FILE = "index.db"
"""The file that makes a directory an index of this machine."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` at the end of the block.

    The new content is flushed to disk before it replaces the old one. When the block fails, the temporary file is
    removed and ``path`` stays as it was.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Flush a file, or the names in a directory, to disk, so that they survive a power cut.

    Windows opens no directory for that; its file system writes names to its journal by itself.

    Raises:
        OSError: The path does not exist, or the disk reports an error.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
