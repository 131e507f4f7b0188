"""Lookups: what the one writer knows of paths and ids without asking, as nobody else changes them.

A sync asks of every document which one its path stands for, and whether its id is taken. Each question takes as long as
reading many rows at once, and over a network longer than reading the document. So once a good share of an index has
been asked for, the rest is read in one go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from docsim.engine.records import Origin

__all__ = ["MOST", "Committed", "Lookups", "key_of"]

MOST = 300_000
"""Paths and ids that are kept in memory, some 75 MB; of more, each is asked for."""

_SHARE = 20  # a question takes about as long as so many rows


def key_of(text: str) -> bytes:
    """Return the key of an id or a path, 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Committed(Protocol):
    """Reads the committed tables of an index at once."""

    def last_document(self) -> int:
        """Return the highest number of a document: about how many there are."""

    def origins_of(self, source: int, most: int) -> Iterable[tuple[bytes, Origin]]:
        """Yield up to ``most`` origins of a source by the keys of their paths."""

    def numbers_by_key(self, most: int) -> Iterable[tuple[bytes, int]]:
        """Yield up to ``most`` numbers of documents by the keys of their ids."""


class Lookups:
    """The committed paths of sources and ids of documents."""

    def __init__(self, committed: Committed) -> None:
        """Know nothing yet."""
        self._committed = committed
        self.forget()

    def forget(self) -> None:
        """Know nothing any longer, as something was removed."""
        self._origins: dict[int, dict[bytes, Origin]] = {}
        self._numbers: dict[bytes, int] | None = None
        self._asked = 0
        self._size: int | None = None

    def origins(self, source: int) -> dict[bytes, Origin] | None:
        """Return the origins of a source by the key of the path; None where each is to be asked for."""
        if source not in self._origins and self._is_time():
            self._origins[source] = dict(self._committed.origins_of(source, MOST + 1))
            self._limit(self._origins[source])
        return self._origins.get(source)

    def numbers(self) -> dict[bytes, int] | None:
        """Return the numbers of documents by the key of the id; None where each is to be asked for."""
        if self._numbers is None and self._is_time():
            self._numbers = dict(self._committed.numbers_by_key(MOST + 1))
            self._limit(self._numbers)
        return self._numbers

    def learn(self, ids: Iterable[tuple[str, int]], links: Iterable[tuple[int, str, Origin]]) -> None:
        """Take over what a transaction has committed: ids and numbers of documents; sources, paths and origins."""
        if self._numbers is not None:
            self._numbers.update((key_of(id), number) for id, number in ids)
            self._limit(self._numbers)
        for source, path, origin in links:
            known = self._origins.get(source)
            if known is not None:
                known[key_of(path)] = origin
                self._limit(known)

    def _is_time(self) -> bool:
        """Count a question; return whether so many were asked that all might as well be read."""
        self._asked += 1
        if self._size is None:
            self._size = self._committed.last_document()
        return self._size <= MOST and self._asked * _SHARE >= self._size

    def _limit(self, known: dict[bytes, Origin] | dict[bytes, int]) -> None:
        """Give up, for good, what has become too much to keep."""
        if len(known) > MOST:
            self.forget()
            self._size = MOST + 1
