"""Publishing: which generation is live, and which are kept; each change is one transaction.

Whoever calls these holds ``locks.rebuilder``, and for what the live generation answers with, ``locks.writer`` too.
Files follow the rows that make them count: a directory without a row is a leftover, and is removed by the next change.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from docsim.engine.local import snapshots
from docsim.engine.local.store import Generation, Store, now
from docsim.errors import StoreError

__all__ = ["drop", "publish", "remove", "retired", "tidy", "withdraw"]


def publish(store: Store, number: int) -> None:
    """Make a generation the live one, in one transaction; the one that was is kept as ``retired``.

    Raises:
        StoreError: It lacks a document, so that it cannot answer.
    """
    with store.writing():
        if missing := store.missing(number, limit=1):
            raise StoreError(
                f"expected every document in generation {number}, found none of document number {missing[0]}; bring it "
                f"up to date first with: docsim rollback --to {number}"
            )
        store.execute("UPDATE generations SET state = 'retired' WHERE state = 'live'")
        moment = now("microseconds")  # so that their order tells which was live before
        store.execute("UPDATE generations SET state = 'live', published = ? WHERE number = ?", moment, number)
        store.execute("DELETE FROM adapters WHERE generation = ?", number)


def retired(store: Store) -> list[Generation]:
    """Return the generations that were live once and are not now, in the order in which they were published last."""
    return sorted(store.generations("retired"), key=lambda one: (one.published or "", one.number))


def withdraw(store: Store, number: int) -> bool:
    """Let a generation that is being built no longer answer through its adapter; return whether it did."""
    if not store.value("SELECT 1 FROM adapters WHERE generation = ?", number):
        return False
    with store.writing():
        store.execute("DELETE FROM adapters WHERE generation = ?", number)
    return True


def drop(store: Store, path: Path, generation: Generation) -> None:
    """Give up a generation that is being built; one that was live before is only retired again."""
    withdraw(store, generation.number)
    if generation.published is None:
        remove(store, path, [generation.number])
    else:
        with store.writing(visible=False):
            store.execute("UPDATE generations SET state = 'retired' WHERE number = ?", generation.number)


def remove(store: Store, path: Path, numbers: Iterable[int]) -> None:
    """Remove generations that are not live: their rows in one transaction, then their files."""
    with store.writing(visible=False):
        for number in numbers:
            store.execute("DELETE FROM embeddings WHERE generation = ?", number)
            store.execute("DELETE FROM verdicts WHERE generation = ?", number)
            store.execute("DELETE FROM generations WHERE number = ? AND state <> 'live'", number)
    tidy(store, path)


def tidy(store: Store, path: Path) -> None:
    """Remove the files of generations, and of adapters, that are no more.

    An adapter's are not removed as soon as it ends: who saw the state before may just be about to read them.
    """
    kept = {snapshots.directory(path, one.number).name for one in store.generations()}
    for folder in path.glob("generations/*"):
        if folder.name not in kept and folder.name.isdecimal():
            shutil.rmtree(folder, ignore_errors=True)
    adapting = {number for (number,) in store.rows("SELECT generation FROM adapters")}
    for one in store.generations():
        if one.number not in adapting:
            shutil.rmtree(snapshots.adapted_path(path, one.number).parent, ignore_errors=True)
