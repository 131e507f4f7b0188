"""Digests of files: what is read is opened once, and what has not changed since the last time is not opened at all.

A file has not changed if its path, size, inode and both times, of content and of inode, are what they were. This is
remembered only of files whose times tell:

- Files that were changed within a minute before they were read may be changed again without new times. The coarsest
  clock of a file system ticks every two seconds, and what a program writes through mapped memory counts as written when
  it begins, until the system has put it on the disk after half a minute.
- Where the time of the inode is in whole seconds, the file system has no such time of its own, as on FAT, SFTP or an
  image that is always made with the same times, or one that is too coarse.

On Windows, which keeps no time of the inode, every file is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from docsim.ingest import formats

__all__ = ["FileDigests", "ReadFile", "digest"]

_WHOLE = 1 << 20  # bytes of a file that is kept until it is loaded
_MOST_KEPT = 8 << 20  # bytes of all of them, as many may wait for one that takes long to convert
_MOST_REMEMBERED = 2_000_000  # files, some 450 MB of memory per million; others are read each time
_PIECE = 1 << 16  # bytes that are read at a time; room for more takes longer to get than most files to read
_UNSETTLED = 60_000_000_000  # nanoseconds
_SECOND = 1_000_000_000
_HAS_TIMES = sys.platform != "win32"
_KEY, _DIGEST = 12, 32  # bytes
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


@dataclass(slots=True)
class ReadFile:
    """What is known of a file.

    Attributes:
        digest: A hash of its content and of how it is read, 64 hexadecimal digits.
        data: Its content; None if it was not read, is too large to be kept, or made room for others.
    """

    digest: str
    data: bytes | None = None


class FileDigests:
    """The digests of files, those of the last time and those of this time."""

    def __init__(self, written: str = "") -> None:
        """Remember what ``written()`` gave the last time; nothing where that is damaged."""
        try:
            known = base64.b64decode(written, validate=True)
        except (binascii.Error, ValueError):
            known = b""
        size = _KEY + _DIGEST
        starts = range(0, len(known) - len(known) % size, size) if _HAS_TIMES else ()
        self._known = {known[start : start + _KEY]: known[start + _KEY : start + size] for start in starts}
        self._seen = dict[bytes, bytes]()
        self._settled = time.time_ns() - _UNSETTLED
        self._kept = deque[ReadFile]()
        self._room = _MOST_KEPT

    def read(self, path: Path) -> ReadFile:
        """Return the digest of a file, which is opened unless it has not changed.

        Raises:
            OSError: It cannot be read.
        """
        name = str(path)
        if self._known:
            key = _key(name, os.stat(name))  # noqa: PTH116  # a tenth of what pathlib takes
            if known := self._known.get(key):
                self._seen[key] = known
                return ReadFile(known.hex())
        found, data, hashed = _read(name)
        if self._is_settled(found) and len(self._seen) < _MOST_REMEMBERED:
            self._seen[_key(name, found)] = hashed
        file = ReadFile(hashed.hex(), data)
        self._keep(file)
        return file

    def _is_settled(self, found: os.stat_result) -> bool:
        """Return whether a file that is changed from now on will have other times."""
        is_old = max(found.st_mtime_ns, found.st_ctime_ns) < self._settled
        return _HAS_TIMES and is_old and found.st_ctime_ns % _SECOND != 0

    def _keep(self, file: ReadFile) -> None:
        """Keep the content of a file, and of those that were read before as far as there is room."""
        if not file.data:
            return
        self._kept.append(file)
        self._room -= len(file.data)
        while self._room < 0:
            first = self._kept.popleft()
            self._room += len(first.data or b"")
            first.data = None

    def written(self) -> str:
        """Return what is to be remembered: the files that were read this time."""
        return base64.b64encode(b"".join(key + hashed for key, hashed in self._seen.items())).decode()


def digest(path: Path) -> str:
    """Return the digest of a file's content and of how it is read.

    Raises:
        OSError: It cannot be read.
    """
    return _read(str(path))[2].hex()


def _read(path: str) -> tuple[os.stat_result, bytes | None, bytes]:
    """Return what the file system says of a file, its content unless it is large, and its digest.

    Few calls are made, each of which lets another thread go first.
    """
    hashed = hashlib.sha256()
    descriptor = os.open(path, _FLAGS)
    try:
        found = os.fstat(descriptor)
        piece = os.read(descriptor, found.st_size + 1 if found.st_size <= _WHOLE else _PIECE)
        data = piece if len(piece) == found.st_size else None
        while piece:
            hashed.update(piece)
            piece = os.read(descriptor, _PIECE) if data is None else b""
    finally:
        os.close(descriptor)
    hashed.update(f"\n{formats.FORMATS_VERSION}".encode())
    return found, data, hashed.digest()


def _key(path: str, found: os.stat_result) -> bytes:
    state = (formats.FORMATS_VERSION, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return hashlib.blake2b(f"{state} {path}".encode("utf-8", "surrogatepass"), digest_size=_KEY).digest()
