"""The store: the SQL statements that read and write the SQLite file, from which the rest of an index can be rebuilt."""

from __future__ import annotations

import json
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine import document_row
from docsim.engine.local.origins import Origins
from docsim.engine.records import Counts, Embeddings, Generation, RecordedVerdict, StoredDocument
from docsim.errors import StoreError
from docsim.models import Document, Passage
from docsim.text.storing import storable

if TYPE_CHECKING:
    from docsim.filters.condition import Condition

__all__ = ["LocalGeneration", "Store", "StoredMapping", "now"]


@dataclass(frozen=True, slots=True)
class LocalGeneration(Generation):
    """A generation as stored in the database.

    Attributes:
        snapshot_digest: Checksum of its FAISS file; None if there is no usable one.
        snapshot_passage: The last passage number that the FAISS file covers.
        snapshot_deletion: The sequence number of the last deletion that the FAISS file takes into account.
    """

    snapshot_digest: str | None
    snapshot_passage: int
    snapshot_deletion: int


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """The mapping of the live embeddings into the space of a new encoder, as stored in the database.

    Attributes:
        generation: The generation that is being built; its directory holds the alignment and the new encoder.
        fingerprint: The fingerprint of the new encoder.
        digest: SHA-256 of the alignment's file.
        passages: The number of passages that the alignment was learned from.
        snapshot_digest: Checksum of the FAISS file of mapped embeddings.
        snapshot_passage: The last passage number that the FAISS file covers.
        snapshot_deletion: The sequence number of the last deletion that the FAISS file takes into account.
    """

    generation: int
    fingerprint: str
    digest: str
    passages: int
    snapshot_digest: str
    snapshot_passage: int
    snapshot_deletion: int


_GENERATION = ", ".join((*Generation.__slots__, *LocalGeneration.__slots__))
_DOCUMENT = "number, id, title, metadata, digest, passages, text"


