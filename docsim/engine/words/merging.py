"""Merging: one segment made of several, without the documents that were deleted since.

Words are taken in ascending order of their hashes, some at a time, and what is made of them goes to temporary files, so
that memory does not grow with the number of rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words import sorted_words
from docsim.engine.words.segment import Segment, hashes, ragged

__all__ = ["merged"]

MOST_ROWS = 250_000
"""Rows that are merged at a time."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment that is merged, and which slot each of its documents gets; -1 for those that are left out."""

    segment: Segment
    slots: NDArray[np.int32]


@dataclass(slots=True)
class _Growing:
    """Arrays that grow in temporary files."""

    folder: Path
    stack: ExitStack
    files: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[Any]) -> None:
        if name not in self.files:
            file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  # the stack closes it
            self.files[name] = (self.stack.enter_context(file), values.dtype)
        file, dtype = self.files[name]
        file.write(np.ascontiguousarray(values, dtype).data)

    def array(self, name: str, dtype: Any) -> NDArray[Any]:
        if name not in self.files:
            return np.zeros(0, dtype)
        file, dtype = self.files[name]
        file.flush()
        return np.memmap(file, dtype, mode="r") if file.tell() else np.zeros(0, dtype)


def merged(segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], folder: Path, stack: ExitStack) -> Segment:
    """Return one segment of the documents of several that are alive.

    Args:
        segments: In ascending order of the first passage numbers of their documents.
        alive: Which documents of each to keep, ``bool (documents,)``.
        folder: Where temporary files go.
        stack: Frees them; the segment that is returned cannot be used after that.

    Raises:
        OSError: The files cannot be written.
    """
    parts = _renumbered(segments, alive)
    growing = _Growing(folder, stack)
    _merge_words(parts, growing)
    exact = growing.array("exact", np.uint64)
    starts = np.append(0, np.cumsum(growing.array("rows", np.int64)))
    places = np.append(0, np.cumsum(growing.array("places", np.int64)))
    _merge_stems(parts, growing, exact, starts)
    kept_forms = _forms(segments, exact)
    return Segment(
        **{name: _kept(segments, alive, name) for name in ("numbers", "firsts", "lengths", "titles", "languages")},
        **{name: growing.array(name, np.uint16) for name in ("weights", "counts", "positions")},
        **{name: growing.array(name, np.int64) for name in ("stem_starts", "stem_ends")},
        exact=exact,
        starts=starts,
        places=places,
        stems=growing.array("stems", np.uint64),
        slots=growing.array("slots", np.int32),
        forms=np.frombuffer(b"".join(kept_forms), np.uint8),
        form_starts=np.cumsum([0, *map(len, kept_forms)]),
    )


def _renumbered(segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]]) -> list[_Part]:
    """Return segments with the slots that their documents get, one after the other."""
    ends = np.cumsum([int(one.sum()) for one in alive])
    return [
        _Part(segment, np.where(kept, np.cumsum(kept) - 1 + end - kept.sum(), -1).astype(np.int32))
        for segment, kept, end in zip(segments, alive, ends, strict=True)
    ]


def _kept(segments: Sequence[Segment], alive: Sequence[NDArray[np.bool_]], name: str) -> NDArray[Any]:
    """Return an array about documents, of those that are alive."""
    return np.concatenate([getattr(one, name)[kept] for one, kept in zip(segments, alive, strict=True)])


def _chunks(hashed: Sequence[NDArray[np.uint64]], rows: Sequence[Ints]) -> Iterator[NDArray[np.uint64]]:
    """Yield all hashes, ascending and each once, so many at a time that they have about ``MOST_ROWS`` rows together."""
    every, places = np.unique(np.concatenate([*hashed, np.zeros(0, np.uint64)]), return_inverse=True)
    sums = np.cumsum(np.bincount(places, weights=np.concatenate([*rows, np.zeros(0, np.int64)]), minlength=len(every)))
    start = 0
    while start < len(every):
        before = sums[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, before + MOST_ROWS, side="right")))
        yield every[start:stop]
        start = stop


