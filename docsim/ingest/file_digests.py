"""Digests of files: what is read is opened once, and what has not changed since the last time is not opened at all.

A file has not changed if its path, size, inode and both times, of content and of inode, are what they were. Files that
were changed within two seconds before they were read are not remembered, as a second change might leave the same times.
On Windows, which keeps no time of the inode, every file is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from docsim.ingest import formats

__all__ = ["FileDigests", "ReadFile", "digest"]

_WHOLE = 1 << 20  # bytes of a file that is kept until it is loaded
_PIECE = 1 << 16  # bytes that are read at a time; room for more takes longer to get than most files to read
_UNSETTLED = 2_000_000_000  # nanoseconds; the coarsest clock of a file system, that of FAT
_KEY, _DIGEST = 12, 32  # bytes
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What is known of a file.

    Attributes:
        digest: A hash of its content and of how it is read, 64 hexadecimal digits.
        data: Its content; None if it was not read, or is too large to be kept.
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
        starts = range(0, len(known) - len(known) % size, size) if sys.platform != "win32" else ()
        self._known = {known[start : start + _KEY]: known[start + _KEY : start + size] for start in starts}
        self._seen = dict[bytes, bytes]()
        self._settled = time.time_ns() - _UNSETTLED

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
        if max(found.st_mtime_ns, found.st_ctime_ns) < self._settled:
            self._seen[_key(name, found)] = hashed
        return ReadFile(hashed.hex(), data)

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
