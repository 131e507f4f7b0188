"""The store: the one SQLite file that is the truth of an index.

Every write goes through ``writing()``, one transaction that is the only commit point; every answer is made inside
``reading()``, which sees one committed state whatever writers do meanwhile. ``revision`` names that state.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim import schema
from docsim.errors import DocsimError, StoreError
from docsim.records import Document, Failure, Metadata, Passage, storable

__all__ = ["Embedded", "Generation", "Origin", "Shown", "Store", "StoredDocument", "Vectors"]

FILE = "index.db"

Vectors = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Generation:
    """One encoder's view of the documents; ``snapshot_*`` say what its FAISS file holds and covers."""

    number: int
    state: str
    fingerprint: str
    encoder: str
    dim: int
    created: str
    published: str | None
    snapshot_digest: str | None
    snapshot_passage: int
    snapshot_deletion: int


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as it is stored; its passages are numbered ``first_passage`` onwards."""

    number: int
    document: Document
    digest: str
    first_passage: int
    passages: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a hit shows of a document, and the text that its passages are cut from."""

    id: str
    title: str
    metadata: Metadata
    first_passage: int
    passages: int
    text: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Which document a source's path stands for, and the digest it was last read with."""

    document: int
    digest: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """The passages of one document with their embeddings, ``float16 (len(passages), dim)``, unit rows."""

    document: Document
    passages: tuple[Passage, ...]
    vectors: Vectors


