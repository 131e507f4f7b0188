"""The store: what the SQLite file holds, which is the truth of an index, and the statements that read and write it."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.database import Database
from docsim.errors import StoreError
from docsim.models import Document, Failure, Metadata, Passage, storable

if TYPE_CHECKING:
    from docsim.filters.condition import Condition

__all__ = ["Embedded", "Generation", "Origin", "Shown", "Store", "StoredAdapter", "StoredDocument", "Vectors"]

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
class StoredAdapter:
    """What maps the live generation's embeddings to another encoder's space while its generation is built.

    Attributes:
        generation: The generation that is being built, whose directory holds the adapter and the queries' encoder.
        fingerprint: That encoder's.
        digest: SHA-256 of the adapter's file.
        passages: Passages that it was learnt from.
        snapshot_digest: Checksum of the snapshot of mapped embeddings.
        snapshot_passage: Last passage in it.
        snapshot_deletion: Sequence number of the last deletion that it takes into account.
    """

    generation: int
    fingerprint: str
    digest: str
    passages: int
    snapshot_digest: str
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


class Store(Database):
    """An open ``index.db``. Reading is safe from several threads; writing belongs to one."""

    # What an answer is made from

    def generation(self, number: int | None = None) -> Generation | None:
        """Return generation ``number``, or the live one, or None."""
        where, parameters = ("number = ?", [number]) if number else ("state = 'live'", [])
        names = ", ".join(Generation.__slots__)
        rows = self.rows(f"SELECT {names} FROM generations WHERE {where}", *parameters)
        return Generation(*rows[0]) if rows else None

    def generations(self, state: str | None = None) -> list[Generation]:
        """Return the generations, or those that are ``building``, ``live`` or ``retired``, oldest first."""
        names = ", ".join(Generation.__slots__)
        sql = f"SELECT {names} FROM generations WHERE state = coalesce(?, state) ORDER BY number"
        return [Generation(*row) for row in self.rows(sql, state)]

    def adapter(self) -> StoredAdapter | None:
        """Return the adapter to the live generation's embeddings, or None; it ends with the building it belongs to."""
        sql = (
            "SELECT a.generation, new.fingerprint, a.digest, a.passages, a.snapshot_digest, a.snapshot_passage,"
            " a.snapshot_deletion FROM adapters a"
            " JOIN generations new ON new.number = a.generation AND new.state = 'building'"
            " JOIN generations old ON old.fingerprint = a.source AND old.state = 'live'"
        )
        rows = self.rows(sql)
        return StoredAdapter(*rows[0]) if rows else None

    def missing(self, generation: int, *, after: int = 0, limit: int = -1) -> list[int]:
        """Return the numbers of the documents above ``after`` that have no embeddings in a generation, ascending."""
        sql = (
            "SELECT number FROM documents WHERE number > ? AND NOT EXISTS"
            " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?)"
            " ORDER BY number LIMIT ?"
        )
        return [number for (number,) in self.rows(sql, after, generation, limit)]

    def is_complete(self, generation: int) -> bool:
        """Return whether a generation has embeddings of every document, as their numbers tell: ``missing`` looks."""
        sql = "SELECT (SELECT count(*) FROM documents) = (SELECT count(*) FROM embeddings WHERE generation = ?)"
        return bool(self.value(sql, generation))

    def lacking(self, generation: int, *, after: int = 0) -> Generator[tuple[int, int, Document]]:
        """Yield number, first passage number, and title and text of the documents that ``missing`` tells of."""
        sql = (
            "SELECT number, first_passage, id, text, title FROM documents WHERE number > ? AND NOT EXISTS"
            " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?) ORDER BY number"
        )
        for number, first, *content in self.stream(sql, after, generation):
            yield number, first, Document(*content)

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

    def meeting(self, condition: Condition) -> NDArray[np.int64]:
        """Return the numbers of the first passages of the documents that meet a condition, ascending."""
        from docsim.engine.local.filter_sql import compiled  # here, because most searches have no filter

        expression = compiled(condition)
        sql = f"SELECT first_passage FROM documents WHERE {expression.sql} ORDER BY first_passage"
        return np.array(self.rows(sql, *expression.parameters), np.int64).reshape(-1)

    def shown(self, documents: Sequence[int]) -> dict[int, Shown]:
        """Return what hits show of some documents, by number."""
        sql = (
            "SELECT number, id, title, metadata, first_passage, passages, text FROM documents"
            " WHERE number IN (SELECT value FROM json_each(?))"
        )
        rows = self.rows(sql, json.dumps(list(documents)))
        return {number: Shown(id, title, json.loads(metadata), *rest) for number, id, title, metadata, *rest in rows}

    def metadata_values(self, name: str, documents: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return kind and value of a metadata field of some documents, by number; without those that lack it."""
        sql = (
            "SELECT d.number, CASE WHEN j.type IN ('integer', 'real') THEN 'number' ELSE j.type END, j.value"
            " FROM documents d, json_each(d.metadata) j"
            " WHERE d.number IN (SELECT value FROM json_each(?)) AND j.key = ? AND j.type <> 'null'"
        )
        rows = self.rows(sql, json.dumps(list(documents)), storable(name))
        return {number: (kind, value) for number, kind, value in rows}

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

    def forgotten(self) -> int:
        """Return up to which deletion nothing is noted any longer; whoever saw less has to begin anew."""
        return int(self.value("SELECT value FROM meta WHERE key = 'forgotten'") or 0)

    def forget_deletions(self) -> None:
        """Remove what was noted of deletions that no snapshot needs; nobody may be writing one."""
        last = self.value(
            "SELECT min(coalesce((SELECT max(sequence) FROM deletions), 0),"
            " coalesce((SELECT min(snapshot_deletion) FROM generations WHERE snapshot_digest IS NOT NULL), 1 << 62),"
            " coalesce((SELECT min(snapshot_deletion) FROM adapters), 1 << 62))"
        )
        if last > self.forgotten():
            self.execute("DELETE FROM deletions WHERE sequence <= ?", last)
            self.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', ?)", last)

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
        self.embed(number, first, embedded.vectors, generation=generation)
        return number

    def embed(self, number: int, first: int, vectors: Vectors, *, generation: int) -> None:
        """Add the embeddings of a document to a generation, if its passages still begin with number ``first``."""
        blob = np.ascontiguousarray(vectors, dtype=np.float16).tobytes()
        sql = (
            "INSERT INTO embeddings (generation, document, first_passage, vectors, checksum)"
            " SELECT ?, number, first_passage, ?, ? FROM documents WHERE number = ? AND first_passage = ?"
        )
        self.execute(sql, generation, blob, zlib.crc32(blob), number, first)

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

    def read_from(self, file: Path) -> int | None:
        """Return the number of the document that was indexed from a file, given by its absolute path, or None."""
        for number, kind, location in self.rows("SELECT number, kind, location FROM sources"):
            root = Path(location) if kind == "folder" else Path(location).parent
            if kind in ("folder", "file") and file.is_relative_to(root):
                path = os.fsencode(file.relative_to(root)).decode("utf-8", "backslashreplace")  # as in ingest.sources
                origin = self.origin(number, path)
                if origin is not None:
                    return origin.document
        return None

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


def now(timespec: str = "seconds") -> str:
    """Return the time in UTC as ISO 8601, by default with seconds."""
    return datetime.now(UTC).isoformat(timespec=timespec)
