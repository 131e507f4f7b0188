"""Pending: what a transaction is about to write, kept until it can be sent at once.

A document by itself would cost ten questions to the server. Hundreds are sent by COPY and by a few statements over
arrays, which takes as long as a few documents would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from docsim.encoding.alignment import Alignment
from docsim.engine.lookups import key_of
from docsim.engine.postgres import fields, vectors
from docsim.engine.postgres.schema import embeddings_table, mapped_table
from docsim.engine.postgres.store import Store
from docsim.engine.records import Embedded
from docsim.text.storing import canonical

__all__ = ["Link", "Pending", "Put", "Written", "claim", "delete", "link", "released", "write", "write_documents"]


@dataclass(frozen=True, slots=True)
class Put:
    """A document that is added or replaced.

    Attributes:
        number: Its number.
        first: The number of its first passage.
        embedded: What is written.
        digest: What its content has to be.
        is_new: Whether it is added.
    """

    number: int
    first: int
    embedded: Embedded
    digest: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A path that stands for a document from now on."""

    source: int
    path: str
    document: int
    digest: str


@dataclass(slots=True)
class Pending:
    """What is not sent yet: documents, then claims, then links.

    Attributes:
        puts: By the document's number.
        claims: By source and path.
        links: By source and path.
        documents: The documents that claims and links are about.
    """

    puts: dict[int, Put] = field(default_factory=dict)
    claims: dict[tuple[int, str], Link] = field(default_factory=dict)
    links: dict[tuple[int, str], Link] = field(default_factory=dict)
    documents: dict[int, tuple[int, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether there is anything."""
        return bool(self.puts or self.claims or self.links)

    def has_room(self, link: Link) -> bool:
        """Return whether a claim or link means the same when it is sent with the others as after them."""
        key = (link.source, link.path)
        return key not in self.links and self.documents.get(link.document, key) == key


@dataclass(slots=True)
class Written:
    """What a transaction changed so far: how many documents and passages there are more, or fewer."""

    documents: int = 0
    passages: int = 0

    def add(self, puts: list[Put]) -> None:
        """Count documents that are added."""
        self.documents += len(puts)
        self.passages += sum(len(one.embedded.passages) for one in puts)


def write(
    store: Store,
    puts: list[Put],
    *,
    generation: int,
    last_deletion: int,
    alignment: tuple[int, Alignment] | None,
    written: Written,
) -> int:
    """Write documents in the transaction that is open; return the sequence number of the last deletion after that.

    Args:
        store: In a transaction.
        puts: What to write, no document twice.
        generation: The live generation.
        last_deletion: The sequence number of the last deletion.
        alignment: What maps embeddings for a generation that is being built, and that generation's number.
        written: Counts what has changed.
    """
    replaced = [one.number for one in puts if not one.is_new]
    if replaced:
        last_deletion = delete(store, replaced, last_deletion=last_deletion, written=written)
    write_documents(store, puts)
    store.copy(
        "COPY embedded FROM STDIN", [(generation, one.number, vectors.checksum(one.embedded.vectors)) for one in puts]
    )
    rows = [(one.number, one.first, one.embedded.vectors) for one in puts]
    vectors.load(store, embeddings_table(generation), rows)
    if alignment:
        number, maps = alignment
        vectors.load(store, mapped_table(number), [(one, first, maps.apply(held)) for one, first, held in rows])
    written.add(puts)
    return last_deletion


def write_documents(store: Store, puts: list[Put]) -> None:
    """Write documents without their embeddings in the transaction that is open."""
    store.copy(
        "COPY documents (number, key, id, title, metadata, fields, digest, first_passage, passages, starts, ends,"
        " headings) FROM STDIN",
        [_row(one) for one in puts],
    )
    store.copy("COPY texts FROM STDIN", [(one.number, one.embedded.document.text) for one in puts])


def _row(one: Put) -> tuple[object, ...]:
    document, spans = one.embedded.document, one.embedded.passages
    return (
        one.number,
        key_of(document.id),
        document.id,
        document.title,
        canonical(document.metadata),
        fields.prepared(document.id, document.title, document.metadata),
        one.digest,
        one.first,
        len(spans),
        [span.start for span in spans],
        [span.end for span in spans],
        [span.heading for span in spans],
    )


def delete(store: Store, numbers: list[int], *, last_deletion: int, written: Written) -> int:
    """Delete documents with all that belongs to them but their paths; return the number of the last deletion.

    Their rows go first: whoever adds embeddings of them meanwhile holds these rows, or finds them gone.
    """
    rows = store.rows(
        "DELETE FROM documents WHERE number = ANY(%s::bigint[]) RETURNING first_passage, passages", numbers
    )
    store.execute("DELETE FROM texts WHERE document = ANY(%s::bigint[])", numbers)
    store.execute("DELETE FROM embedded WHERE document = ANY(%s::bigint[])", numbers)
    for table in store.vector_tables():
        store.execute(f"DELETE FROM {table} WHERE document = ANY(%s::bigint[])", numbers)
    store.execute(
        "INSERT INTO deletions SELECT %s + place, first"
        " FROM unnest(%s::bigint[]) WITH ORDINALITY AS gone (first, place)",
        last_deletion,
        [first for first, _ in rows],
    )
    written.documents -= len(rows)
    written.passages -= sum(passages for _, passages in rows)
    return last_deletion + len(rows)


def claim(store: Store, claims: list[Link]) -> int:
    """Forget every other path that stands for the same documents and was read otherwise; return how many there were."""
    return store.execute(
        "DELETE FROM origins o USING unnest(%s::bigint[], %s::bytea[], %s::bigint[], %s::text[])"
        " AS c (source, key, document, digest)"
        " WHERE o.document = c.document AND NOT (o.source = c.source AND o.key = c.key) AND o.digest <> c.digest",
        [one.source for one in claims],
        [key_of(one.path) for one in claims],
        [one.document for one in claims],
        [one.digest for one in claims],
    )


def link(store: Store, links: list[Link]) -> list[int]:
    """Record which document paths stand for; return the documents that nothing stands for any longer."""
    keys = ([one.source for one in links], [key_of(one.path) for one in links])
    rows = store.rows(
        "SELECT o.document FROM origins o JOIN unnest(%s::bigint[], %s::bytea[], %s::bigint[])"
        " AS l (source, key, document) ON l.source = o.source AND l.key = o.key WHERE o.document <> l.document",
        *keys,
        [one.document for one in links],
    )
    store.execute(
        "INSERT INTO origins (source, key, path, document, digest)"
        " SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::bigint[], %s::text[])"
        " ON CONFLICT (source, key) DO UPDATE SET document = excluded.document, digest = excluded.digest",
        *keys,
        [one.path for one in links],
        [one.document for one in links],
        [one.digest for one in links],
    )
    store.execute(
        "DELETE FROM failures f USING unnest(%s::bigint[], %s::bytea[]) AS l (source, key)"
        " WHERE f.source = l.source AND f.key = l.key",
        *keys,
    )
    return released(store, [number for (number,) in rows])


def released(store: Store, numbers: list[int]) -> list[int]:
    """Return those of some documents that no path stands for."""
    if not numbers:
        return []
    sql = (
        "SELECT DISTINCT number FROM unnest(%s::bigint[]) AS n (number)"
        " WHERE NOT EXISTS (SELECT 1 FROM origins WHERE document = n.number)"
    )
    return [number for (number,) in store.rows(sql, numbers)]