@dataclass(frozen=True, slots=True)
class _WordRows:
    """Rows of some words.

    Attributes:
        keys: Which word each is of, by its place among those that are merged now.
        slots: The document's new slot.
        weights: As in ``Segment``.
        counts: As in ``Segment``.
        begins: Where the positions of each begin in the segment that it comes from.
        owners: The place of that segment.
    """

    keys: Ints
    slots: NDArray[np.int32]
    weights: NDArray[np.unsignedinteger[Any]]
    counts: Ints
    begins: Ints
    owners: Ints


@dataclass(frozen=True, slots=True)
class _StemRows:
    """Rows of some stems; see ``_WordRows``."""

    keys: Ints
    slots: NDArray[np.int32]
    weights: NDArray[np.unsignedinteger[Any]]


_Rows = TypeVar("_Rows", _WordRows, _StemRows)


def _together(parts: Sequence[_Rows]) -> _Rows:
    """Return the rows of several segments, by their keys; those of one key in the order of the segments."""
    order = np.argsort(np.concatenate([one.keys for one in parts]), kind="stable")
    kind = type(parts[0])
    return kind(*(np.concatenate([getattr(one, name) for one in parts])[order] for name in kind.__slots__))


def _merge_words(parts: Sequence[_Part], growing: _Growing) -> None:
    segments = [one.segment for one in parts]
    wide = {name: _widest(segments, name) for name in ("weights", "counts", "positions")}
    for chunk in _chunks([one.exact for one in segments], [np.diff(one.starts) for one in segments]):
        found = _together([_word_rows(place, part, chunk) for place, part in enumerate(parts)])
        rows = np.bincount(found.keys, minlength=len(chunk))
        places = np.bincount(found.keys, weights=found.counts, minlength=len(chunk)).astype(np.int64)
        held = rows > 0
        growing.add("exact", chunk[held])
        growing.add("rows", rows[held])
        growing.add("places", places[held])
        growing.add("slots", found.slots)
        growing.add("weights", found.weights.astype(wide["weights"]))
        growing.add("counts", found.counts.astype(wide["counts"]))
        growing.add("positions", _positions(segments, found, wide["positions"]))


def _widest(segments: Sequence[Segment], name: str) -> np.dtype[Any]:
    return np.result_type(*(getattr(one, name) for one in segments))


def _within(hashed: NDArray[np.uint64], chunk: NDArray[np.uint64]) -> slice:
    """Return where hashes lie that are not below the first of a chunk and not above its last."""
    low, high = np.searchsorted(hashed, chunk[:1])[0], np.searchsorted(hashed, chunk[-1:], side="right")[0]
    return slice(int(low), int(high))


def _word_rows(place: int, part: _Part, chunk: NDArray[np.uint64]) -> _WordRows:
    """Return the rows that a segment has of some words, without those of documents that are left out."""
    one, words = part.segment, _within(part.segment.exact, chunk)
    here = slice(one.starts[words.start], one.starts[words.stop])
    slots = part.slots[one.slots[here]]
    counts = one.counts[here].astype(np.int64)
    begins = one.places[words.start] + np.cumsum(counts) - counts
    keys = np.repeat(np.searchsorted(chunk, one.exact[words]), np.diff(one.starts[words.start : words.stop + 1]))
    kept = slots >= 0
    owners = np.full(int(kept.sum()), place)
    return _WordRows(keys[kept], slots[kept], one.weights[here][kept], counts[kept], begins[kept], owners)


