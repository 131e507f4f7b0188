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
from typing import Protocol, TypeVar

from docsim.engine.records import Origin
from docsim.errors import StoreError

__all__ = ["MOST", "Committed", "Lookups", "key_of"]

MOST = 300_000
"""Paths and ids that are kept in memory, some 75 MB; of more, each is asked for."""

_SHARE = 20  # a question takes about as long as so many rows

_ALL = 0  # the key of the ids of all sources

_Known = TypeVar("_Known", Origin, int)


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
        self._lock = threading.Lock()
        self._commits = 0
        self._clear()

    def origins(self, source: int) -> dict[bytes, Origin] | None:
        """Return the origins of a source by the key of the path; None where each is to be asked for."""
        known = self._origins.get(source)
        if known is None and self._is_time():
            return self._read(lambda most: self._committed.origins_of(source, most), self._origins, source)
        return known

    def numbers(self) -> dict[bytes, int] | None:
        """Return the numbers of documents by the key of the id; None where each is to be asked for."""
        known = self._numbers.get(_ALL)
        if known is None and self._is_time():
            return self._read(self._committed.numbers_by_key, self._numbers, _ALL)
        return known

    def learn(self, ids: Iterable[tuple[str, int]], links: Iterable[tuple[int, str, Origin]]) -> None:
        """Take over what a transaction has committed: ids and numbers of documents; sources, paths and origins."""
        with self._lock:
            self._commits += 1
            for numbers in self._numbers.values():
                numbers.update((key_of(id), number) for id, number in ids)
            for source, path, origin in links:
                if source in self._origins:
                    self._origins[source][key_of(path)] = origin
            sizes = [len(known) for known in self._origins.values()] + [len(known) for known in self._numbers.values()]
            if max(sizes, default=0) > MOST:
                self._give_up()

    def forget(self) -> None:
        """Know nothing any longer, as something was removed."""
        with self._lock:
            self._commits += 1
            self._clear()

    def _clear(self) -> None:
        self._origins: dict[int, dict[bytes, Origin]] = {}
        self._numbers: dict[int, dict[bytes, int]] = {}
        self._asked = 0
        self._size: int | None = None

    def _is_time(self) -> bool:
        """Count a question; return whether so many were asked that all might as well be read."""
        self._asked += 1
        if self._size is None:
            self._size = self._committed.last_document()
        return self._size <= MOST and self._asked * _SHARE >= self._size

    def _read(
        self, read: Callable[[int], Iterable[tuple[bytes, _Known]]], kept: dict[int, dict[bytes, _Known]], key: int
    ) -> dict[bytes, _Known] | None:
        """Read what is known of all paths or ids, and keep it unless it is too much, or out of date by now."""
        commits = self._commits
        try:
            found: dict[bytes, _Known] | None = dict(read(MOST + 1))
        except StoreError:  # damage somewhere, while what is asked for may be sound
            found = None
        with self._lock:
            if found is None or len(found) > MOST:
                self._give_up()
            elif self._commits == commits:
                kept[key] = found
                return found
        return None

    def _give_up(self) -> None:
        """Ask for each from now on, as there is too much to keep."""
        self._clear()
        self._size = MOST + 1
