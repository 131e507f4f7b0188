"""Locks: one writer, one re-index and one training run at a time. File locks end with their process.

    write.lock      held to add, change or remove documents, and to publish a generation
    rebuild.lock    held to fill, publish or remove generations; taken before write.lock
    adapt.lock      held to train an encoder for the index, without either of the others

A re-index holds rebuild.lock from start to end, but write.lock only to publish, so documents can be indexed in the
meantime. Both write in transactions, which SQLite runs one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim.errors import DocsimError, IndexLocked

__all__ = ["check_writable", "is_rebuilding", "rebuilding", "training", "writing"]

_REBUILD = "rebuild.lock"


@contextmanager
def writing(path: Path, *, wait: bool) -> Iterator[None]:
    """Be the only writer of the index at ``path`` for the length of the block.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    with _held(path, "write.lock", wait=wait, doing="writing to"):
        yield


@contextmanager
def rebuilding(path: Path, *, wait: bool) -> Iterator[None]:
    """Be the only process that fills, publishes or removes generations, for the length of the block.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
    """
    with _held(path, _REBUILD, wait=wait, doing="re-indexing"):
        yield


@contextmanager
def training(path: Path, *, wait: bool) -> Iterator[None]:
    """Be the only process that trains an encoder for the index, for the length of the block.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is training and ``wait`` is off.
    """
    with _held(path, "adapt.lock", wait=wait, doing="training an encoder for"):
        yield


def is_rebuilding(path: Path) -> bool:
    """Return whether a process is filling, publishing or removing generations now."""
    try:
        with _held(path, _REBUILD, wait=False, doing="re-indexing"):
            return False
    except IndexLocked:
        return True
    except DocsimError:
        return False  # a read-only folder has no writers


@contextmanager
def _held(path: Path, name: str, *, wait: bool, doing: str) -> Iterator[None]:
    from filelock import FileLock, Timeout  # here, because searching does not need it

    check_writable(path)
    lock = FileLock(path / name, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise IndexLocked(
            f"another process is {doing} the index at {path}; try again later", hint="--wait, to wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_writable(path: Path) -> None:
    """Check that files can be created in the folder ``path``, which is created if it is missing.

    Raises:
        DocsimError: They cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may be probing too
    except OSError as error:
        raise DocsimError(f"could not write to {path}: {error.strerror}") from error
