"""Durable files: written completely before they replace the old file, so a crash leaves the old file or the new one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["INDEX_FILE", "exchange", "flush", "replacing"]

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


def exchange(first: Path, second: Path) -> None:
    """Swap two files or directories of one file system: in one step on Linux, in three elsewhere.

    Raises:
        OSError: One of them does not exist, or may not be moved.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of fcntl.h and stdio.h
    if renameat2 is None or renameat2(here, os.fsencode(first), here, os.fsencode(second), swap):
        aside = first.with_name(f"{first.name}.aside")
        first.replace(aside)
        second.replace(first)
        aside.replace(second)
