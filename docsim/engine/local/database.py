"""The database: one SQLite file, opened by one writer and any number of readers, in this and other processes.

Every write happens in a ``writing()`` block, which is one transaction and the only way to commit. Every answer is made
in a ``reading()`` block, which sees one committed state, whatever writers do in the meantime. ``revision`` numbers that
state.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docsim.engine.local import schema
from docsim.errors import StoreError

__all__ = ["FILE", "Database"]

FILE = "index.db"

_INCREMENTAL = 2  # the value of PRAGMA auto_vacuum that lets free pages be given back
_PAGES = 20_000  # given back per transaction: 80 MB


class Database:
    """An open ``index.db``. Reading is safe from several threads; writing belongs to one."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Open ``path / "index.db"``, and create it if ``writable``.

        Raises:
            StoreError: There is no index, it cannot be opened, or it was written by a newer docsim.
        """
        self.path = path / FILE
        self.writable = writable
        self._local = threading.local()
        self._connections: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        if not writable and not self.path.is_file():
            raise StoreError(
                f"expected an index at {path}, found none; create it first",
                hint=f"docsim index SOURCE --index {path}",
            )
        try:
            with self._explained():
                self._check_version()
                if writable:
                    schema.migrate(self._connection)
        except BaseException:
            self.close()
            raise

    def _check_version(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.VERSION or (version < schema.VERSION and not self.writable):
            expected = f"expected an index of format {schema.VERSION} at {self.path.parent}, found format {version}"
            if version > schema.VERSION:
                raise StoreError(f"{expected}; it needs a newer docsim")
            raise StoreError(
                f"{expected}; it was not finished, or an older docsim wrote it: sync it to bring it up to date",
                hint=f"docsim index SOURCE --index {self.path.parent}",
            )

    @property
    def _connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self._local, "connection"):
            connection = self._connect()
            with self._lock:
                self._close(lambda thread: not thread.is_alive())
                self._connections.append((threading.current_thread(), connection))
            self._local.connection = connection
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        """Connect. If SQLite's shared-memory file cannot be created, open the database as an immutable file.

        Raises:
            StoreError: An immutable file would lack the last commits, which are still in the write-ahead log.
        """
        if self.writable:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
            connection.execute(
                "PRAGMA auto_vacuum = INCREMENTAL"
            )  # has an effect on a new file only: free pages can be given back
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            return connection
        uri = self.path.absolute().as_uri()
        try:
            connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            if os.access(self.path.parent, os.W_OK):
                raise
            self._check_log()
            connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
        return connection

    def _check_log(self) -> None:
        log = self.path.with_name(f"{FILE}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"the last writes to {self.path} are still in {log.name}, which cannot be read in a read-only folder; "
                "repair the index once with write permission",
                hint="docsim repair",
            )

    def close(self) -> None:
        """Close all connections; safe to call twice. A writer empties the write-ahead log unless somebody reads it."""
        with self._lock:
            if self.writable and self._connections:
                with contextlib.suppress(sqlite3.Error):
                    self._connections[-1][1].execute("PRAGMA busy_timeout = 0")
                    self._connections[-1][1].execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._close(lambda _: True)
        self._local = threading.local()

    def _close(self, chosen: Callable[[threading.Thread], bool]) -> None:
        """Close the connections of the threads that ``chosen`` accepts."""
        for thread, connection in self._connections:
            if chosen(thread):
                connection.close()
        self._connections = [one for one in self._connections if not chosen(one[0])]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an exception of SQLite into a ``StoreError`` that says what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if "FULL" in name or "IOERR" in name:
                raise StoreError(
                    f"could not write to {self.path}: {error}; what was committed before is safe"
                ) from error
            if "READONLY" in name or "CANTOPEN" in name:
                raise StoreError(f"could not open {self.path}: {error}; check the permissions of the folder") from error
            if "BUSY" in name or "LOCKED" in name:
                raise StoreError(f"{self.path} is busy in another process; try again in a moment") from error
            raise StoreError(
                f"{self.path} is damaged ({error}); restore it from a backup, or index the sources again"
            ) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """See one committed state for the length of the block."""
        with self._explained():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self, *, visible: bool = True) -> Iterator[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is.

        Args:
            visible: Whether it changes what searches return; if so, ``revision`` grows and readers refresh their views.
        """
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                if visible:
                    self._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def shrink(self) -> None:
        """Give unused pages back to the file system; readers are not blocked.

        Raises:
            StoreError: The disk is too full for it; nothing is lost.
        """
        with self._explained():
            if self.value("PRAGMA auto_vacuum") != _INCREMENTAL:
                self._connection.execute("VACUUM")  # written by an older docsim; this also turns incremental vacuum on
            while self.value("PRAGMA freelist_count"):
                self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows that ``sql`` selects."""
        with self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows that ``sql`` selects, with only a few in memory at a time."""
        with self._explained():
            yield from self._connection.execute(sql, parameters)

    def value(self, sql: str, *parameters: Any) -> Any:
        """Return the first column of the first row that ``sql`` selects, or None."""
        rows = self.rows(sql, *parameters)
        return rows[0][0] if rows else None

    def execute(self, sql: str, *parameters: Any) -> int:
        """Run one writing statement inside ``writing()``; return the number of the row that it inserted."""
        return self._connection.execute(sql, parameters).lastrowid or 0

    def revision(self) -> int:
        """Return the number of the committed state that this connection sees."""
        return int(self.value("SELECT value FROM meta WHERE key = 'revision'"))
