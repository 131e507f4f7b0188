"""Segments of words: kept in the database, copied to the cache of each machine, and put together for one state.

Words are looked up in memory-mapped segments (``docsim.engine.words``), exactly as the local engine does. The table
``words`` says which segments count, and the range of first passage numbers and the last deletion of each. A reader
makes words of the texts of documents that no segment covers yet, so a missing segment costs time, never a wrong answer.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.engine.postgres import files
from docsim.engine.postgres.store import State, Store
from docsim.engine.words import building, merging, segment
from docsim.engine.words.beside_encoding import Made
from docsim.engine.words.building import Text
from docsim.engine.words.index import WordIndex
from docsim.engine.words.segment import FORMAT, Segment
from docsim.engine.words.segment_rows import SegmentRow, fewer, merge_start, without
from docsim.errors import StoreError

__all__ = ["damage", "folder", "refreshed", "remove_abandoned", "rows", "write"]

_OWNER = "words"
_UNUSED, _ABANDONED = 3_600, 86_400  # seconds


def folder(state: State) -> Path:
    """Return the folder of this machine's copies of the segments of an index."""
    return files.cache("words") / state.id


def rows(store: Store) -> list[SegmentRow]:
    """Return the segments that count, in ascending order of what they cover."""
    sql = "SELECT digest, after, passage, deletion FROM words WHERE format = %s ORDER BY after"
    return [SegmentRow(*row) for row in store.rows(sql, FORMAT)]


def refreshed(store: Store, state: State, earlier: WordIndex | None) -> WordIndex:
    """Return the words of a state.

    Args:
        store: Sees it.
        state: The state.
        earlier: The words of an earlier state, to build on.
    """
    counting = rows(store)
    known = [digest for digest in earlier.digests if digest is not None] if earlier else []
    if earlier is None or known != [one.digest for one in counting] or earlier.deletion < state.forgotten:
        earlier = _read(store, state, counting, earlier)
    return _caught_up(store, state, earlier)


def _read(store: Store, state: State, counting: Sequence[SegmentRow], earlier: WordIndex | None) -> WordIndex:
    known = dict(zip(earlier.digests, earlier.segments, strict=True)) if earlier else {}
    found: list[tuple[Segment, str | None, NDArray[np.bool_] | None]] = []
    for row in counting:
        one = known.get(row.digest) or loaded(store, state, row.digest)
        if one is None:
            found += [(made, None, None) for made in building.segments(_texts(store, row.after, row.passage))]
        else:
            found.append((one, row.digest, without(one, None, _gone(store, row.deletion))))
    _tidy(folder(state), {row.digest for row in counting})
    segments, digests, alive = zip(*found, strict=True) if found else ((), (), ())
    return WordIndex(segments, digests, alive, counting[-1].passage if counting else 0, state.last_deletion)


