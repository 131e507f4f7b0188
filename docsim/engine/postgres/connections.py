"""Connections: to the database of an index, kept open for the next question, and made anew when one was lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, cast

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

from docsim.engine.postgres.address import Address
from docsim.engine.retrying import is_retried
from docsim.errors import DocsimError, IndexChanged, StoreError, Unreachable, UsageError

__all__ = ["Connection", "Connections", "connect", "explained", "missing"]

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_BOUNDS = {
    "connect_timeout": "10",
    "tcp_user_timeout": "20000",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "application_name": "docsim",
}
"""Seconds and milliseconds after which an answer is given up; the address may say otherwise."""

MOST_IDLE = 8
"""Connections that are kept open while nobody uses them."""

_PATH = """
SELECT to_regclass(%(table)s) IS NOT NULL, set_config('jit', 'off', false),
    set_config('search_path', concat_ws(', ', %(schema)s::text, coalesce(
    (SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
     WHERE extname = 'vector'), 'public')), false)
"""


def connect(address: Address, *, writing: bool = False, new: bool = False) -> Connection:
    """Connect to the database of an index.

    Args:
        address: The index.
        writing: Connect to a server that can be written to, whatever the address prefers.
        new: The index need not be there.

    Raises:
        StoreError: The server cannot be reached, or there is no index.
    """
    with explained(address):
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(address.server).items()}
        except psycopg.Error:
            raise UsageError(f"expected an address such as postgresql://host/database, got {address}") from None
        settings = _BOUNDS | given | ({"target_session_attrs": "read-write"} if writing else {})
        connection: Connection = psycopg.connect(
            make_conninfo(**settings), autocommit=True, prepare_threshold=None, client_encoding="utf8"
        )
        try:
            quoted = sql.Identifier(address.schema).as_string(connection)
            row = connection.execute(_PATH, {"table": f"{quoted}.state", "schema": quoted}).fetchone()
            if not new and not (row and row[0]):
                raise missing(address)
        except BaseException:
            connection.close()
            raise
        return connection


def missing(address: Address) -> StoreError:
    """Return the error for an address where there is no index."""
    return StoreError(f"expected an index at {address}, found none", hint=f"docsim index FOLDER --index '{address}'")


@contextmanager
def explained(address: Address) -> Iterator[None]:
    """Turn an exception of psycopg into a ``StoreError`` that says what to do."""
    try:
        yield
    except DocsimError:
        raise
    except errors.UndefinedTable as error:  # it may be that of a generation pruned since this transaction began
        raise (IndexChanged if is_retried() else StoreError)(_none_or_damaged(address, error)) from error
    except (errors.InvalidSchemaName, errors.UndefinedColumn) as error:
        raise StoreError(_none_or_damaged(address, error)) from error
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"could not use the index at {address}: {_reason(error)}; ask its owner for this right"
        ) from error
    except errors.ReadOnlySqlTransaction as error:
        raise StoreError(f"could not write to {address}: the server is read-only, perhaps a standby") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unreachable(
            f"could not reach the index at {address}: {_reason(error)}; what was committed before is safe, try again"
        ) from error
    except psycopg.Error as error:
        raise StoreError(
            f"the database at {address} refused: {_reason(error)}; what was committed before is safe"
        ) from error


def _none_or_damaged(address: Address, error: psycopg.Error) -> str:
    return f"expected an index at {address}, found none or a damaged one: {_reason(error)}"


def _reason(error: psycopg.Error) -> str:
    """Return the last line of what a server or libpq says that is not a hint; libpq lists all hosts first."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("HINT", "LINE", "DETAIL", "^", "Is the server"))]
    return told[0].rstrip(".:") if told else type(error).__name__


class Connections:
    """Connections to one index, for reading. Safe to use from several threads."""

    def __init__(self, address: Address, *, writing: bool = False) -> None:
        """Make none yet.

        Args:
            address: The index.
            writing: Always ask a server that can be written to.
        """
        self.address = address
        self._writing = writing
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    @contextmanager
    def begun(self, statements: str, *, primary: bool = False) -> Iterator[tuple[Connection, list[tuple[Any, ...]]]]:
        """Lend a connection on which some statements were run, and the rows of the last; a lost one is replaced.

        Args:
            statements: SQL without parameters; a transaction that they begin is ended with the block.
            primary: Ask the server that can be written to, whatever the address prefers.

        Raises:
            StoreError: The server cannot be reached, or refuses.
        """
        with explained(self.address):
            connection, rows = self._begun(statements, primary=primary)
            try:
                yield connection, rows
            finally:
                self._give_back(connection, keep=not primary)

    def _begun(self, statements: str, *, primary: bool) -> tuple[Connection, list[tuple[Any, ...]]]:
        while not primary and (idle := self._taken()) is not None:
            try:
                return idle, _run(idle, statements)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                idle.close()  # the server was restarted, or the network cut; so are the others, probably
        connection = connect(self.address, writing=primary or self._writing)
        try:
            return connection, _run(connection, statements)
        except BaseException:
            connection.close()
            raise

    def _taken(self) -> Connection | None:
        with self._lock:
            if self._process != os.getpid():  # they belong to the process that this one was forked from
                self._idle, self._process = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection, *, keep: bool) -> None:
        with suppress(psycopg.Error):
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        with self._lock:
            if keep and not connection.closed and len(self._idle) < MOST_IDLE and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close those that nobody uses; safe to call twice."""
        while (idle := self._taken()) is not None:
            idle.close()


def _run(connection: Connection, statements: str) -> list[tuple[Any, ...]]:
    cursor = connection.execute(cast(Any, statements))
    rows: list[tuple[Any, ...]] = []
    while True:
        rows = cursor.fetchall() if cursor.description else rows
        if not cursor.nextset():
            return rows