class Store:
    """An open ``index.db``. Reading is safe from several threads; writing belongs to one."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Open ``path / "index.db"``, creating it when ``writable``.

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
                f"expected an index at {path}, found none; make one with: docsim index SOURCE --index {path}"
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
            raise StoreError(
                f"expected an index of format {schema.VERSION} at {self.path.parent}, found format {version}; "
                + ("it needs a newer docsim" if version > schema.VERSION else "finish it with: docsim index SOURCE")
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
        """Connect; where SQLite's shared-memory file cannot be made, the database is read as it is.

        Raises:
            StoreError: That would miss what was committed last, which is still in the write-ahead log.
        """
        if self.writable:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
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
                "run this once where the folder can be written to: docsim repair"
            )

    def close(self) -> None:
        """Close all connections; safe to call twice. A writer empties the write-ahead log if nobody reads it."""
        with self._lock:
            if self.writable and self._connections:
                with contextlib.suppress(sqlite3.Error):
                    self._connections[-1][1].execute("PRAGMA busy_timeout = 0")
                    self._connections[-1][1].execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._close(lambda _: True)
        self._local = threading.local()

    def _close(self, chosen: Callable[[threading.Thread], bool]) -> None:
        """Close the connections of some threads."""
        for thread, connection in self._connections:
            if chosen(thread):
                connection.close()
        self._connections = [one for one in self._connections if not chosen(one[0])]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite raises into one sentence."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if "FULL" in name or "IOERR" in name:
                raise StoreError(
                    f"could not write to {self.path}: {error}; what was committed before is safe"
                ) from error
            if "READONLY" in name or "CANTOPEN" in name:
                raise StoreError(
                    f"could not open {self.path} for this: {error}; check the folder's permissions"
                ) from error
            if "BUSY" in name or "LOCKED" in name:
                raise StoreError(f"{self.path} is busy in another process; try again in a moment") from error
            raise StoreError(
                f"{self.path} is damaged ({error}); restore it from a backup, or make the index again from its sources"
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
    def writing(self) -> Iterator[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is."""
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows that ``sql`` selects."""
        with self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def stream(self, sql: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows that ``sql`` selects, a few in memory at a time."""
        with self._explained():
            yield from self._connection.execute(sql, parameters)

    def value(self, sql: str, *parameters: Any) -> Any:
        """Return the first column of the first row that ``sql`` selects, or None."""
        rows = self.rows(sql, *parameters)
        return rows[0][0] if rows else None

    def execute(self, sql: str, *parameters: Any) -> int:
        """Run one writing statement inside ``writing()`` and return the number of the row it inserted."""
        return self._connection.execute(sql, parameters).lastrowid or 0

    # What an answer is made from

    def revision(self) -> int:
        """Return the number of the committed state that is seen."""
        return int(self.value("SELECT value FROM meta WHERE key = 'revision'"))

    def generation(self, number: int | None = None) -> Generation | None:
        """Return generation ``number``, or the live one, or None."""
        where, parameters = ("number = ?", [number]) if number else ("state = 'live'", [])
        names = ", ".join(Generation.__slots__)
        rows = self.rows(f"SELECT {names} FROM generations WHERE {where}", *parameters)
        return Generation(*rows[0]) if rows else None

    def document(self, key: str | int) -> StoredDocument | None:
        """Return the document with this id (str) or number (int), or None."""
        column = "number" if isinstance(key, int) else "id"
        columns = "number, id, text, title, metadata, digest, first_passage, passages"
        value = key if isinstance(key, int) else storable(key)
        rows = self.rows(f"SELECT {columns} FROM documents WHERE {column} = ?", value)
        if not rows:
            return None
        number, id_, text, title, metadata, *rest = rows[0]
        return StoredDocument(number, Document(id_, text, title, json.loads(metadata)), *rest)

    def shown(self, documents: Sequence[int]) -> dict[int, Shown]:
        """Return what hits show of some documents, by number."""
        sql = (
            "SELECT number, id, title, metadata, first_passage, passages, text FROM documents"
            " WHERE number IN (SELECT value FROM json_each(?))"
        )
        rows = self.rows(sql, json.dumps(list(documents)))
        return {number: Shown(id, title, json.loads(metadata), *rest) for number, id, title, metadata, *rest in rows}

    def spans(self, passages: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return start and end of some passages, by number."""
        sql = 'SELECT number, start, "end" FROM passages WHERE number IN (SELECT value FROM json_each(?))'
        return {number: (start, end) for number, start, end in self.rows(sql, json.dumps(list(passages)))}

    def passages(self, document: int) -> list[Passage]:
        """Return the passages of a document in order."""
        rows = self.rows('SELECT start, "end", heading FROM passages WHERE document = ? ORDER BY number', document)
        return [Passage(*row) for row in rows]

    def documents_after(self, generation: int, passage: int) -> NDArray[np.int64]:
        """Return first passage and document numbers, ``int64 (n, 2)``, of documents that start after ``passage``."""
        sql = (
            "SELECT first_passage, document FROM embeddings"
            " WHERE generation = ? AND first_passage > ? ORDER BY first_passage"
        )
        rows = chain.from_iterable(self.rows(sql, generation, passage))
        return np.fromiter(rows, dtype=np.int64).reshape(-1, 2)

    def vectors(self, generation: int, documents: Sequence[int]) -> dict[int, Vectors]:
        """Return the embeddings of some documents in a generation, ``float16 (passages, dim)`` each.

        Raises:
            StoreError: Stored embeddings are missing or do not match their checksum.
        """
        sql = (
            "SELECT document, vectors, checksum FROM embeddings"
            " WHERE document IN (SELECT value FROM json_each(?)) AND generation = ?"
        )
        rows = self.rows(sql, json.dumps(list(documents)), generation)
        if len(rows) != len(set(documents)):
            raise self.damaged()
        dim = self.value("SELECT dim FROM generations WHERE number = ?", generation)
        return {document: self._unpacked(blob, checksum, dim=dim) for document, blob, checksum in rows}

    def vectors_after(self, generation: int, passage: int) -> Iterator[tuple[int, Vectors]]:
        """Yield ``(first passage number, embeddings)`` of documents whose passages are numbered above ``passage``."""
        dim = self.value("SELECT dim FROM generations WHERE number = ?", generation)
        sql = (
            "SELECT first_passage, vectors, checksum FROM embeddings"
            " WHERE generation = ? AND first_passage > ? ORDER BY first_passage"
        )
        for first, blob, checksum in self.stream(sql, generation, passage):
            yield first, self._unpacked(blob, checksum, dim=dim)

    def _unpacked(self, blob: bytes, checksum: int, *, dim: int) -> Vectors:
        if zlib.crc32(blob) != checksum or len(blob) % (2 * dim):
            raise self.damaged()
        return np.frombuffer(blob, dtype=np.float16).reshape(-1, dim)

    def damaged(self) -> StoreError:
        """Return the error that says that stored embeddings are missing or altered."""
        return StoreError(
            f"stored embeddings in {self.path} are damaged; see what else is with: docsim verify, then mend them with: "
            "docsim repair"
        )

    def deletions_after(self, sequence: int) -> list[tuple[int, int, int]]:
        """Return ``(sequence, first passage number, passages)`` of every deletion after ``sequence``, in order."""
        return self.rows("SELECT * FROM deletions WHERE sequence > ? ORDER BY sequence", sequence)

    # What a sync writes; all of it inside ``writing()``

    def put(self, embedded: Embedded, *, number: int | None, digest: str, generation: int) -> int:
        """Add a document, or replace document ``number``, with its passages and embeddings; return its number."""
        document, count = embedded.document, len(embedded.passages)
        first = 1 + int(self.value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'passages'") or 0)
        metadata = json.dumps(document.metadata, ensure_ascii=False, sort_keys=True)
        fields = (document.title, document.text, metadata, document.digest(), first, count)
        if number is None:
            columns = "title, text, metadata, digest, first_passage, passages"
            sql = f"INSERT INTO documents ({columns}, id) VALUES (?, ?, ?, ?, ?, ?, ?)"
            number = self.execute(sql, *fields, document.id)
        else:
            self._forget_passages(number)
            sql = (
                "UPDATE documents SET title = ?, text = ?, metadata = ?, digest = ?, first_passage = ?, passages = ?"
                " WHERE number = ?"
            )
            self.execute(sql, *fields, number)
        rows = ((first + i, number, p.start, p.end, p.heading) for i, p in enumerate(embedded.passages))
        self._connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", rows)
        blob = np.ascontiguousarray(embedded.vectors, dtype=np.float16).tobytes()
        columns = "generation, document, first_passage, vectors, checksum"
        sql = f"INSERT INTO embeddings ({columns}) VALUES (?, ?, ?, ?, ?)"
        self.execute(sql, generation, number, first, blob, zlib.crc32(blob))
        return number

    def remove(self, number: int) -> None:
        """Remove a document and all that hangs on it."""
        self._forget_passages(number)
        self.execute("DELETE FROM origins WHERE document = ?", number)
        self.execute("DELETE FROM documents WHERE number = ?", number)

    def _forget_passages(self, number: int) -> None:
        columns = "first_passage, passages"
        sql = f"INSERT INTO deletions ({columns}) SELECT {columns} FROM documents WHERE number = ?"
        self.execute(sql, number)
        self.execute("DELETE FROM embeddings WHERE document = ?", number)
        self.execute("DELETE FROM passages WHERE document = ?", number)

    def add_generation(self, *, fingerprint: str, encoder: str, dim: int, state: str) -> int:
        """Add a generation and return its number."""
        sql = "INSERT INTO generations (state, fingerprint, encoder, dim, created, published) VALUES (?, ?, ?, ?, ?, ?)"
        published = now() if state == "live" else None
        return self.execute(sql, state, fingerprint, encoder, dim, now(), published)

    # Sources

    def origin(self, source: int, path: str) -> Origin | None:
        """Return what ``path`` of a source stands for, or None."""
        rows = self.rows("SELECT document, digest FROM origins WHERE source = ? AND path = ?", source, path)
        return Origin(*rows[0]) if rows else None

    def link(self, source: int, path: str, *, document: int, digest: str) -> None:
        """Record that ``path`` of a source stands for a document, read with ``digest``, and did not fail."""
        before = self.origin(source, path)
        self.execute("INSERT OR REPLACE INTO origins VALUES (?, ?, ?, ?)", source, path, document, digest)
        self.execute("DELETE FROM failures WHERE source = ? AND path = ?", source, path)
        if before is not None and before.document != document:
            self._release(before.document)

    def claim(self, source: int, path: str, *, document: int) -> None:
        """Forget every other path that a document stood for; to be called when it gets this path's content."""
        sql = "DELETE FROM origins WHERE document = ? AND NOT (source = ? AND path = ?)"
        self.execute(sql, document, source, path)

    def unlink(self, source: int, path: str) -> bool:
        """Forget ``path`` of a source; remove its document, and return True, when no other source holds it."""
        origin = self.origin(source, path)
        self.execute("DELETE FROM origins WHERE source = ? AND path = ?", source, path)
        return origin is not None and self._release(origin.document)

    def _release(self, document: int) -> bool:
        """Remove a document, and return True, when no source holds it."""
        if self.value("SELECT 1 FROM origins WHERE document = ?", document):
            return False
        self.remove(document)
        return True

    def record_failures(self, source: int, failures: Iterable[Failure]) -> None:
        """Replace what could not be read in a source at the last try."""
        self.execute("DELETE FROM failures WHERE source = ?", source)
        for failure in failures:
            self.execute(
                "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)",
                source,
                failure.path,
                failure.reason,
                now(),
            )


def now() -> str:
    """Return the time in UTC as ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_writable(path: Path) -> None:
    """Raise ``DocsimError`` unless files can be made in the folder ``path``, which is created when missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may be probing too
    except OSError as error:
        raise DocsimError(f"could not write to {path}: {error.strerror}") from error
