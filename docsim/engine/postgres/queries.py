"""Queries: the few ways in which this engine runs SQL over one connection."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

from docsim.engine.postgres.connections import Connection

__all__ = ["Queries"]

_AT_A_TIME = 200
_names = itertools.count()


class Queries:
    """Runs SQL over one connection, inside whatever transaction is open there.

    Attributes:
        connection: The connection.
        ef: How broadly an approximate index is searched in the open transaction; None until it was said.
    """

    def __init__(self, connection: Connection) -> None:
        """Run SQL over a connection."""
        self.connection = connection
        self.ef: int | None = None

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows that ``sql`` selects."""
        return self.connection.execute(cast(Any, sql), parameters or None).fetchall()

    def value(self, sql: str, *parameters: Any) -> Any:
        """Return the first column of the first row that ``sql`` selects, or None."""
        row = self.connection.execute(cast(Any, sql), parameters or None).fetchone()
        return row[0] if row else None

    def binary(self, sql: str, *parameters: Any) -> tuple[Any, ...]:
        """Return the first row that ``sql`` selects, sent as bytes."""
        row = self.connection.execute(cast(Any, sql), parameters or None, binary=True).fetchone()
        return row or ()

    def execute(self, sql: str, *parameters: Any) -> int:
        """Run one statement; return how many rows it concerned."""
        return self.connection.execute(cast(Any, sql), parameters or None).rowcount

    def stream(self, sql: str, *parameters: Any, size: int = _AT_A_TIME) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that ``sql`` selects, with only a few in memory at a time; in a transaction only."""
        with self.connection.cursor(name=f"docsim_{next(_names)}") as cursor:
            cursor.itersize = size
            cursor.execute(cast(Any, sql), parameters or None)
            yield from cursor

    def copy(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Load rows by ``COPY ... FROM STDIN``."""
        if not rows:
            return
        with self.connection.cursor() as cursor, cursor.copy(cast(Any, sql)) as copy:
            for row in rows:
                copy.write_row(row)

    def copy_bytes(self, sql: str, content: bytes) -> None:
        """Load what is already in the format of ``COPY ... FROM STDIN (FORMAT binary)``."""
        with self.connection.cursor() as cursor, cursor.copy(cast(Any, sql)) as copy:
            copy.write(content)
