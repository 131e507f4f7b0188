"""Origins: which source holds which document under which path, as the database has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from docsim.engine import origins
from docsim.engine.lookups import key_of
from docsim.engine.records import Holder, Origin, RecordedFailure, RecordedSource, SourceName
from docsim.text.storing import storable

__all__ = ["Asks", "Origins"]


class Asks(Protocol):
    """What runs SQL and returns rows."""

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows that ``sql`` selects."""


class Origins:
    """The tables of sources, origins and failures, and what is known of a document by its number, for reading."""

    def __init__(self, asks: Asks) -> None:
        """Read through what runs SQL."""
        self._asks = asks

    def _one(self, sql: str, *parameters: Any) -> Any:
        rows = self._asks.rows(sql, *parameters)
        return rows[0][0] if rows else None

    def sources(self) -> list[RecordedSource]:
        """Return every source, in the order in which they were first read."""
        return origins.recorded_sources(self._asks.rows(origins.SOURCES))

    def failures(self) -> list[RecordedFailure]:
        """Return the documents that could not be read the last time, by path."""
        sql = (
            "SELECT location, path, reason, failed FROM failures JOIN sources ON source = number"
            ' ORDER BY path COLLATE "C"'
        )
        return [RecordedFailure(*row) for row in self._asks.rows(sql)]

    def paths(self, source_number: int, *, most: int | None = None) -> list[str]:
        """Return the paths of a source that stand for documents, or some of them."""
        rows = self._asks.rows("SELECT path FROM origins WHERE source = %s LIMIT %s", source_number, most)
        return [path for (path,) in rows]

    def origin(self, source_number: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""
        sql = "SELECT document, digest FROM origins WHERE source = %s AND key = %s"
        rows = self._asks.rows(sql, source_number, key_of(path))
        return Origin(*rows[0]) if rows else None

    def last_document(self) -> int:
        """Return the highest number of a document: about how many there are."""
        return int(self._asks.rows("SELECT last_document FROM state")[0][0])

    def size_of(self, source: int) -> int:
        """Return how many paths a source has."""
        return int(self._asks.rows("SELECT count(*) FROM origins WHERE source = %s", source)[0][0])

    def origins_of(self, source: int, most: int) -> Iterator[tuple[bytes, Origin]]:
        """Yield up to ``most`` origins of a source by the keys of their paths."""
        sql = "SELECT key, document, digest FROM origins WHERE source = %s LIMIT %s"
        for key, *origin in self._asks.rows(sql, source, most):
            yield bytes(key), Origin(*origin)

    def numbers_by_key(self, most: int) -> Iterator[tuple[bytes, int]]:
        """Yield up to ``most`` numbers of documents by the keys of their ids."""
        for key, number in self._asks.rows("SELECT key, number FROM documents LIMIT %s", most):
            yield bytes(key), number

    def holders(self, number: int) -> list[Holder]:
        """Return every path that stands for a document."""
        rows = self._asks.rows(
            "SELECT o.source, o.path, kind, location, name, digest, CASE WHEN finished IS NULL OR EXISTS (SELECT 1"
            " FROM failures f WHERE f.source = o.source AND f.key = o.key) THEN NULL ELSE started END"
            " FROM origins o JOIN sources ON number = o.source WHERE document = %s"
            ' ORDER BY o.source, o.path COLLATE "C"',
            number,
        )
        return [Holder(source, path, SourceName(*name), digest, read) for source, path, *name, digest, read in rows]

    def disputed(self) -> list[int]:
        """Return the documents that several paths stand for though they were read with different digests."""
        rows = self._asks.rows("SELECT document FROM origins GROUP BY document HAVING min(digest) <> max(digest)")
        return sorted(number for (number,) in rows)

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        found = self._one("SELECT number FROM documents WHERE key = %s", key_of(storable(id)))
        return None if found is None else int(found)

    def id(self, number: int) -> str | None:
        """Return the id of a document, or None when there is no such document."""
        found = self._one("SELECT id FROM documents WHERE number = %s", number)
        return None if found is None else str(found)

    def digest(self, number: int) -> str | None:
        """Return the digest of what a document's source held, or None when there is no such document."""
        found = self._one("SELECT digest FROM documents WHERE number = %s", number)
        return None if found is None else str(found)

    def read_from(self, file: Path) -> int | None:
        """Return the number of the document that was read from a file, given by its absolute path, or None."""
        return origins.read_from(file, self.sources(), self.origin)
