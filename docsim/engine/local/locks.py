"""Locks: one writer, one re-index and one training at a time, by file locks that die with their process.

    write.lock      whoever adds, changes or removes documents, or publishes a generation
    rebuild.lock    whoever fills, publishes or removes generations; taken before the other
    adapt.lock      whoever trains an encoder for the index; neither of the others is held meanwhile

A re-index holds the second for its whole length and the first only to publish, so that documents can be indexed
meanwhile. Both write through transactions, which SQLite puts one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim.engine.local.store import Store
from docsim.errors import DocsimError, IndexLocked

__all__ = ["check_writable", "is_rebuilt", "learner", "rebuilder", "writer"]

_REBUILD = "rebuild.lock"


@contextmanager
def writer(path: Path, *, wait: bool) -> Iterator[Store]:
    """Be the one writer: hold the lock, which dies with this process, and a writable store.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    with _held(path, "write.lock", wait=wait, doing="writing to"):
        store = Store(path, writable=True)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def rebuilder(path: Path, *, wait: bool) -> Iterator[None]:
    """Be the one that fills, publishes or removes generations.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
    """
    with _held(path, _REBUILD, wait=wait, doing="re-indexing"):
        yield


@contextmanager
def learner(path: Path, *, wait: bool) -> Iterator[None]:
    """Be the one that trains an encoder for the index.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is at it and ``wait`` is off.
    """
    with _held(path, "adapt.lock", wait=wait, doing="training an encoder for"):
        yield


def is_rebuilt(path: Path) -> bool:
    """Return whether some process is filling, publishing or removing generations now."""
    try:
        with _held(path, _REBUILD, wait=False, doing="re-indexing"):
            return False
    except IndexLocked:
        return True
    except DocsimError:
        return False  # nobody writes to a folder that cannot be written to


@contextmanager
def _held(path: Path, name: str, *, wait: bool, doing: str) -> Iterator[None]:
    from filelock import FileLock, Timeout  # here, because searching does without

    check_writable(path)
    lock = FileLock(path / name, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise IndexLocked(
            f"another process is {doing} the index at {path}; try again later, or wait for it with --wait"
        ) from None
    try:
        yield
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