def _tidy(place: Path, counting: set[str]) -> None:
    """Remove copies that count no longer, and that nobody is likely to read just now."""
    kept = {segment.path_of(place, digest).name for digest in counting}
    with suppress(OSError):
        for path in place.iterdir():
            if path.name not in kept and path.is_file() and path.stat().st_mtime < time.time() - _UNUSED:
                path.unlink(missing_ok=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of writers that were killed a day ago or before."""
    with suppress(OSError):
        for path in parent.glob("work-*"):
            if path.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def loaded(store: Store, state: State, digest: str) -> Segment | None:
    """Return a segment, fetched first if this machine has no copy; None if the database has lost it."""
    place = folder(state)
    try:
        return segment.load(place, digest)
    except StoreError:
        with files.explained(place):
            if not files.fetch(store, _OWNER, digest, segment.path_of(place, digest)):
                return None
        try:
            return segment.load(place, digest)
        except StoreError:
            return None


def _caught_up(store: Store, state: State, index: WordIndex) -> WordIndex:
    """Add the documents that came later, and take away those that were deleted."""
    gone = _gone(store, index.deletion) if state.last_deletion > index.deletion else []
    alive = index.alive
    if gone:
        alive = tuple(without(*pair, gone) for pair in zip(index.segments, index.alive, strict=True))
    later = list(building.segments(_texts(store, index.passage)))
    if not later and state.last_deletion == index.deletion:
        return index
    digests = (*index.digests, *(None for _ in later))
    passage = int(later[-1].firsts[-1]) if later else index.passage
    alive = (*alive, *(None for _ in later))
    found = WordIndex((*index.segments, *later), digests, alive, passage, state.last_deletion)
    return fewer(found, lambda after: building.segments(_texts(store, after)))


def _gone(store: Store, after: int) -> list[int]:
    """Return the first passage numbers of the documents that were deleted after a deletion."""
    return [first for (first,) in store.rows("SELECT first_passage FROM deletions WHERE sequence > %s", after)]


def _texts(store: Store, after: int, upto: int | None = None) -> Iterator[Text]:
    """Yield the texts of the documents whose first passage numbers are in a range."""
    sql = (
        "SELECT number, first_passage, id, title, text FROM documents JOIN texts ON document = number"
        " WHERE first_passage > %s AND first_passage <= %s ORDER BY first_passage"
    )
    for number, first, id, title, text in store.stream(sql, after, (1 << 62) if upto is None else upto):
        yield Text(number, first, building.named(title, id), text)


# Writing, by the one writer, in the transaction that is open


def write(store: Store, work: Path, *, force: bool = False, made: Made | None = None) -> bool:
    """Keep what no segment covers, merge small segments, and leave out documents that were deleted.

    Args:
        store: In a transaction.
        work: A folder of this writer alone, beside that of the copies.
        force: Make all segments again from the stored texts.
        made: Segments of the last documents that are in ``work`` and do not count yet.

    Returns:
        Whether anything changed.
    """
    state = store.state()
    with files.explained(folder(state)):
        folder(state).mkdir(parents=True, exist_ok=True)
        before = [] if force else _readable_rows(store, state)
        after = before[-1].passage if before else 0
        usable = made if made and not force and after <= made.after and not _is_touched(store, state, made) else None
        counting = _merged(store, state, work, [*before, *_further(store, state, work, after, usable)])
        if not force and counting == rows(store):
            return False
        _commit(store, state, counting)
    return True


def _is_touched(store: Store, state: State, made: Made) -> bool:
    """Return whether a document of some segments may have been deleted since they were begun."""
    return state.forgotten > made.deletion or any(first > made.after for first in _gone(store, made.deletion))


def _further(store: Store, state: State, work: Path, after: int, made: Made | None) -> Iterator[SegmentRow]:
    """Yield rows of what no segment covers, those of segments that were made already last."""
    for one in building.segments(_texts(store, after, made.after if made else None)):
        last = int(one.firsts[-1])
        yield SegmentRow(_saved(one, state, work), after, last, state.last_deletion)
        after = last
    for digest, last in made.segments if made else ():
        segment.path_of(work, digest).replace(segment.path_of(folder(state), digest))
        yield SegmentRow(digest, after, last, state.last_deletion)
        after = last


def _saved(one: Segment, state: State, work: Path) -> str:
    """Write a segment, and put it beside the others when it is complete; return its checksum."""
    digest = segment.save(one, work)
    segment.path_of(work, digest).replace(segment.path_of(folder(state), digest))
    return digest


def _readable_rows(store: Store, state: State) -> list[SegmentRow]:
    """Return the segments that count, up to the first that cannot be read."""
    found = []
    for row in rows(store):
        if loaded(store, state, row.digest) is None:
            break
        found.append(row)
    return found


def _merged(store: Store, state: State, work: Path, counting: Sequence[SegmentRow]) -> list[SegmentRow]:
    start = merge_start([_sizes(store, state, row) for row in counting])
    if start == len(counting):
        return list(counting)
    return [*counting[:start], *_as_one(store, state, work, counting[start:])]


def _sizes(store: Store, state: State, row: SegmentRow) -> tuple[int, int]:
    """Return how many documents of a segment were not deleted, and how many it holds."""
    one = segment.load(folder(state), row.digest)
    return int(_alive(store, one, row).sum()), len(one)


def _alive(store: Store, one: Segment, row: SegmentRow) -> NDArray[np.bool_]:
    alive = without(one, None, _gone(store, row.deletion))
    return np.ones(len(one), bool) if alive is None else alive


def _as_one(store: Store, state: State, work: Path, counting: Sequence[SegmentRow]) -> list[SegmentRow]:
    segments = [segment.load(folder(state), row.digest) for row in counting]
    alive = [_alive(store, one, row) for one, row in zip(segments, counting, strict=True)]
    if not any(one.any() for one in alive):
        return []
    with ExitStack() as stack:
        digest = _saved(merging.merged(segments, alive, work, stack), state, work)
    return [SegmentRow(digest, counting[0].after, counting[-1].passage, state.last_deletion)]


def _commit(store: Store, state: State, counting: Sequence[SegmentRow]) -> None:
    """Keep the segments that count, and forget the others and the deletions that no segment needs any longer."""
    store.execute("DELETE FROM words")
    sql = "INSERT INTO words (digest, format, after, passage, deletion) VALUES (%s, %s, %s, %s, %s)"
    for row in counting:
        store.execute(sql, row.digest, FORMAT, row.after, row.passage, row.deletion)
    kept = [row.digest for row in counting]
    store.execute("DELETE FROM files WHERE owner = %s AND name <> ALL(%s)", _OWNER, kept)
    held = {name for (name,) in store.rows("SELECT DISTINCT name FROM files WHERE owner = %s", _OWNER)}
    for digest in dict.fromkeys(kept):
        if digest not in held:
            files.keep(store, _OWNER, segment.path_of(folder(state), digest), name=digest)
    last = min((row.deletion for row in counting), default=state.last_deletion)
    if last > state.forgotten:
        store.execute("DELETE FROM deletions WHERE sequence <= %s", last)
        store.execute("UPDATE state SET forgotten = %s", last)


def damage(store: Store) -> Iterator[str]:
    """Check that the segments can be read, and hold exactly the documents that they cover; yield what is wrong."""
    state = store.state()
    for row in rows(store):
        one = loaded(store, state, row.digest)
        if one is None:
            yield f"the words {row.digest} are missing or damaged; repair the index"
            continue
        sql = "SELECT first_passage FROM documents WHERE first_passage > %s AND first_passage <= %s"
        stored = {first for (first,) in store.rows(sql, row.after, row.passage)}
        if set(one.firsts.tolist()) - set(_gone(store, row.deletion)) != stored:
            yield f"the words {row.digest} disagree with the documents; repair the index"
