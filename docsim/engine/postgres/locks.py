"""Locks: one writer, one re-index and one training run at a time, over all machines.

They are advisory locks of the session that does the work: when its process dies or its connection is lost, the lock is
gone, and so is the transaction. Whoever publishes a generation takes the writer's lock too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from docsim.engine.postgres.address import Address
from docsim.engine.postgres.connections import Connection, connect, explained
from docsim.errors import IndexLocked

__all__ = ["held", "is_held", "locked"]

_DOING = {"write": "writing to", "rebuild": "re-indexing", "train": "training an encoder for"}

WRITE, REBUILD, TRAIN = "write", "rebuild", "train"


@contextmanager
def locked(address: Address, purpose: str, *, wait: bool, new: bool = False) -> Iterator[Connection]:
    """Hold a lock of an index for the length of the block, by a connection that can be written to.

    Raises:
        IndexLocked: Another process has the lock and ``wait`` is off.
        StoreError: The server cannot be reached, or cannot be written to.
    """
    connection = connect(address, writing=True, new=new)
    try:
        with explained(address), held(connection, address, purpose, wait=wait):
            yield connection
    finally:
        connection.close()


@contextmanager
def held(connection: Connection, address: Address, purpose: str, *, wait: bool) -> Iterator[None]:
    """Hold a lock of an index by a connection that is open.

    Raises:
        IndexLocked: Another process has the lock and ``wait`` is off.
    """
    key = address.key(purpose)
    row = connection.execute(f"SELECT pg_{'' if wait else 'try_'}advisory_lock(%s::bigint)", (key,)).fetchone()
    if not wait and not (row and row[0]):
        raise IndexLocked(
            f"another process is {_DOING[purpose]} the index at {address}; try again later",
            hint="--wait, to wait for it",
        )
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is lost holds no lock
            connection.execute("SELECT pg_advisory_unlock(%s::bigint)", (key,))


def is_held(connection: Connection, address: Address, purpose: str) -> bool:
    """Return whether some process holds a lock of an index."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = %s::bigint)"
    )
    row = connection.execute(sql, (address.key(purpose),)).fetchone()
    return bool(row and row[0])