def _positions(segments: Sequence[Segment], found: _WordRows, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the positions of rows, one row after the other."""
    positions = np.zeros(int(found.counts.sum()), dtype)
    targets = np.cumsum(found.counts) - found.counts
    for place, one in enumerate(segments):
        mine = found.owners == place
        counts = found.counts[mine]
        positions[ragged(targets[mine], counts)] = one.positions[ragged(found.begins[mine], counts)]
    return positions


def _merge_stems(parts: Sequence[_Part], growing: _Growing, exact: NDArray[np.uint64], starts: Ints) -> None:
    """Merge the rows of stems; those of a stem that stands for one word only in every segment are that word's."""
    segments = [one.segment for one in parts]
    stems, words = _shared(segments)
    row, dtype = int(starts[-1]), _widest(segments, "weights")
    for chunk in _chunks([one.stems for one in segments], [one.stem_ends - one.stem_starts for one in segments]):
        word = words[np.searchsorted(stems, chunk)]
        begins, ends = _rows_of(word, exact, starts)
        found = _together([_stem_rows(part, chunk, word == 0) for part in parts])
        counts = np.bincount(found.keys, minlength=len(chunk))
        own = row + np.cumsum(counts)
        begins, ends = np.where(word > 0, begins, own - counts), np.where(word > 0, ends, own)
        held = ends > begins
        growing.add("stems", chunk[held])
        growing.add("stem_starts", begins[held])
        growing.add("stem_ends", ends[held])
        growing.add("slots", found.slots)
        growing.add("weights", found.weights.astype(dtype))
        row += len(found.keys)


def _rows_of(words: NDArray[np.uint64], exact: NDArray[np.uint64], starts: Ints) -> tuple[Ints, Ints]:
    """Return where the merged rows of some words start and end; 0 for those that no document holds any longer."""
    if not len(exact):
        return np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
    places = np.minimum(np.searchsorted(exact, words), len(exact) - 1)
    held = exact[places] == words
    return np.where(held, starts[places], 0), np.where(held, starts[places + 1], 0)


def _stem_rows(part: _Part, chunk: NDArray[np.uint64], owned: NDArray[np.bool_]) -> _StemRows:
    """Return the rows that a segment has of some stems, of those that get rows of their own."""
    one, stems = part.segment, _within(part.segment.stems, chunk)
    numbers = np.searchsorted(chunk, one.stems[stems])
    mine = owned[numbers]
    begins, ends = one.stem_starts[stems][mine], one.stem_ends[stems][mine]
    rows = ragged(begins, ends - begins)
    slots = part.slots[one.slots[rows]]
    kept = slots >= 0
    return _StemRows(np.repeat(numbers[mine], ends - begins)[kept], slots[kept], one.weights[rows][kept])


def _shared(segments: Sequence[Segment]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return all stems, ascending, and for each the word that it alone stands for in every segment, or 0."""
    stem = np.concatenate([one.stems for one in segments])
    word = np.concatenate([_words_of(one) for one in segments])
    every, place = np.unique(stem, return_inverse=True)
    low, high = np.full(len(every), np.iinfo(np.uint64).max), np.zeros(len(every), np.uint64)
    np.minimum.at(low, place, word)
    np.maximum.at(high, place, word)
    words, held = np.unique(np.concatenate([one.exact for one in segments]), return_counts=True)
    at = np.minimum(np.searchsorted(words, high), max(0, len(words) - 1))
    together = held[at] == np.bincount(place, minlength=len(every)) if len(words) else np.zeros(len(every), bool)
    return every, np.where((low == high) & together, high, np.uint64(0))


def _words_of(segment: Segment) -> NDArray[np.uint64]:
    """Return the hash of the word whose rows each stem shares; 0 where it has rows of its own."""
    shares = segment.stem_starts < segment.starts[-1]
    places = np.searchsorted(segment.starts, segment.stem_starts[shares])
    found = np.zeros(len(segment.stems), np.uint64)
    found[shares] = segment.exact[places]
    return found


def _forms(segments: Sequence[Segment], exact: NDArray[np.uint64]) -> list[bytes]:
    every = sorted(set().union(*map(sorted_words.every, segments)))
    hashed = hashes([form.decode("utf-8", "surrogatepass") for form in every])
    return [form for form, held in zip(every, np.isin(hashed, exact).tolist(), strict=True) if held]
