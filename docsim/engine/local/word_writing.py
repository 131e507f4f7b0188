"""Writing the words: the one writer writes what no segment on disk covers, and merges segments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local import word_texts
from docsim.engine.local.encoders import explained
from docsim.engine.local.store import Store
from docsim.engine.local.word_storage import folder, last_deletion, rows
from docsim.engine.words import merging, segment
from docsim.engine.words.beside_encoding import Made
from docsim.engine.words.segment import FORMAT, Segment
from docsim.engine.words.segment_rows import SegmentRow, merge_start, without
from docsim.errors import StoreError

__all__ = ["write"]

Load = Callable[[str], Segment]


def write(store: Store, index: Path, *, force: bool = False, made: Made | None = None) -> bool:
    """Write what no segment on disk covers, merge small segments, and leave out documents that were deleted.

    Args:
        store: Writable, with no transaction open.
        index: The index's directory.
        force: Make all segments again from the stored texts.
        made: Segments of the last documents that are on disk and do not count yet.

    Returns:
        Whether anything was written.

    Raises:
        StoreError: It cannot be written; what was committed is safe.
    """
    place = folder(index)
    with explained(index):
        place.mkdir(exist_ok=True)
        load = functools.cache(functools.partial(segment.load, place))  # checks each file once
        before = [] if force else _readable_rows(store, load)
        after = before[-1].passage if before else 0
        usable = made if made and not force and after <= made.after and not _is_touched(store, made) else None
        counting = _merged(store, place, load, [*before, *_further(store, place, after, usable)])
        changed = force or counting != rows(store)
        if changed:
            _commit(store, counting)
        _tidy(store, place)
    return changed


def _is_touched(store: Store, made: Made) -> bool:
    """Return whether a document of some segments may have been deleted since they were begun."""
    later = store.deletions_after(made.deletion)
    return store.forgotten() > made.deletion or any(first > made.after for _, first, _ in later)


def _further(store: Store, place: Path, after: int, made: Made | None) -> Iterator[SegmentRow]:
    """Write what no segment covers, and yield its rows, those of segments that were made already last."""
    deletion = last_deletion(store)
    for one in word_texts.segments(store, after, made.after if made else None):
        last = int(one.firsts[-1])
        yield SegmentRow(segment.save(one, place), after, last, deletion)
        after = last
    for digest, last in made.segments if made else ():
        yield SegmentRow(digest, after, last, deletion)
        after = last


def _readable_rows(store: Store, load: Load) -> list[SegmentRow]:
    """Return the segments that count, up to the first that cannot be read."""
    found = []
    for row in rows(store):
        try:
            load(row.digest)
        except StoreError:
            break
        found.append(row)
    return found


def _merged(store: Store, place: Path, load: Load, counting: Sequence[SegmentRow]) -> list[SegmentRow]:
    start = merge_start([_sizes(store, load(row.digest), row) for row in counting])
    tail = counting[start:]
    if not tail:
        return list(counting)
    return [*counting[:start], *_as_one(store, place, [load(row.digest) for row in tail], tail)]


def _sizes(store: Store, one: Segment, row: SegmentRow) -> tuple[int, int]:
    """Return how many documents of a segment were not deleted, and how many it holds."""
    alive = _alive(store, one, row)
    return int(alive.sum()), len(one)


def _alive(store: Store, one: Segment, row: SegmentRow) -> NDArray[np.bool_]:
    alive = without(one, None, [first for _, first, _ in store.deletions_after(row.deletion)])
    return np.ones(len(one), bool) if alive is None else alive


def _as_one(store: Store, place: Path, segments: Sequence[Segment], counting: Sequence[SegmentRow]) -> list[SegmentRow]:
    alive = [_alive(store, one, row) for one, row in zip(segments, counting, strict=True)]
    if not any(one.any() for one in alive):
        return []
    with ExitStack() as stack:
        digest = segment.save(merging.merged(segments, alive, place, stack), place)
    return [SegmentRow(digest, counting[0].after, counting[-1].passage, last_deletion(store))]


def _commit(store: Store, counting: Sequence[SegmentRow]) -> None:
    with store.writing(visible=False):
        store.execute("DELETE FROM words")
        for row in counting:
            sql = "INSERT INTO words (digest, format, after, passage, deletion) VALUES (?, ?, ?, ?, ?)"
            store.execute(sql, row.digest, FORMAT, row.after, row.passage, row.deletion)


def _tidy(store: Store, place: Path) -> None:
    """Remove the files of segments that count no longer."""
    kept = {segment.path_of(place, row.digest) for row in rows(store)}
    for path in place.iterdir():
        if path not in kept:
            path.unlink(missing_ok=True)
