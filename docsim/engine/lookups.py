"""Lookups: what the one writer knows of paths and ids without asking, as nobody else changes them.

A sync asks of every document which one its path stands for, and whether its id is taken. Each question takes as long as
reading many rows at once, and over a network longer than reading the document. So once a good share of an index has
been asked for, the rest is read in one go.

One thread asks while another commits. What is read while something is committed may lack that, and is not kept.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from docsim.engine.records import Origin
from docsim.errors import StoreError
from docsim.text.storing import storable

__all__ = ["MOST", "Committed", "Lookups", "key_of"]

MOST = 300_000
"""Paths and ids that are kept in memory, some 75 MB; of more, each is asked for."""

_SHARE = 20  # a question takes about as long as so many rows

_Known = TypeVar("_Known", Origin, int)


def key_of(text: str) -> bytes:
    """Return the key of an id or a path, 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Committed(Protocol):
    """Reads the committed tables of an index at once."""

    def last_document(self) -> int:
        """Return the highest number of a document: about how many there are."""

    def size_of(self, source: int) -> int:
        """Return how many paths a source has."""

    def origins_of(self, source: int, most: int) -> Iterable[tuple[bytes, Origin]]:
        """Yield up to ``most`` origins of a source by the keys of their paths."""

    def numbers_by_key(self, most: int) -> Iterable[tuple[bytes, int]]:
        """Yield up to ``most`` numbers of documents by the keys of their ids."""


class _Table(Generic[_Known]):
    """The ids of all documents, or the paths of one source, with what they stand for."""

    def __init__(self, size: Callable[[], int], read: Callable[[int], Iterable[tuple[bytes, _Known]]]) -> None:
        """Know nothing yet.

        Args:
            size: Returns about how many rows there are.
            read: Yields so many rows at most.
        """
        self._count = size
        self._read: Callable[[int], Iterable[tuple[bytes, _Known]]] = read
        self._known: dict[bytes, _Known] | None = None
        self._size: int | None = None
        self._asked = self._commits = 0
        self._lock = threading.Lock()

    def known(self) -> dict[bytes, _Known] | None:
        """Return all of them, once enough were asked for; None where each is to be asked for."""
        if self._known is not None:
            return self._known
        commits = self._commits
        try:
            if not self._is_time():
                return None
            found = dict(self._read(MOST + 1))
        except StoreError:  # damage somewhere, while what is asked for may be sound
            self._give_up()
            return None
        with self._lock:
            if self._commits == commits:
                self._keep(found)
            return self._known

    def learn(self, rows: Iterable[tuple[bytes, _Known]]) -> None:
        """Take over what was committed."""
        with self._lock:
            self._commits += 1
            if self._known is not None:
                self._known.update(rows)
                self._keep(self._known)

    def _is_time(self) -> bool:
        """Count a question; return whether so many were asked that all might as well be read."""
        self._asked += 1
        if self._size is None:
            self._size = self._count()
        return self._size <= MOST and self._asked * _SHARE >= self._size

    def _keep(self, found: dict[bytes, _Known]) -> None:
        if len(found) > MOST:
            self._give_up()
        else:
            self._known = found

    def _give_up(self) -> None:
        self._known, self._size = None, MOST + 1


class Lookups:
    """The committed paths of sources and ids of documents."""

    def __init__(self, committed: Committed) -> None:
        """Know nothing yet."""
        self._committed = committed
        self.forget()

    def forget(self) -> None:
        """Know nothing any longer, as something was removed."""
        self._origins: dict[int, _Table[Origin]] = {}
        self._numbers: _Table[int] = _Table(self._committed.last_document, self._committed.numbers_by_key)

    def origin(self, source: int, path: str, ask: Callable[[int, str], Origin | None]) -> Origin | None:
        """Return the document that a path of a source stands for, or None; ``ask`` looks up one that is not known."""
        known = self.origins(source)
        return ask(source, path) if known is None else known.get(key_of(path))

    def number(self, id: str, ask: Callable[[str], int | None]) -> int | None:
        """Return the number of the document with this id, or None; ``ask`` looks up one that is not known."""
        known = self.numbers()
        return ask(id) if known is None else known.get(key_of(storable(id)))

    def origins(self, source: int) -> dict[bytes, Origin] | None:
        """Return the origins of a source by the key of the path; None where each is to be asked for."""
        table = self._origins.get(source)
        if table is None:
            size, read = self._committed.size_of, self._committed.origins_of
            table = self._origins[source] = _Table(lambda: size(source), lambda most: read(source, most))
        return table.known()

    def numbers(self) -> dict[bytes, int] | None:
        """Return the numbers of documents by the key of the id; None where each is to be asked for."""
        return self._numbers.known()

    def learn(self, ids: Iterable[tuple[str, int]], links: Iterable[tuple[int, str, Origin]]) -> None:
        """Take over what a transaction has committed: ids and numbers of documents; sources, paths and origins."""
        self._numbers.learn([(key_of(id), number) for id, number in ids])
        for source, path, origin in links:
            table = self._origins.get(source)
            if table is not None:
                table.learn([(key_of(path), origin)])
