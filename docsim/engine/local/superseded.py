"""Superseded files: replaced or removed by a later commit while a reader that sees an earlier one was opening them.

A reader sees one committed state of the database, but files follow the rows of the last one: a row stops naming a file
before the file is changed or removed. So a file that cannot be read is damaged only if the row that named it still does
in a transaction that begins afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from docsim.engine.local.store import LocalGeneration, Store, StoredMapping
from docsim.engine.retrying import is_retried
from docsim.errors import IndexChanged, StoreError

__all__ = ["ask_again", "is_superseded", "is_superseded_file", "latest"]

_Row = TypeVar("_Row")


def latest(store: Store, look_up: Callable[[Store], _Row], row: _Row) -> _Row:
    """Return what a transaction finds that begins now, whatever state ``store`` sees.

    Args:
        store: Where to look it up.
        look_up: Looks it up.
        row: What was found before; it counts as unchanged where the database cannot be opened again.
    """
    try:
        with closing(Store(store.path.parent, writable=False)) as other, other.reading():
            return look_up(other)
    except StoreError:
        return row


def is_superseded(store: Store, look_up: Callable[[Store], object], row: object) -> bool:
    """Return whether a row has changed, so that what it named is not damaged but was replaced or removed.

    Args:
        store: Sees the state in which ``row`` was found.
        look_up: Looks the row up.
        row: What was found.

    Raises:
        IndexChanged: It has changed, and whoever reads now is called again, and then sees the later state.
    """
    if latest(store, look_up, row) == row:
        return False
    ask_again(store)
    return True


def is_superseded_file(store: Store, row: LocalGeneration | StoredMapping) -> bool:
    """Return whether a FAISS file is no longer the one that a row names; see ``is_superseded``."""

    def named(latest: Store) -> str | None:
        if isinstance(row, StoredMapping):
            mapping = latest.mapping()
            return mapping.snapshot_digest if mapping and mapping.generation == row.generation else None
        generation = latest.generation(row.number)
        return generation.snapshot_digest if generation else None

    return is_superseded(store, named, row.snapshot_digest)


def ask_again(store: Store) -> None:
    """Give up a state whose files are gone, if whoever reads now is called again.

    Raises:
        IndexChanged: That is so.
    """
    if is_retried():
        raise IndexChanged(
            f"files of the index at {store.path.parent} were replaced while they were opened; try again in a moment"
        )
