"""The database of the servers of an index, beside it: tokens, sessions and jobs.

    tokens      SHA-256 of each token, its name, scope, groups and expiry; a token itself is nowhere
    sessions    of people on the page, each under the token that began it
    jobs        what was asked of the one writer, with what to write until it is written, and how far it is

It is the file ``serving.db`` in the index's directory, readable by its owner only. An index that cannot be written to
is served without it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docsim import untrusted
from docsim.errors import StoreError

__all__ = ["FILE", "ServerDatabase", "instant"]

FILE = "serving.db"

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, groups TEXT, created TEXT NOT NULL,
    expires TEXT
);
CREATE TABLE IF NOT EXISTS sessions (
    hash TEXT PRIMARY KEY, token TEXT NOT NULL REFERENCES tokens (hash) ON DELETE CASCADE, expires TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT NOT NULL, content BLOB, result TEXT, submitted TEXT NOT NULL, finished TEXT, progress TEXT
);
CREATE INDEX IF NOT EXISTS open_jobs ON jobs (number) WHERE state IN ('queued', 'running');
"""


class ServerDatabase:
    """The open database of an index's servers; safe to use from several threads and processes."""

    def __init__(self, index: Path) -> None:
        """Open it, and make it when there is none and the folder can be written to.

        Raises:
            StoreError: It is damaged, or of a newer docsim.
        """
        self.path = index / FILE
        self._local = threading.local()
        if not self.path.exists() and os.access(index, os.W_OK):
            self.path.touch(mode=0o600)
        self.exists = self.path.exists()
        if not self.exists:
            return
        try:
            self._prepare()
        except sqlite3.Error as error:
            raise StoreError(
                f"expected a database of tokens and jobs at {self.path}, could not read it: {error}"
            ) from error

    def _prepare(self) -> None:
        version = self.rows("PRAGMA user_version")[0][0]
        if version > _VERSION:
            raise StoreError(f"the database {self.path} was made by a newer version of docsim; update docsim")
        untrusted.check_schema(self._connection())
        if version < _VERSION:
            connection = self._connection()
            connection.execute("PRAGMA journal_mode = WAL")
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                if not self.rows("SELECT 1 FROM pragma_table_info('jobs') WHERE name = 'progress'"):  # of version 1
                    connection.execute("ALTER TABLE jobs ADD COLUMN progress TEXT")
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        held: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if held is None:
            held = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            held.execute("PRAGMA foreign_keys = ON")
            self._local.connection = held
        return held

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query; none where there is no database.

        Raises:
            StoreError: It is damaged.
        """
        with self._explained():
            return self._connection().execute(sql, parameters).fetchall() if self.exists else []

    def execute(self, sql: str, *parameters: Any) -> int:
        """Change something; return how many rows were.

        Raises:
            StoreError: There is no database, because the index cannot be written to; or it is damaged.
        """
        if not self.exists:
            raise StoreError(f"could not write to {self.path.parent}, which holds tokens and jobs")
        with self._explained():
            return self._connection().execute(sql, parameters).rowcount

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an exception of SQLite into a ``StoreError``, but for a row that may not be added."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StoreError(
                f"could not use the database of tokens and jobs at {self.path}: {error}; restore it from a backup"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the block one transaction."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


def instant(seconds: float | None = None) -> str:
    """Return an instant, now when not given, as ISO 8601 in UTC, which sorts in order."""
    given = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return given.isoformat(timespec="seconds")