class Store(Origins):
    """An open ``index.db``. Reading is safe from several threads; writing belongs to one."""

    # Reading

    def generation(self, number: int | None = None) -> LocalGeneration | None:
        """Return generation ``number``, by default the live one; None if there is no such generation."""
        where, parameters = ("number = ?", [number]) if number else ("state = 'live'", [])
        rows = self.rows(f"SELECT {_GENERATION} FROM generations WHERE {where}", *parameters)
        return LocalGeneration(*rows[0]) if rows else None

    def generations(self, state: str | None = None) -> list[LocalGeneration]:
        """Return the generations, oldest first; only ``building``, ``live`` or ``retired`` ones if a state is given."""
        sql = f"SELECT {_GENERATION} FROM generations WHERE state = coalesce(?, state) ORDER BY number"
        return [LocalGeneration(*row) for row in self.rows(sql, state)]

    def mapping(self) -> StoredMapping | None:
        """Return the mapping of the live embeddings, or None.

        It counts only while its generation is being built and the embeddings that it was learned from are live.
        """
        sql = (
            "SELECT a.generation, new.fingerprint, a.digest, a.passages, a.snapshot_digest, a.snapshot_passage,"
            " a.snapshot_deletion FROM adapters a"
            " JOIN generations new ON new.number = a.generation AND new.state = 'building'"
            " JOIN generations old ON old.fingerprint = a.source AND old.state = 'live'"
        )
        rows = self.rows(sql)
        return StoredMapping(*rows[0]) if rows else None

    def lacking(self, generation: int, *, limit: int = -1) -> list[int]:
        """Return the numbers of the documents that have no embeddings in a generation, ascending."""
        sql = (
            "SELECT number FROM documents WHERE NOT EXISTS"
            " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?)"
            " ORDER BY number LIMIT ?"
        )
        return [number for (number,) in self.rows(sql, generation, limit)]

    def is_complete(self, generation: int) -> bool:
        """Return whether a generation has embeddings of as many documents as there are; faster than ``lacking``."""
        sql = "SELECT (SELECT count(*) FROM documents) = (SELECT count(*) FROM embeddings WHERE generation = ?)"
        return bool(self.value(sql, generation))

    def stream_lacking(self, generation: int, *, after: int = 0) -> Generator[tuple[int, int, Document]]:
        """Yield each document that has no embeddings in a generation: number, first passage number, and title and text.

        Args:
            generation: The generation's number.
            after: Skip documents up to this number.
        """
        sql = (
            "SELECT number, first_passage, id, text, title FROM documents WHERE number > ? AND NOT EXISTS"
            " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?) ORDER BY number"
        )
        for number, first, *content in self.stream(sql, after, generation):
            yield number, first, Document(*content)

    def counts(self) -> Counts:
        """Return the numbers of documents and passages."""
        sql = "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages)"
        return Counts(*self.rows(sql)[0])

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        found = self.value("SELECT number FROM documents WHERE id = ?", storable(id))
        return None if found is None else int(found)

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the documents with some ids, by id; ids that do not exist are left out."""
        sql = "SELECT id, number FROM documents WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self.rows(sql, json.dumps([storable(id) for id in ids])))

    def id(self, number: int) -> str | None:
        """Return the id of a document, or None when there is no such document."""
        found = self.value("SELECT id FROM documents WHERE number = ?", number)
        return None if found is None else str(found)

    def digest(self, number: int) -> str | None:
        """Return the digest of what a document's source held, or None when there is no such document."""
        found = self.value("SELECT digest FROM documents WHERE number = ?", number)
        return None if found is None else str(found)

    def document(self, key: str | int) -> StoredDocument | None:
        """Return the document with this id (str) or number (int), or None."""
        number = key if isinstance(key, int) else self.number(key)
        return None if number is None else self.documents([number]).get(number)

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return documents by number; numbers that do not exist are left out."""
        sql = f"SELECT {_DOCUMENT} FROM documents WHERE number IN (SELECT value FROM json_each(?))"
        return {row[0]: self._stored(row) for row in self.rows(sql, json.dumps(list(numbers)))}

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        """Yield every document by ascending number, its text cut after ``characters`` characters if given."""
        columns = _DOCUMENT if characters is None else _DOCUMENT.replace("text", f"substr(text, 1, {int(characters)})")
        for row in self.stream(f"SELECT {columns} FROM documents ORDER BY number"):
            yield self._stored(row)

    def _stored(self, row: Sequence[Any]) -> StoredDocument:
        """Return a document as its columns have it.

        Raises:
            StoreError: One of them is of another type, or the metadata is no JSON object.
        """
        number, id, title, metadata, digest, passages, text = row
        try:
            return StoredDocument(number, document_row.document(id, text, title, metadata), digest, passages)
        except (TypeError, ValueError) as error:
            raise StoreError(f"what is stored of {id} in {self.path} is damaged", hint="docsim repair") from error

    def salvaged(self, number: int) -> StoredDocument | None:
        """Return what can be read of a damaged document: its id, whatever is UTF-8, and no metadata."""
        columns = "id, cast(text AS BLOB), cast(title AS BLOB), digest, passages"
        for id, text, title, *rest in self.rows(f"SELECT {columns} FROM documents WHERE number = ?", number):
            read, named = ((content or b"").decode("utf-8", "replace") for content in (text, title))
            return StoredDocument(number, Document(id, read, named), *rest)
        return None

    def meeting(self, condition: Condition) -> NDArray[np.int64]:
        """Return the first passage numbers of the documents that meet a condition, ascending."""
        from docsim.engine.local.filter_sql import compiled  # here, because most searches have no filter

        expression = compiled(condition)
        sql = f"SELECT first_passage FROM documents WHERE {expression.sql} ORDER BY first_passage"
        return np.array(self.rows(sql, *expression.parameters), np.int64).reshape(-1)

    def metadata_values(self, name: str, documents: Sequence[int]) -> dict[int, tuple[str, object]]:
        """Return the type and value of a metadata field by document number; documents without it are left out."""
        sql = (
            "SELECT d.number, CASE WHEN j.type IN ('integer', 'real') THEN 'number' ELSE j.type END, j.value"
            " FROM documents d, json_each(d.metadata) j"
            " WHERE d.number IN (SELECT value FROM json_each(?)) AND j.key = ? AND j.type <> 'null'"
        )
        rows = self.rows(sql, json.dumps(list(documents)), storable(name))
        return {number: (kind, value) for number, kind, value in rows}

    def passages(self, document: int) -> list[Passage]:
        """Return the passages of a document in order."""
        return self.passages_of([document]).get(document, [])

    def passages_of(self, documents: Sequence[int]) -> dict[int, list[Passage]]:
        """Return the passages of some documents, in order, by document number."""
        sql = (
            'SELECT document, start, "end", heading FROM passages'
            " WHERE document IN (SELECT value FROM json_each(?)) ORDER BY number"
        )
        found: dict[int, list[Passage]] = {}
        for document, *fields in self.rows(sql, json.dumps(list(documents))):
            found.setdefault(document, []).append(Passage(*fields))
        return found

    def documents_after(self, generation: int, passage: int) -> NDArray[np.int64]:
        """List the documents whose first passage number is above ``passage``, in order.

        Returns:
            The first passage number and the document number of each, ``int64 (n, 2)``.
        """
        sql = (
            "SELECT first_passage, document FROM embeddings"
            " WHERE generation = ? AND first_passage > ? ORDER BY first_passage"
        )
        rows = chain.from_iterable(self.rows(sql, generation, passage))
        return np.fromiter(rows, dtype=np.int64).reshape(-1, 2)

    def vectors(self, generation: int, documents: Sequence[int]) -> dict[int, Embeddings]:
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

    def vectors_after(self, generation: int, passage: int) -> Iterator[tuple[int, Embeddings]]:
        """Yield ``(first passage number, embeddings)`` of documents whose first passage number is above ``passage``."""
        dim = self.value("SELECT dim FROM generations WHERE number = ?", generation)
        sql = (
            "SELECT first_passage, vectors, checksum FROM embeddings"
            " WHERE generation = ? AND first_passage > ? ORDER BY first_passage"
        )
        for first, blob, checksum in self.stream(sql, generation, passage):
            yield first, self._unpacked(blob, checksum, dim=dim)

    def _unpacked(self, blob: bytes, checksum: int, *, dim: int) -> Embeddings:
        if zlib.crc32(blob) != checksum or len(blob) % (2 * dim):
            raise self.damaged()
        return np.frombuffer(blob, dtype=np.float16).reshape(-1, dim)

    def damaged(self) -> StoreError:
        """Return the error for stored embeddings that are missing or altered."""
        return StoreError(
            f"stored embeddings in {self.path} are damaged; verify the index to see what else is, then repair it",
            hint="docsim verify, then docsim repair",
        )

    def deletions_after(self, sequence: int) -> list[tuple[int, int, int]]:
        """Return ``(sequence, first passage number, passages)`` of every deletion after ``sequence``, in order."""
        return self.rows(
            "SELECT sequence, first_passage, passages FROM deletions WHERE sequence > ? ORDER BY sequence", sequence
        )

    def forgotten(self) -> int:
        """Return the last deletion whose record was removed; a view that has not seen it must be made anew."""
        return int(self.value("SELECT value FROM meta WHERE key = 'forgotten'") or 0)

    def forget_deletions(self) -> None:
        """Remove the records of deletions that every FAISS file takes into account. None may be written meanwhile."""
        last = self.value(
            "SELECT min(coalesce((SELECT max(sequence) FROM deletions), 0),"
            " coalesce((SELECT min(snapshot_deletion) FROM generations WHERE snapshot_digest IS NOT NULL), 1 << 62),"
            " coalesce((SELECT min(snapshot_deletion) FROM adapters), 1 << 62),"
            " coalesce((SELECT min(deletion) FROM words), 1 << 62))"
        )
        if last > self.forgotten():
            self.execute("DELETE FROM deletions WHERE sequence <= ?", last)
            self.set_meta("forgotten", last)

    def verdict(self, number: int) -> RecordedVerdict | None:
        """Return the verdict that was recorded about a generation, or None."""
        rows = self.rows("SELECT passed, summary FROM verdicts WHERE generation = ?", number)
        if not rows:
            return None
        passed, told = bool(rows[0][0]), json.loads(rows[0][1])
        return RecordedVerdict(passed, bool(told.get("sound", passed)), told.get("metrics", {}), told.get("source"))

    # Writing, by writers and rebuilders; inside ``writing()``

    def add_embeddings(self, number: int, first: int, vectors: Embeddings, *, generation: int) -> None:
        """Add the embeddings of a document to a generation, if its first passage still has the number ``first``."""
        blob = np.ascontiguousarray(vectors, dtype=np.float16).data.cast("B") if len(vectors) else b""
        sql = (
            "INSERT INTO embeddings (generation, document, first_passage, vectors, checksum)"
            " SELECT ?, number, first_passage, ?, ? FROM documents WHERE number = ? AND first_passage = ?"
        )
        self.execute(sql, generation, blob, zlib.crc32(blob), number, first)

    def add_generation(self, *, fingerprint: str, encoder: str, dim: int, state: str) -> int:
        """Add a generation and return its number."""
        sql = "INSERT INTO generations (state, fingerprint, encoder, dim, created, published) VALUES (?, ?, ?, ?, ?, ?)"
        published = now() if state == "live" else None
        return self.execute(sql, state, fingerprint, encoder, dim, now(), published)

    def record(self, number: int, verdict: RecordedVerdict) -> None:
        """Record the verdict about a generation, in a transaction of its own."""
        summary = json.dumps({"metrics": verdict.metrics, "source": verdict.questions, "sound": verdict.sound})
        with self.writing(visible=False):
            sql = "INSERT OR REPLACE INTO verdicts (generation, checked, passed, summary) VALUES (?, ?, ?, ?)"
            self.execute(sql, number, now(), verdict.passed, summary)


def now(timespec: str = "seconds") -> str:
    """Return the current time in UTC in ISO 8601, to the second by default."""
    return datetime.now(UTC).isoformat(timespec=timespec)
