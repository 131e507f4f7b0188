"""Locks: one writer at a time, by a file lock that dies with its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim.errors import DocsimError, IndexLocked
from docsim.store import Store

__all__ = ["check_writable", "writer"]


@contextmanager
def writer(path: Path, *, wait: bool) -> Iterator[Store]:
    """Be the one writer: hold the lock, which dies with this process, and a writable store.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    from filelock import FileLock, Timeout  # here, because searching does without

    check_writable(path)
    lock = FileLock(path / "write.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise IndexLocked(
            f"another process is writing to the index at {path}; try again later, or wait for it with --wait"
        ) from None
    try:
        store = Store(path, writable=True)
        try:
            yield store
        finally:
            store.close()
    finally:
        lock.release()


def check_writable(path: Path) -> None:
    """Raise ``DocsimError`` unless files can be made in the folder ``path``, which is created when missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may be probing too
    except OSError as error:
        raise DocsimError(f"could not write to {path}: {error.strerror}") from error
