"""The store: the SQL that reads documents, generations and notes, over one connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from docsim.engine import document_row
from docsim.engine.lookups import key_of
from docsim.engine.postgres.queries import Queries
from docsim.engine.records import Generation, RecordedVerdict, StoredDocument
from docsim.errors import StoreError
from docsim.models import Passage
from docsim.text.storing import storable

__all__ = ["GENERATION", "Mapped", "State", "Store", "now", "read_state", "state_sql"]

GENERATION = ", ".join(Generation.__slots__)
_DOCUMENT = "number, id, title, metadata, digest, passages, text"


@dataclass(frozen=True, slots=True)
class Mapped:
    """The mapping of the live embeddings into the space of a new encoder.

    Attributes:
        generation: The generation that is being built.
        fingerprint: The fingerprint of its encoder.
        digest: SHA-256 of the alignment's file.
        passages: The number of passages that the alignment was learned from.
        dim: Components of a mapped embedding.
    """

    generation: int
    fingerprint: str
    digest: str
    passages: int
    dim: int


@dataclass(frozen=True, slots=True)
class State:
    """One committed state, without what it holds.

    Attributes:
        id: What tells this index from every other one.
        revision: Its number.
        documents: How many documents there are.
        passages: How many passages they have.
        last_deletion: The sequence number of the last deletion.
        forgotten: That of the last deletion whose record was removed.
        generation: The generation that is searched; None if there is no such generation.
        mapped: How its embeddings are mapped; None if they are not.
    """

    id: str
    revision: int
    documents: int
    passages: int
    last_deletion: int
    forgotten: int
    generation: Generation | None
    mapped: Mapped | None


def state_sql(pinned: int | None = None) -> str:
    """Return the SQL that selects the row for ``read_state``.

    Args:
        pinned: The generation; the live one when not given.
    """
    which = f"g.number = {int(pinned)}" if pinned else "g.state = 'live'"
    columns = ", ".join(f"g.{name}" for name in Generation.__slots__)
    mapping = "" if pinned else " AND g.fingerprint = m.source"
    return (
        f"SELECT s.id, s.revision, s.documents, s.passages, s.last_deletion, s.forgotten, {columns},"
        " new.number, new.fingerprint, m.digest, m.passages, m.dim FROM state s"
        f" LEFT JOIN generations g ON {which}"
        f" LEFT JOIN mappings m ON {'false' if pinned else 'true'}{mapping}"
        " LEFT JOIN generations new ON new.number = m.generation AND new.state = 'building'"
        " ORDER BY new.number NULLS LAST LIMIT 1"
    )


def read_state(row: Sequence[Any]) -> State:
    """Return the state that a row of ``state_sql`` tells."""
    size = len(Generation.__slots__)
    told, mapping = row[6 : 6 + size], row[6 + size :]
    generation = Generation(*told) if told[0] is not None else None
    mapped = Mapped(*mapping) if mapping[0] is not None else None
    id, revision, documents, passages, last_deletion, forgotten = row[:6]
    return State(id, revision, documents, passages, last_deletion, forgotten, generation, mapped)


class Store(Queries):
    """Reads the tables of an index; inside one transaction it sees one state."""

    # Generations

    def generation(self, number: int | None = None) -> Generation | None:
        """Return generation ``number``, by default the live one; None if there is no such generation."""
        where, parameters = ("number = %s", [number]) if number else ("state = 'live'", [])
        rows = self.rows(f"SELECT {GENERATION} FROM generations WHERE {where}", *parameters)
        return Generation(*rows[0]) if rows else None

    def generations(self, state: str | None = None) -> list[Generation]:
        """Return the generations, or those in one state, oldest first."""
        where, parameters = ("WHERE state = %s", [state]) if state else ("", [])
        sql = f"SELECT {GENERATION} FROM generations {where} ORDER BY number"
        return [Generation(*row) for row in self.rows(sql, *parameters)]

    def state(self, pinned: int | None = None) -> State:
        """Return the state that this transaction sees."""
        return read_state(self.rows(state_sql(pinned))[0])

    def vector_tables(self) -> list[str]:
        """Return the names of all tables of embeddings."""
        sql = (
            "SELECT 'embeddings_' || number FROM generations UNION ALL SELECT 'mapped_' || generation FROM mappings"
            " ORDER BY 1"
        )
        return [name for (name,) in self.rows(sql)]

    def lacking(self, generation: int, *, limit: int | None = None) -> list[int]:
        """Return the numbers of the documents that have no embeddings in a generation, ascending."""
        sql = (
            "SELECT number FROM documents d WHERE NOT EXISTS"
            " (SELECT 1 FROM embedded WHERE document = d.number AND generation = %s) ORDER BY number LIMIT %s"
        )
        return [number for (number,) in self.rows(sql, generation, limit)]

    def verdict(self, number: int) -> RecordedVerdict | None:
        """Return the verdict that was recorded about a generation, or None."""
        rows = self.rows("SELECT passed, summary FROM verdicts WHERE generation = %s", number)
        if not rows:
            return None
        passed, told = bool(rows[0][0]), json.loads(rows[0][1])
        return RecordedVerdict(passed, bool(told.get("sound", passed)), told.get("metrics", {}), told.get("source"))

    # Documents

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of the documents with some ids, by id; ids that do not exist are left out."""
        keys = {key_of(storable(id)): id for id in ids}
        rows = self.rows("SELECT key, number FROM documents WHERE key = ANY(%s)", list(keys))
        return {keys[bytes(key)]: number for key, number in rows}

    def documents(self, numbers: Sequence[int]) -> dict[int, StoredDocument]:
        """Return documents by number; numbers that do not exist are left out."""
        sql = f"SELECT {_DOCUMENT} FROM documents JOIN texts ON document = number WHERE number = ANY(%s::bigint[])"
        return {row[0]: self.stored(row) for row in self.rows(sql, [int(one) for one in numbers])}

    def scan(self, *, characters: int | None = None) -> Iterator[StoredDocument]:
        """Yield every document by ascending number, its text cut after ``characters`` characters if given."""
        columns = _DOCUMENT if characters is None else _DOCUMENT.replace("text", f"left(text, {int(characters)})")
        sql = f"SELECT {columns} FROM documents JOIN texts ON document = number ORDER BY number"
        for row in self.stream(sql):
            yield self.stored(row)

    def stored(self, row: Sequence[Any]) -> StoredDocument:
        """Return a document as its columns have it.

        Raises:
            StoreError: The metadata is no JSON object.
        """
        number, id, title, metadata, digest, passages, text = row
        try:
            return StoredDocument(number, document_row.document(id, text, title, metadata), digest, passages)
        except (TypeError, ValueError) as error:
            raise StoreError(f"what is stored of {id} is damaged; repair the index", hint="docsim repair") from error

    def passages_of(self, numbers: Sequence[int]) -> dict[int, list[Passage]]:
        """Return the passages of some documents, in order, by document number."""
        sql = "SELECT number, starts, ends, headings FROM documents WHERE number = ANY(%s::bigint[])"
        rows = self.rows(sql, [int(one) for one in numbers])
        return {number: list(map(Passage, *spans)) for number, *spans in rows}

    # Notes

    def note(self, key: str) -> str | None:
        """Return a small text that was kept under a name, or None."""
        found = self.value("SELECT value FROM meta WHERE key = %s", f"note {key}")
        return None if found is None else str(found)

    def keep_note(self, key: str, text: str) -> None:
        """Keep a small text under a name."""
        sql = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self.execute(sql, f"note {key}", text)

    def forget_notes(self, keys: Iterable[str]) -> None:
        """Forget notes; those that are not there are none."""
        self.execute("DELETE FROM meta WHERE key = ANY(%s::text[])", [f"note {key}" for key in keys])

    def notes(self) -> dict[str, str]:
        """Return all small texts by their names."""
        return dict(self.rows("SELECT substr(key, 6), value FROM meta WHERE key LIKE 'note %'"))

    def repeated_lines(self) -> frozenset[str]:
        """Return the lines that passages leave out, as the sources of the documents repeat them."""
        notes = self.rows("SELECT value FROM meta WHERE key LIKE 'note repeated %'")
        return frozenset(line for (note,) in notes for line in json.loads(note)["lines"])

    def setting(self, key: str) -> str | None:
        """Return a setting of the index, or None."""
        found = self.value("SELECT value FROM meta WHERE key = %s", key)
        return None if found is None else str(found)

    def set_setting(self, key: str, value: str) -> None:
        """Keep a setting of the index."""
        sql = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self.execute(sql, key, value)


def now(timespec: str = "seconds") -> str:
    """Return the current time in UTC in ISO 8601, to the second by default."""
    return datetime.now(UTC).isoformat(timespec=timespec)
