"""What xz packed, unpacked piece by piece. The module ``lzma`` has a file for that, which bounds no memory."""

from __future__ import annotations

import lzma
from typing import IO

__all__ = ["MEMORY", "Unpacked", "opened"]

MEMORY = 1 << 27
"""The most bytes of memory that unpacking may take; a file says how much it wants. ``xz -9`` wants half of it."""

_PIECE = 1 << 16


class Unpacked:
    """A stream of unpacked bytes."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._unpacker: lzma.LZMADecompressor | None = None
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, and none at the end.

        Raises:
            EOFError: The file is cut short.
            lzma.LZMAError: It is damaged, or wants more memory than is safe.
        """
        while True:
            if self._unpacker is None or self._unpacker.eof:
                rest = self._unpacker.unused_data if self._unpacker else b""
                self._rest = (rest or self._packed.read(_PIECE)).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
            if self._unpacker.needs_input and not self._rest:
                self._rest = self._packed.read(_PIECE)
                if not self._rest:
                    raise EOFError("it is cut short")
            piece, self._rest = self._unpacker.decompress(self._rest, size), b""
            if piece:
                return piece


def opened(packed: IO[bytes], mode: str) -> Unpacked:
    """Return what a packed stream holds; ``mode`` is ``rb``, as for other packers."""
    return Unpacked(packed)
