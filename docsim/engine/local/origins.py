"""Origins: which source holds which document under which path, as the database has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docsim.engine import origins
from docsim.engine.local.database import Database
from docsim.engine.lookups import key_of
from docsim.engine.records import Holder, Origin, RecordedFailure, RecordedSource, SourceName

__all__ = ["Origins"]


class Origins(Database):
    """The tables of sources, origins and failures, for reading."""

    def sources(self) -> list[RecordedSource]:
        """Return every source, in the order in which they were first read."""
        return origins.recorded_sources(self.rows(origins.SOURCES))

    def failures(self) -> list[RecordedFailure]:
        """Return the documents that could not be read the last time, by path."""
        sql = "SELECT location, path, reason, failed FROM failures JOIN sources ON source = number ORDER BY path"
        return [RecordedFailure(*row) for row in self.rows(sql)]

    def paths(self, source_number: int, *, most: int | None = None) -> list[str]:
        """Return the paths of a source that stand for documents, or some of them."""
        sql = "SELECT path FROM origins WHERE source = ? LIMIT ?"
        return [path for (path,) in self.rows(sql, source_number, -1 if most is None else most)]

    def origin(self, source_number: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""
        rows = self.rows("SELECT document, digest FROM origins WHERE source = ? AND path = ?", source_number, path)
        return Origin(*rows[0]) if rows else None

    def last_document(self) -> int:
        """Return the highest number of a document: about how many there are."""
        return int(self.value("SELECT coalesce(max(number), 0) FROM documents"))

    def size_of(self, source: int) -> int:
        """Return how many paths a source has."""
        return int(self.value("SELECT count(*) FROM origins WHERE source = ?", source))

    def origins_of(self, source: int, most: int) -> Iterator[tuple[bytes, Origin]]:
        """Yield up to ``most`` origins of a source by the keys of their paths."""
        sql = "SELECT path, document, digest FROM origins WHERE source = ? LIMIT ?"
        for path, *origin in self.rows(sql, source, most):
            yield key_of(path), Origin(*origin)

    def numbers_by_key(self, most: int) -> Iterator[tuple[bytes, int]]:
        """Yield up to ``most`` numbers of documents by the keys of their ids."""
        for id, number in self.rows("SELECT id, number FROM documents LIMIT ?", most):
            yield key_of(id), number

    def holders(self, number: int) -> list[Holder]:
        """Return every path that stands for a document."""
        rows = self.rows(
            "SELECT source, path, kind, location, name, digest, iif(finished IS NULL OR EXISTS (SELECT 1 FROM failures"
            " WHERE failures.source = origins.source AND failures.path = origins.path), NULL, started)"
            " FROM origins JOIN sources ON number = source WHERE document = ?",
            number,
        )
        return [Holder(number, path, SourceName(*source), digest, read) for number, path, *source, digest, read in rows]

    def disputed(self) -> list[int]:
        """Return the documents that several paths stand for though they were read with different digests."""
        shared = "SELECT document FROM origins GROUP BY document HAVING count(*) > 1"
        sql = f"SELECT document FROM origins WHERE document IN ({shared}) GROUP BY document"
        return [number for (number,) in self.rows(f"{sql} HAVING min(digest) <> max(digest)")]

    def read_from(self, file: Path) -> int | None:
        """Return the number of the document that was read from a file, given by its absolute path, or None."""
        return origins.read_from(file, self.sources(), self.origin)
