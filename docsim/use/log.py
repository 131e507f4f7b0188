"""The log of use: a small database beside the index, in the file ``use.db``, which only its owner can read.

    questions   what was asked, when, by whom (a keyed hash), and which generation answered
    shown       the documents that were shown for it, with rank and score
    events      what happened then: opened, read for so long, good, bad, found, nothing helped

It is in WAL mode: it can be read while a server writes. What is deleted is overwritten with zeros.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docsim import untrusted
from docsim.errors import StoreError
from docsim.use.records import Event, Kind, Question, Session, Shown

__all__ = ["FILE", "KEEP_DAYS", "UseCounts", "UseLog"]

FILE = "use.db"

KEEP_DAYS = 180
"""How long records are kept, unless told otherwise."""

_MIGRATIONS = (
    """
    CREATE TABLE questions (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, asked REAL NOT NULL,
        person TEXT, route TEXT NOT NULL, generation INTEGER, revision INTEGER, pair INTEGER,
        swapped INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX questions_asked ON questions (asked);
    CREATE INDEX questions_person ON questions (person) WHERE person IS NOT NULL;
    CREATE TABLE shown (
        question TEXT NOT NULL, rank INTEGER NOT NULL, document TEXT NOT NULL, score REAL NOT NULL,
        PRIMARY KEY (question, rank)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, question TEXT NOT NULL, kind TEXT NOT NULL, document TEXT,
        seconds REAL, at REAL NOT NULL, person TEXT
    );
    CREATE INDEX events_question ON events (question);
    CREATE INDEX events_at ON events (at);
    CREATE UNIQUE INDEX events_once ON events (question, kind, ifnull(document, ''), at, ifnull(person, ''));
    """,
)
"""What makes each version of the database from the one before. Never change one that was released; add another."""

_QUESTION = "id, text, asked, person, route, generation, revision, pair, swapped"
_EVENT = "question, kind, document, seconds, at, person"
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class UseCounts:
    """How much is recorded: questions, events, people, and when the first and the last question was asked."""

    questions: int
    events: int
    people: int
    first: float | None
    last: float | None


class UseLog:
    """The open log of use of an index. Use it from one thread."""

    def __init__(self, index: Path) -> None:
        """Open the log beside an index, and make it when there is none.

        Raises:
            StoreError: It cannot be read or made, or is of a newer docsim.
        """
        self.path = index / FILE
        with ExitStack() as opened:
            try:
                if not self.path.exists():
                    os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
                self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
                opened.callback(self._connection.close)
                self._prepare()
            except (OSError, sqlite3.Error) as error:
                raise StoreError(f"expected a record of use at {self.path}, could not open it: {error}") from error
            opened.pop_all()

    @classmethod
    @contextmanager
    def opened(cls, index: Path) -> Iterator[UseLog]:
        """Open the log for the length of the block."""
        log = cls(index)
        try:
            yield log
        finally:
            log.close()

    @staticmethod
    def exists(index: Path) -> bool:
        """Return whether there is a log beside an index."""
        return (index / FILE).is_file()

    def close(self) -> None:
        """Close the log."""
        self._connection.close()

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA secure_delete = ON")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise StoreError(f"the record of use {self.path} was made by a newer version of docsim; update docsim")
        untrusted.check_schema(self._connection)
        if version == len(_MIGRATIONS):
            return
        execute("PRAGMA journal_mode = WAL")
        with self._transaction():
            version = execute("PRAGMA user_version").fetchone()[0]
            for statement in ";".join(_MIGRATIONS[version:]).split(";"):
                execute(statement)
            execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # Writing

    def write(self, records: Iterable[Question | Event]) -> int:
        """Add questions and events in one transaction; return how many were not there before.

        Raises:
            StoreError: They cannot be written.
        """
        try:
            with self._transaction():
                return sum(self._add(one) for one in records)
        except sqlite3.Error as error:
            raise StoreError(f"could not write to the record of use {self.path}: {error}") from error

    def _add(self, one: Question | Event) -> int:
        execute = self._connection.execute
        if isinstance(one, Event):
            values: tuple[Any, ...] = (one.question, one.kind, one.document, one.seconds, one.at, one.person)
            return execute(f"INSERT OR IGNORE INTO events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?)", values).rowcount
        values = (one.id, one.text, one.asked, one.person, one.route, one.generation, one.revision, one.pair)
        sql = f"INSERT OR IGNORE INTO questions ({_QUESTION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        added = execute(sql, (*values, one.swapped)).rowcount
        if added:
            rows = [(one.id, shown.rank, shown.document, shown.score) for shown in one.shown]
            self._connection.executemany("INSERT INTO shown VALUES (?, ?, ?, ?)", rows)
        return added

    def forget_before(self, days: float) -> int:
        """Delete what is older than so many days; return how many questions that were."""
        before = time.time() - days * _DAY
        return self._delete("SELECT id FROM questions WHERE asked < ?", before, "at < ?", before)

    def purge(self, person: str | None = None) -> int:
        """Delete all questions, or those of one person with their events, so that no file holds a trace of them.

        Returns:
            How many questions were deleted.

        Raises:
            StoreError: Another process reads the log for too long, so that old pages cannot be cleared.
        """
        if person is None:
            deleted = self._delete("SELECT id FROM questions WHERE ?", 1, "?", 1)
        else:
            deleted = self._delete("SELECT id FROM questions WHERE person = ?", person, "person = ?", person)
        try:
            self._connection.execute("VACUUM")
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(f"deleted, but could not clear old pages of {self.path}: {error}; purge again") from error
        if busy:
            raise StoreError(f"deleted, but another process reads {self.path}, so its old pages stay; purge again")
        return deleted

    def _delete(self, chosen: str, value: object, events: str, event_value: object) -> int:
        """Delete the chosen questions with all that belongs to them, and other events."""
        execute = self._connection.execute
        with self._transaction():
            execute(f"DELETE FROM shown WHERE question IN ({chosen})", (value,))
            execute(f"DELETE FROM events WHERE question IN ({chosen})", (value,))
            execute(f"DELETE FROM events WHERE {events}", (event_value,))
            return execute(f"DELETE FROM questions WHERE id IN ({chosen})", (value,)).rowcount

    # Reading

    def counts(self) -> UseCounts:
        """Return how much is recorded."""
        execute = self._connection.execute
        with self._explained():
            questions, people, first, last = execute(
                "SELECT count(*), count(DISTINCT person), min(asked), max(asked) FROM questions"
            ).fetchone()
            return UseCounts(questions, execute("SELECT count(*) FROM events").fetchone()[0], people, first, last)

    def sessions(self) -> list[Session]:
        """Return all questions, by when they were asked, each with its events; one committed state."""
        with self._explained(), closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN")
            try:
                shown, events = self._shown(cursor), self._events(cursor)
                rows = cursor.execute(f"SELECT {_QUESTION} FROM questions ORDER BY asked, id").fetchall()
            finally:
                cursor.execute("COMMIT")
        return [Session(_question(row, shown), tuple(events.get(row[0], ()))) for row in rows]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"could not read the record of use at {self.path}: {error}; restore it from a backup, or remove it"
            ) from error

    def _shown(self, cursor: sqlite3.Cursor) -> dict[str, list[Shown]]:
        found = defaultdict[str, list[Shown]](list)
        for id, rank, document, score in cursor.execute("SELECT * FROM shown ORDER BY question, rank"):
            found[id].append(Shown(rank, document, score))
        return found

    def _events(self, cursor: sqlite3.Cursor) -> dict[str, list[Event]]:
        found = defaultdict[str, list[Event]](list)
        order = "at, kind, document, person, seconds"
        for id, kind, document, seconds, at, person in cursor.execute(f"SELECT {_EVENT} FROM events ORDER BY {order}"):
            found[id].append(Event(id, cast(Kind, kind), document, seconds, person, at))
        return found


def _question(row: tuple[Any, ...], shown: dict[str, list[Shown]]) -> Question:
    id, text, asked, person, route, generation, revision, pair, swapped = row
    held = tuple(shown.get(id, ()))
    return Question(text, route, person, held, generation, revision, pair, bool(swapped), asked, id)
