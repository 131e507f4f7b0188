"""Creation: makes a new index in a schema of a database, and stores how it is to be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from docsim.engine.postgres import approximate, generations, schema, writer
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.connections import connect, explained
from docsim.engine.postgres.queries import Queries
from docsim.engine.postgres.writer import PostgresWriter
from docsim.errors import StoreError

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder

__all__ = ["create", "exists", "prepared"]

_OLDEST_VECTOR = (0, 8)  # the first that goes on when a filter leaves too few


def create(
    address: Address, *, encoder: Encoder | None, index_type: str | None, recall: float | None, wait: bool
) -> None:
    """Make an index unless there is one, and choose how it is searched.

    Args:
        address: Where; the database has to be there, the schema need not.
        encoder: The encoder of a new index; the default one when not given.
        index_type: See ``Index.create``.
        recall: See ``Index.create``.
        wait: Wait for another process that is writing.

    Raises:
        UsageError: There is no such index type or recall.
        IndexLocked: Another process is writing to it and ``wait`` is off.
        StoreError: The server cannot be reached, or lacks what is needed.
    """
    approximate.check(index_type, recall)
    if not exists(address):
        prepared(address)
    with writer.opened(address, wait=wait, new=True) as opened:
        _make(opened, encoder)
        opened.configure(index_type, recall)


def _make(opened: PostgresWriter, encoder: Encoder | None) -> None:
    with opened.store.connection.transaction():
        schema.migrate(opened.store)
    with opened.transaction(visible=False):
        if opened.store.generation() is None:
            generations.begin(opened.store, encoder or _default(), state="live")


def prepared(address: Address) -> None:
    """Make the schema and the extension where they are missing, and check what is there.

    Raises:
        StoreError: The database is not in UTF-8, or pgvector is missing or too old.
    """
    with explained(address), connect(address, writing=True, new=True) as connection:
        queries = Queries(connection)
        if (encoding := queries.value("SHOW server_encoding")) != "UTF8":
            raise StoreError(f"expected a database in UTF8 at {address}, found {encoding}")
        _add_extension(queries, address)
        version = str(queries.value("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_VECTOR:
            raise StoreError(f"expected pgvector 0.8 or later at {address}, found {version}")
        if not queries.value("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", address.schema):
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(address.schema)))


def _add_extension(queries: Queries, address: Address) -> None:
    if queries.value("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
        return
    try:
        queries.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.errors.UniqueViolation:
        pass  # another process made it just now
    except psycopg.Error as error:
        raise StoreError(
            f"expected the extension vector (pgvector) in the database of {address}, and could not add it: "
            f"{str(error).splitlines()[0]}; ask its owner for CREATE EXTENSION vector"
        ) from error


def exists(address: Address) -> bool:
    """Return whether there is an index at an address, finished or not.

    Raises:
        StoreError: The server cannot be reached.
    """
    with explained(address), connect(address, new=True) as connection:
        found = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'state')", (address.schema,)
        ).fetchone()
        return bool(found and found[0])


def _default() -> Encoder:
    from docsim.encoding.encoder import Encoder

    return Encoder.default()
