"""Allocation: large pieces of memory that are given back when they are freed, and whether there is room for more.

After the first large piece was freed, glibc keeps all others for later, in a heap that shrinks only at its end. Reading
one long document then takes half as much again.

A library in Rust ends the whole process where it gets no memory, and nothing can catch that. So one asks before calling
it whether there is room.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import sys

__all__ = ["give_back", "give_back_large_pieces", "has_room", "is_exceeded", "limits", "require", "share_one_heap"]

_LARGE = 1 << 20  # bytes
_SAID = ("bad_alloc", "Failed to allocate memory")  # by libraries that lack memory
_SAID_WITHIN_LIMITS = (
    "failed to map segment",
    "without exception set",
    "without setting an exception",
)  # or are broken
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of malloc.h


def give_back_large_pieces() -> None:
    """Do so in this process from now on, where the C library can. Many short uses of large pieces become slower."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, musl, Windows
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Give back what was freed and lies between what is still in use, where the C library can; takes milliseconds.

    After a re-index that is a third of all memory, in pieces that the next one seldom fits into.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS, musl, Windows
        ctypes.CDLL(None).malloc_trim(0)


def share_one_heap() -> None:
    """Have all threads share one heap, where the C library can: each of several takes 64 MB of address space."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def limits() -> dict[str, int]:
    """Return how many bytes this process may have, as far as that is limited.

    ``address space`` counts what is only reserved as well, such as the heaps of threads (``RLIMIT_AS``, ``ulimit -v``).
    ``memory`` counts what may be written and is nobody else's, so neither libraries nor mapped files (``RLIMIT_DATA``,
    ``ulimit -d``).
    """
    try:
        import resource
    except ImportError:  # Windows
        return {}
    found = {"address space": resource.getrlimit(resource.RLIMIT_AS)[0]}
    if sys.platform == "linux":  # elsewhere it does not count what is mapped
        found["memory"] = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}


def has_room(size: int) -> bool:
    """Return whether this process may have ``size`` more bytes; True where it has no limit."""
    if not limits():
        return True
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True


def is_exceeded(error: BaseException) -> bool:
    """Return whether an error, of Python or of a library, means that there is not enough memory."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    said = _SAID + (_SAID_WITHIN_LIMITS if limits() else ())
    return any(one in str(error) for one in said)


def require(size: int) -> None:
    """Raise ``MemoryError`` unless this process may have ``size`` more bytes."""
    if not has_room(size):
        raise MemoryError(f"expected room for {size >> 20} MB of memory below the limit of this process")
