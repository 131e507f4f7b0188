"""The database: one SQLite file, opened by one writer and any number of readers, in this and other processes.

Every write happens in a ``writing()`` block, which is one transaction and the only way to commit. Every answer is made
in a ``reading()`` block, which sees one committed state, whatever writers do in the meantime. ``revision`` numbers that
state.

SQLite keeps readers and writers apart with a file beside the database, which a reader has to create if it is not there.
Where the folder cannot be written to, a reader therefore sees the database file alone, and SQLite does not notice when
others change it. Such a reader compares the file before and after everything that it reads, and uses nothing that it
read while the file changed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docsim import untrusted
from docsim.engine.local import schema
from docsim.engine.retrying import PAUSE, TRIES, retried
from docsim.errors import IndexChanged, StoreError
from docsim.files import INDEX_FILE

__all__ = ["FILE", "Database", "OlderFormat", "State", "unfinished"]

FILE = INDEX_FILE

_INCREMENTAL = 2  # the value of PRAGMA auto_vacuum that lets free pages be given back
_PAGES = 20_000  # given back per transaction: 80 MB

State = tuple[int, int, int, bytes]
"""What identifies the content of a database file: its inode, size, time of the last change, and SQLite's header."""


class OlderFormat(StoreError):
    """An index was written by an older docsim, and cannot be read before it is upgraded."""


def unfinished(path: Path) -> StoreError:
    """Return the error for an index at ``path`` that has no live generation."""
    return StoreError(
        f"the index at {path} was never finished; index its source again",
        hint=f"docsim index SOURCE --index {shlex.quote(str(path))}",
    )


class Database:
    """An open ``index.db``. Reading is safe from several threads; writing belongs to one."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Open ``path / "index.db"``, and create it if ``writable``.

        Raises:
            OlderFormat: It was written by an older docsim, and ``writable`` is off.
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
                hint=f"docsim index SOURCE --index {shlex.quote(str(path))}",
            )
        untrusted.check_files(path)
        try:
            with self._explained():
                is_old = self._check_version() < schema.VERSION
                untrusted.check_schema(self._connection, known=schema.FORMERLY if is_old else ())
                if writable:
                    schema.migrate(self._connection)
        except BaseException:
            self.close()
            raise

    def _check_version(self) -> int:
        """Return the version of the format, which may be older where it can be written to."""
        version, path = self._connection.execute("PRAGMA user_version").fetchone()[0], self.path.parent
        found = f"expected an index of format {schema.VERSION} at {path}, found format {version}"
        if version > schema.VERSION:
            raise StoreError(f"{found}; it needs a newer docsim")
        if self.writable or version == schema.VERSION:
            return int(version)
        if version == 0:
            raise unfinished(path)
        raise OlderFormat(f"{found}; it has to be upgraded")

    @property
    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, made anew when the file that it sees alone was changed since."""
        if not self._is_reading and self._is_outdated():
            with self._lock:
                self._close(lambda thread: thread is threading.current_thread())
            del self._local.connection, self._local.state
        if not hasattr(self._local, "connection"):
            connection, self._local.state = self._connect()
            with self._lock:
                self._close(lambda thread: not thread.is_alive())
                self._connections.append((threading.current_thread(), connection))
            self._local.connection = connection
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    @property
    def state(self) -> State | None:
        """The state of the file that this thread's connection sees, or None where SQLite keeps readers from changes."""
        state: State | None = getattr(self._local, "state", None)
        return state

    @property
    def _is_reading(self) -> bool:
        return getattr(self._local, "is_reading", False)

    def _is_outdated(self) -> bool:
        """Return whether this thread's connection does not see what was committed last."""
        return self.state is not None and (self._has_log() or self._is_changed())

    def _is_changed(self) -> bool:
        """Return whether the file that this thread's connection sees is no longer what it was."""
        return self.state is not None and self._found() != self.state

    def _found(self) -> State | None:
        """Return the state that the file is in now, or None if it is gone."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                return stat.st_ino, stat.st_size, stat.st_mtime_ns, file.read(100)
        except OSError:
            return None

    def _has_log(self) -> bool:
        """Return whether something was committed that is not in the file yet."""
        try:
            return self.path.with_name(f"{FILE}-wal").stat().st_size > 0
        except OSError:
            return False

    def check_unchanged(self) -> None:
        """Raise ``IndexChanged`` if what was read in this thread's ``reading()`` may belong to different states."""
        if self._is_changed():
            raise IndexChanged(
                f"the index at {self.path.parent} was changed while it was read, in a folder that this user may not "
                "write to; try again in a moment"
            )

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Check at the end of the block, and when it fails, whatever with: a mixture of states may look damaged."""
        try:
            yield
        except Exception as error:
            try:
                self.check_unchanged()
            except IndexChanged as changed:
                raise changed from error
            raise
        self.check_unchanged()

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        """Return what surrounds a statement: a check of its own, unless it is part of a ``reading()``."""
        return contextlib.nullcontext() if self.writable or self._is_reading else self._unchanged()

    def _connect(self) -> tuple[sqlite3.Connection, State | None]:
        """Connect; where SQLite's shared-memory file cannot be made, to the database file as it is.

        Returns:
            The connection, and the state of the file if it is seen alone.

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
            return connection, None
        for _ in range(TRIES):
            try:
                return self._read_only("mode=ro"), None
            except sqlite3.OperationalError:
                if os.access(self.path.parent, os.W_OK):
                    raise
            state = self._found()
            if not self._has_log():
                return self._read_only("immutable=1"), state
            time.sleep(PAUSE)  # a writer that makes both files just now
        raise StoreError(
            f"the last writes to {self.path} are still in {FILE}-wal, which cannot be read in a read-only folder; "
            "repair the index once with write permission",
            hint="docsim repair",
        )

    def _read_only(self, how: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?{how}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

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
        """See one committed state for the length of the block.

        Raises:
            IndexChanged: At the end of the block, which may have seen more than one; call ``retried`` around it.
        """
        if self._is_reading:
            yield  # part of a block that this thread is in already
            return
        with self._unchanged(), self._explained():
            self._connection.execute("BEGIN")
            self._local.is_reading = True
            try:
                yield
            finally:
                self._local.is_reading = False
                with contextlib.suppress(sqlite3.Error):
                    self._local.connection.execute("ROLLBACK")

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

    @retried
    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows that ``sql`` selects."""
        with self._alone(), self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows that ``sql`` selects, with only a few in memory at a time."""
        with self._alone(), self._explained():
            for row in self._connection.execute(sql, parameters):  # noqa: UP028  # "yield from" would close what is closed
                yield row

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

    def set_meta(self, key: str, value: Any) -> None:
        """Store the value of a key of the table ``meta``, inside ``writing()``."""
        self.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value)
