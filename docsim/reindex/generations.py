"""Generations that were live before: going back to one, and removing old ones."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from docsim.engine.base import Rebuilder
from docsim.engine.records import Generation
from docsim.errors import UsageError
from docsim.index import Index
from docsim.progress import SILENT, Progress
from docsim.reindex.building import Build
from docsim.reindex.reindexing import Reindexed

__all__ = ["Pruned", "in_order_of_publishing", "prune", "rollback"]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning removed: numbers of generations, and bytes that were given back."""

    generations: tuple[int, ...]
    bytes: int


def rollback(index: Index, *, to: int | None = None, wait: bool = False, progress: Progress = SILENT) -> Reindexed:
    """Make an earlier generation live again; documents that it lacks are embedded first.

    Args:
        index: The index.
        to: The generation's number; by default the one that was live before, so that calling it twice goes forward
            again.
        wait: Wait for another process that is re-indexing.
        progress: Told what is being done.

    Raises:
        UsageError: There is no such generation to go back to.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder kept in it is missing or damaged.
    """
    started = time.perf_counter()
    with index.engine.rebuilder(wait=wait) as rebuilder:
        live = rebuilder.live()
        if to == live.number:
            progress.say(f"Generation {to} is live already.")
            rebuilder.settle()
            return Reindexed(to, to, True, 0, time.perf_counter() - started)
        target = _target(rebuilder, live, to)
        rebuilder.check_encoder(target)
        embedded = 0
        if missing := rebuilder.missing(target.number):
            progress.say(f"Generation {target.number} lacks {missing} documents that came later; embedding them first.")
            progress.begin("documents", missing)
            embedded = Build(rebuilder, target, batch=index.batch).run(progress.advance)
        embedded += rebuilder.publish(target.number, lambda: Build(rebuilder, target, batch=index.batch).run())
        if embedded:
            rebuilder.settle()
        return Reindexed(target.number, live.number, True, embedded, time.perf_counter() - started)


def prune(index: Index, *, keep: int, wait: bool = False) -> Pruned:
    """Remove old generations, and give their room on the disk back.

    The live generation is never removed, nor is one that is being built.

    Args:
        index: The index.
        keep: Generations to keep, at least 1: the live one and those that were published last.
        wait: Wait for another process that is writing.

    Raises:
        UsageError: ``keep`` is below 1.
        IndexLocked: Another process is writing or re-indexing and ``wait`` is off.
        EncoderError: The live generation's encoder is damaged, so that earlier ones may still be needed.
    """
    if keep < 1:
        raise UsageError(f"expected to keep 1 generation or more, got {keep}; the live one always stays")
    with index.engine.rebuilder(wait=wait) as rebuilder:
        rebuilder.check_encoder(rebuilder.live())  # else the generations that are removed may be the only way back
        retired = in_order_of_publishing(rebuilder.generations("retired"))
        old = [one.number for one in retired[: max(0, len(retired) - (keep - 1))]]
        return Pruned(tuple(sorted(old)), rebuilder.remove(old, wait=wait))


def _target(rebuilder: Rebuilder, live: Generation, to: int | None) -> Generation:
    """Return the generation to go back to."""
    retired = in_order_of_publishing(rebuilder.generations("retired"))
    wanted = [one for one in retired if to in (None, one.number)]
    if wanted:
        return wanted[-1]
    numbers = ", ".join(str(one.number) for one in retired) or "none"
    what = f"generation {to} to go back to" if to else f"a generation that was live before {live.number}, which is live"
    raise UsageError(f"expected {what}; found {numbers}", hint="docsim generations")


def in_order_of_publishing(generations: Iterable[Generation]) -> list[Generation]:
    """Return generations in the order in which they were last published."""
    return sorted(generations, key=lambda one: (one.published or "", one.number))
