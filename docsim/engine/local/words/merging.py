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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.words import forms
from docsim.engine.local.words.segment import Segment, hashes

__all__ = ["merged", "ragged"]

MOST_ROWS = 1_000_000
"""Rows that are merged at a time."""

Ints = NDArray[np.int64]


def ragged(starts: Ints, counts: Ints) -> Ints:
    """Return the places of some runs of consecutive places, one run after the other, ``int64 (sum of counts,)``."""
    places: Ints = np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return places


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
    ends = np.cumsum([int(one.sum()) for one in alive])
    parts = [
        _Part(segment, np.where(kept, np.cumsum(kept) - 1 + end - kept.sum(), -1).astype(np.int32))
        for segment, kept, end in zip(segments, alive, ends, strict=True)
    ]
    growing = _Growing(folder, stack)
    _merge_words(parts, growing)
    exact = growing.array("exact", np.uint64)
    starts = np.append(0, np.cumsum(growing.array("rows", np.int64)))
    places = np.append(0, np.cumsum(growing.array("places", np.int64)))
    _merge_stems(parts, growing, exact, starts)
    kept_forms = _forms(segments, exact)
    documents = {
        name: np.concatenate([getattr(one, name)[kept] for one, kept in zip(segments, alive, strict=True)])
        for name in ("numbers", "firsts", "lengths", "titles", "languages")
    }
    rows = {name: growing.array(name, np.uint16) for name in ("weights", "counts", "positions")}
    stems = {name: growing.array(name, np.int64) for name in ("stem_starts", "stem_ends")}
    return Segment(
        **documents,
        exact=exact,
        starts=starts,
        places=places,
        stems=growing.array("stems", np.uint64),
        slots=growing.array("slots", np.int32),
        forms=np.frombuffer(b"".join(kept_forms), np.uint8),
        form_starts=np.cumsum([0, *map(len, kept_forms)]),
        **rows,
        **stems,
    )


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


def _merge_words(parts: Sequence[_Part], growing: _Growing) -> None:
    segments = [one.segment for one in parts]
    wide = {
        name: np.result_type(*(getattr(one, name) for one in segments)) for name in ("weights", "counts", "positions")
    }
    for chunk in _chunks([one.exact for one in segments], [np.diff(one.starts) for one in segments]):
        key, slot, weight, count, where, owner = [], [], [], [], [], []
        for place, part in enumerate(parts):
            one = part.segment
            low, high = (
                np.searchsorted(one.exact, chunk[:1])[0],
                np.searchsorted(one.exact, chunk[-1:], side="right")[0],
            )
            here = slice(one.starts[low], one.starts[high])
            slots = part.slots[one.slots[here]]
            kept = slots >= 0
            counts = one.counts[here].astype(np.int64)
            begins = one.places[low] + np.cumsum(counts) - counts
            keys = np.repeat(np.searchsorted(chunk, one.exact[low:high]), np.diff(one.starts[low : high + 1]))
            key.append(keys[kept])
            slot.append(slots[kept])
            weight.append(one.weights[here][kept])
            count.append(counts[kept])
            where.append(begins[kept])
            owner.append(np.full(int(kept.sum()), place))
        keys = np.concatenate(key)
        order = np.argsort(keys, kind="stable")
        counts, owners, begins = (np.concatenate(each)[order] for each in (count, owner, where))
        positions = np.zeros(int(counts.sum()), wide["positions"])
        targets = np.cumsum(counts) - counts
        for place, one in enumerate(segments):
            mine = owners == place
            positions[ragged(targets[mine], counts[mine])] = one.positions[ragged(begins[mine], counts[mine])]
        rows = np.bincount(keys, minlength=len(chunk))
        held = rows > 0
        growing.add("exact", chunk[held])
        growing.add("rows", rows[held])
        growing.add(
            "places", np.bincount(keys, weights=np.concatenate(count), minlength=len(chunk)).astype(np.int64)[held]
        )
        growing.add("slots", np.concatenate(slot)[order])
        growing.add("weights", np.concatenate(weight)[order].astype(wide["weights"]))
        growing.add("counts", counts.astype(wide["counts"]))
        growing.add("positions", positions)


def _merge_stems(parts: Sequence[_Part], growing: _Growing, exact: NDArray[np.uint64], starts: Ints) -> None:
    """Merge the rows of stems; those of a stem that stands for one word only in every segment are that word's."""
    segments = [one.segment for one in parts]
    shared = _shared(segments)
    row = int(starts[-1])
    for chunk in _chunks([one.stems for one in segments], [one.stem_ends - one.stem_starts for one in segments]):
        word = shared[1][np.searchsorted(shared[0], chunk)]
        place = np.minimum(np.searchsorted(exact, word), max(0, len(exact) - 1))
        alone = (word > 0) & (exact[place] == word) if len(exact) else np.zeros(len(chunk), bool)
        gone = (word > 0) & ~alone
        key, slot, weight = [], [], []
        for part in parts:
            one = part.segment
            low, high = (
                np.searchsorted(one.stems, chunk[:1])[0],
                np.searchsorted(one.stems, chunk[-1:], side="right")[0],
            )
            numbers = np.searchsorted(chunk, one.stems[low:high])
            mine = ~(alone | gone)[numbers]
            begin, end = one.stem_starts[low:high][mine], one.stem_ends[low:high][mine]
            rows = ragged(begin, end - begin)
            slots = part.slots[one.slots[rows]]
            kept = slots >= 0
            key.append(np.repeat(numbers[mine], end - begin)[kept])
            slot.append(slots[kept])
            weight.append(one.weights[rows][kept])
        keys = np.concatenate(key)
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys, minlength=len(chunk))
        ends = row + np.cumsum(counts)
        begins = np.where(alone, starts[place] if len(exact) else 0, ends - counts)
        stops = np.where(alone, starts[place + 1] if len(exact) else 0, ends)
        held = stops > begins
        growing.add("stems", chunk[held])
        growing.add("stem_starts", begins[held])
        growing.add("stem_ends", stops[held])
        growing.add("slots", np.concatenate(slot)[order])
        growing.add("weights", np.concatenate(weight)[order].astype(np.result_type(*(one.weights for one in segments))))
        row += len(keys)


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
    every = sorted(set().union(*map(forms.every, segments)))
    hashed = hashes([form.decode("utf-8", "surrogatepass") for form in every])
    return [form for form, held in zip(every, np.isin(hashed, exact).tolist(), strict=True) if held]
