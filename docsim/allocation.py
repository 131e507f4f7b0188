"""Allocation: has the C library give large pieces of memory back to the system as soon as they are freed.

After the first large piece was freed, glibc keeps all others for later, in a heap that shrinks only at its end. Reading
one long document then takes half as much again.
"""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back_large_pieces"]

_LARGE = 1 << 20  # bytes
_M_MMAP_THRESHOLD = -3  # of malloc.h


def give_back_large_pieces() -> None:
    """Do so in this process from now on, where the C library can. Many short uses of large pieces become slower."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, musl, Windows
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
