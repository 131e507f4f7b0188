"""Storage: keeps the segments of words on disk, and puts together the words of a committed state from them.

    words/DIGEST.words    a segment, named after its checksum
    table ``words``       which segments count, and the range of first passage numbers and the last deletion of each

A segment is written completely before a transaction makes it count, and its file is removed only after one that makes
it count no longer. The texts of documents that no readable segment covers are read from the store instead. So a stale,
damaged or missing segment costs time, but never gives a wrong answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local import notices, superseded
from docsim.engine.local.store import Store
from docsim.engine.words import segment
from docsim.engine.words.index import WordIndex
from docsim.engine.words.segment import FORMAT, Segment
from docsim.engine.words.segment_rows import SegmentRow, fewer, without
from docsim.errors import StoreError

__all__ = ["folder", "last_deletion", "refreshed", "rows"]

LOOKS = 5
"""How often the segments that count are looked up while others replace them."""


def folder(index: Path) -> Path:
    """Return the folder of an index's segments."""
    return index / "words"


def rows(store: Store) -> list[SegmentRow]:
    """Return the segments that count, in ascending order of what they cover."""
    sql = "SELECT digest, after, passage, deletion FROM words WHERE format = ? ORDER BY after"
    return [SegmentRow(*row) for row in store.rows(sql, FORMAT)]


def refreshed(store: Store, index: Path, earlier: WordIndex | None) -> WordIndex:
    """Return the words of the state that ``store`` sees. Call this inside ``store.reading()``.

    Args:
        store: Open.
        index: The index's directory.
        earlier: The words of an earlier state, to build on.
    """
    counting = rows(store)
    if earlier is None or not _reaches(earlier, counting) or earlier.deletion < store.forgotten():
        earlier = _read(store, folder(index), counting, earlier)
    return _caught_up(store, earlier)


def _reaches(earlier: WordIndex, counting: Sequence[SegmentRow]) -> bool:
    """Return whether the segments on disk are those that an earlier state was made of."""
    return [one.digest for one in counting] == [digest for digest in earlier.digests if digest is not None]


def _read(store: Store, place: Path, counting: Sequence[SegmentRow], earlier: WordIndex | None) -> WordIndex:
    """Return what is on disk; instead of a segment that cannot be read, one made of the texts."""
    known = dict(zip(earlier.digests, earlier.segments, strict=True)) if earlier else {}
    found: list[tuple[Segment, str | None, NDArray[np.bool_] | None]] = []
    notices.note("words")
    opened = _opened(store, place, counting, known)
    for row, one in opened.items():
        if one is None:
            found += [(made, None, None) for made in _made(store, row.after, row.passage)]
        else:
            gone = [first for _, first, _ in store.deletions_after(row.deletion)]
            found.append((one, row.digest, without(one, None, gone)))
    segments, digests, alive = zip(*found, strict=True) if found else ((), (), ())
    return WordIndex(segments, digests, alive, max((row.passage for row in opened), default=0), last_deletion(store))


def _opened(
    store: Store, place: Path, counting: Sequence[SegmentRow], known: Mapping[str | None, Segment]
) -> dict[SegmentRow, Segment | None]:
    """Open segments, or those that the writer has put in their places; None for one that cannot be read.

    The writer merges segments without changing any document. If it has changed one as well, whoever reads is called
    again; or else the texts of the state that is seen are read instead.

    Raises:
        IndexChanged: Whoever reads is called again.
    """
    seen = counting, store.revision()
    for _ in range(LOOKS):
        opened, problems = _loaded(place, counting, known)
        named, revision = superseded.latest(store, _named, seen) if problems else seen
        if damaged := [problem for row, problem in problems.items() if row in named]:
            notices.note("words", f"{damaged[-1]}; making it of the stored texts")
        if len(damaged) == len(problems):
            return opened
        if revision != store.revision():
            break
        counting = named
    superseded.ask_again(store)
    return opened


def _named(store: Store) -> tuple[Sequence[SegmentRow], int]:
    return rows(store), store.revision()


def _loaded(
    place: Path, counting: Sequence[SegmentRow], known: Mapping[str | None, Segment]
) -> tuple[dict[SegmentRow, Segment | None], dict[SegmentRow, str]]:
    """Return segments, None for those that cannot be read, and what is wrong with these."""
    opened: dict[SegmentRow, Segment | None] = {}
    problems: dict[SegmentRow, str] = {}
    for row in counting:
        try:
            opened[row] = known.get(row.digest) or segment.load(place, row.digest)
        except StoreError as error:
            opened[row], problems[row] = None, str(error)
    return opened, problems


def _caught_up(store: Store, index: WordIndex) -> WordIndex:
    """Add the documents that came later, and take away those that were deleted."""
    deletion = last_deletion(store)
    gone = [first for _, first, _ in store.deletions_after(index.deletion)] if deletion > index.deletion else []
    alive = (
        tuple(without(*pair, gone) for pair in zip(index.segments, index.alive, strict=True)) if gone else index.alive
    )
    later = _made(store, index.passage)
    if not later and deletion == index.deletion:
        return index
    segments = (*index.segments, *later)
    digests = (*index.digests, *(None for _ in later))
    passage = int(later[-1].firsts[-1]) if later else index.passage
    found = WordIndex(segments, digests, (*alive, *(None for _ in later)), passage, deletion)
    return fewer(found, lambda after: _made(store, after))


def _made(store: Store, after: int, upto: int | None = None) -> list[Segment]:
    """Return segments of the documents whose first passage numbers are in a range, made of their texts."""
    if int(store.value("SELECT coalesce(max(first_passage), 0) FROM documents")) <= after:
        return []
    from docsim.engine.local import word_texts  # here, because most searches need no words of texts

    return list(word_texts.segments(store, after, upto))


def last_deletion(store: Store) -> int:
    """Return the sequence number of the last deletion."""
    last = store.value("SELECT coalesce(max(sequence), 0) FROM deletions")
    return max(int(last), store.forgotten())
