"""Lookups: what the one writer knows of paths and ids without asking, as nobody else changes them.

A sync asks of every document which one its path stands for, and whether its id is taken. Over a network each question
takes longer than reading the document.
"""

from __future__ import annotations

from collections.abc import Iterable

from docsim.engine.postgres.origins import Asks
from docsim.engine.postgres.pending import Link, Put
from docsim.engine.postgres.schema import key_of
from docsim.engine.records import Origin

__all__ = ["MOST", "Lookups"]

MOST = 300_000
"""Paths and ids that are kept in memory, some 75 MB; of more, each is asked for."""


class Lookups:
    """The committed paths of sources and ids of documents."""

    def __init__(self, asks: Asks) -> None:
        """Know nothing yet."""
        self._asks = asks
        self._origins: dict[int, dict[bytes, Origin] | None] = {}
        self._numbers: dict[bytes, int] | None = None
        self._are_too_many = False

    def origins(self, source: int) -> dict[bytes, Origin] | None:
        """Return the origins of a source by the key of the path; None if they are too many."""
        if source not in self._origins:
            sql = "SELECT key, document, digest FROM origins WHERE source = %s LIMIT %s"
            rows = self._asks.rows(sql, source, MOST + 1)
            found = {bytes(key): Origin(document, digest) for key, document, digest in rows}
            self._origins[source] = found if len(rows) <= MOST else None
        return self._origins[source]

    def numbers(self) -> dict[bytes, int] | None:
        """Return the numbers of documents by the key of the id; None if they are too many."""
        if self._numbers is None and not self._are_too_many:
            rows = self._asks.rows("SELECT key, number FROM documents LIMIT %s", MOST + 1)
            self._are_too_many = len(rows) > MOST
            self._numbers = None if self._are_too_many else {bytes(key): number for key, number in rows}
        return self._numbers

    def learn(self, puts: Iterable[Put], links: Iterable[Link]) -> None:
        """Take over what a transaction has committed."""
        numbers = self._numbers
        if numbers is not None:
            numbers.update((key_of(one.embedded.document.id), one.number) for one in puts)
            if len(numbers) > MOST:
                self._numbers, self._are_too_many = None, True
        for one in links:
            known = self._origins.get(one.source)
            if known is not None:
                known[key_of(one.path)] = Origin(one.document, one.digest)
                if len(known) > MOST:
                    self._origins[one.source] = None

    def forget(self) -> None:
        """Know nothing any longer, as something was removed."""
        self._origins, self._numbers, self._are_too_many = {}, None, False
