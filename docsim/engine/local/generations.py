"""Generations on disk and in memory: the embeddings of every passage under one encoder.

    generations/0001/encoder/      the encoder that the generation was made with
    generations/0001/index.faiss   its FAISS file: its embeddings in a form that opens quickly
    generations/0001/documents.*   which documents the FAISS file covers, see ``docsim.engine.local.faiss_listing``

A generation is made and published, which makes it the live one, by ``docsim.engine.local.rebuilder``.

A FAISS file covers passages and deletions up to the numbers in the generation's row, whose columns have the file's
older name, snapshot. Later ones are read from the store. So a stale, damaged or missing file costs time, but never
gives a wrong answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim import allocation
from docsim.encoding.copying import copy
from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, faiss_listing, notices, superseded
from docsim.engine.local.database import unfinished
from docsim.engine.local.encoders import directory, explained
from docsim.engine.local.store import LocalGeneration, Store, StoredMapping
from docsim.engine.local.vectors import VectorIndex
from docsim.engine.records import Counts, Stacked
from docsim.engine.words.index import WordIndex
from docsim.errors import StoreError

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment
    from docsim.filters.condition import Condition

__all__ = [
    "Allowed",
    "Known",
    "Mapping",
    "View",
    "begin",
    "directory",
    "explained",
    "faiss_path",
    "mapped_path",
    "refreshed",
    "write_faiss_file",
]

STALE = 0.1
"""A FAISS file is written again when more than this share of its passages is missing from it or deleted."""

_DOCUMENTS_A_SEGMENT = 20_000

MAX_FILTERS = 16
"""The number of filters whose matching documents a view remembers."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The documents that a search may return.

    Attributes:
        numbers: Their numbers, ``int64 (n,)``; None if all documents of the view are allowed.
        vectors: The embeddings of their passages.
    """

    numbers: NDArray[np.int64] | None
    vectors: VectorIndex


@dataclass(slots=True)
class Known:
    """A cache of what was computed about one committed state, for later queries.

    Attributes:
        words: The words of the documents; None until needed.
        earlier_words: Those of an earlier state, to build on.
        background: What search noted: how similar documents are to random texts, ascending, by the length of the
            texts, see ``docsim.search.percentiles``; and ``docsim.search.vocabulary``.
        counts: The numbers of documents and passages; None until needed.
        sample: Numbers of documents spread over the index, ``int64 (n,)``; None until needed.
        allowed: The documents that meet each filter.
        order: The positions in ``View.documents`` by ascending document number, ``int64 (n,)``; empty if they are in
            that order already, None until needed.
    """

    words: WordIndex | None = None
    earlier_words: WordIndex | None = None
    counts: Counts | None = None
    background: dict[int | str | None, NDArray[np.float32]] = field(default_factory=dict)
    sample: NDArray[np.int64] | None = None
    allowed: dict[Condition, Allowed] = field(default_factory=dict)
    order: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the live embeddings are mapped into the space of a new encoder while its generation is built.

    Attributes:
        row: The committed row in the database.
        alignment: Maps embeddings.
        encoder: Encodes queries; None where nobody asks any.
    """

    row: StoredMapping
    alignment: Alignment
    encoder: Encoder | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class View:
    """The vectors of one committed state.

    Attributes:
        revision: The state's number.
        generation: The generation that is searched.
        vectors: Its embeddings: passages up to number ``passage``, without deletions up to ``deletion``.
        passage: The last passage number.
        deletion: The sequence number of the last deletion.
        documents: The first passage number and the document number of each document, ``int64 (n, 2)``, by ascending
            passage number. Documents deleted since may still be listed.
        known: A cache of what was computed about this state.
        mapping: How ``vectors`` were mapped; None if they are the generation's own embeddings.
    """

    revision: int
    generation: LocalGeneration
    vectors: VectorIndex
    passage: int
    deletion: int
    documents: NDArray[np.int64]
    known: Known = field(default_factory=Known)
    mapping: Mapping | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder whose embedding space ``vectors`` are in."""
        return self.mapping.row.fingerprint if self.mapping else self.generation.fingerprint

    def mapped(self, rows: NDArray[np.float16]) -> NDArray[np.floating]:
        """Map embeddings of the generation, ``(n, dim)``, into the space of ``vectors``."""
        return self.mapping.alignment.apply(rows) if self.mapping else rows

    def allowed(self, condition: Condition | None, meeting: Callable[[Condition], NDArray[np.int64]]) -> Allowed:
        """Return the documents that meet a condition, or all if there is no condition.

        Args:
            condition: The condition.
            meeting: Returns the first passage numbers of the documents that meet it in the state of this view.
        """
        if condition is None:
            return Allowed(None, self.vectors)
        found = self.known.allowed.get(condition)
        if found is None:
            positions = np.flatnonzero(np.isin(self.documents[:, 0], meeting(condition)))
            found = Allowed(self.documents[positions, 1], self.vectors.restricted(self._ranges(positions)))
            if len(self.known.allowed) >= MAX_FILTERS:
                self.known.allowed.clear()
            self.known.allowed[condition] = found
        return found

    def owners(self, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the document that each passage belongs to, in the shape of ``passages``."""
        positions = np.searchsorted(self.documents[:, 0], passages.ravel(), side="right") - 1
        owners: NDArray[np.int64] = self.documents[positions, 1].reshape(passages.shape)
        return owners

    def positions_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position in ``documents`` of each document number, ``int64 (n,)``; any one if unknown."""
        held = self.documents[:, 1]
        if not len(held):
            return np.zeros(0, np.int64)
        order = self.known.order
        if order is None:  # a changed document is listed again; its last position counts
            order = self.known.order = _ascending(held)
        found = np.searchsorted(held, numbers, side="right", sorter=order if len(order) else None) - 1
        found = np.maximum(found, 0)
        return order[found] if len(order) else found

    def rows(self, positions: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        """Return the embeddings of the documents at some positions, ``float16 (passages, dim)`` each."""
        return self.vectors.rows(self._ranges(positions))

    def stacked(self, positions: NDArray[np.int64]) -> Stacked:
        """Return the embeddings of the documents at some positions, one after the other."""
        return self.vectors.stacked(self._ranges(positions))

    def _ranges(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first passage number, and one past the last, of the documents at some positions."""
        last = len(self.documents) - 1
        ends = np.where(positions < last, self.documents[np.minimum(positions + 1, last), 0], self.passage + 1)
        return np.stack([self.documents[positions, 0], ends], axis=1)


def _ascending(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order that sorts some document numbers; empty if they are sorted already.

    They are until the first time that a document changes.
    """
    if (np.diff(numbers) > 0).all():
        return np.zeros(0, np.int64)
    return np.argsort(numbers, kind="stable")


def faiss_path(index: Path, generation: LocalGeneration) -> Path:
    """Return the path of a generation's FAISS file."""
    return directory(index, generation.number) / "index.faiss"


def mapped_path(index: Path, number: int) -> Path:
    """Return the path of the live embeddings as mapped for generation ``number``, which is being built."""
    return directory(index, number) / "adapter" / "index.faiss"


def begin(store: Store, index: Path, encoder: Encoder, *, state: str = "live", base: Encoder | None = None) -> int:
    """Begin a generation without embeddings: copy the encoder's files, then commit the row that makes them count.

    Args:
        store: Writable.
        index: The index's directory.
        encoder: The encoder of the generation.
        state: ``live`` for the first generation of a new index, else ``building``.
        base: The encoder that ``encoder`` was fine-tuned from, if any; a copy of it is kept too.

    Returns:
        The number of the generation.

    Raises:
        StoreError: The files cannot be written.
    """
    with store.writing(visible=state == "live"):
        number = store.add_generation(
            fingerprint=encoder.fingerprint, encoder=encoder.name, dim=encoder.dim, state=state
        )
        with explained(index):
            folder = directory(index, number)
            shutil.rmtree(folder, ignore_errors=True)  # left by a run that was stopped before the commit
            copy(encoder, folder / "encoder")
            if base is not None:
                copy(base, folder / "base")
    return number


def refreshed(
    store: Store, index: Path, view: View | None, *, number: int | None = None, mapping: Mapping | None = None
) -> View:
    """Return a view of the state that ``store`` sees now, in ``reading()``; ``view`` itself if it is of that state.

    Args:
        store: Open.
        index: The index's directory.
        view: An earlier view to build on, if there is one.
        number: The generation; the live one by default.
        mapping: Maps the embeddings into the space of another encoder.

    Raises:
        StoreError: No generation is live, or stored embeddings are damaged.
        IndexChanged: See ``superseded.is_superseded``.
    """
    revision = store.revision()
    if view is not None and view.revision == revision:
        return view
    generation = store.generation(number)
    if generation is None:
        raise unfinished(index)
    known = Known(earlier_words=view.known.words or view.known.earlier_words) if view else Known()
    lags = view is not None and view.deletion < store.forgotten()
    if view is None or lags or view.generation.number != generation.number or view.mapping != mapping:
        view = _from_file(store, index, generation, revision, mapping=mapping)
    return _caught_up(store, replace(view, revision=revision, generation=generation, known=known))


def _from_file(
    store: Store, index: Path, generation: LocalGeneration, revision: int, *, mapping: Mapping | None = None
) -> View:
    """Return what a FAISS file on disk holds, mapped or not; an empty view if it is missing or damaged."""
    row: LocalGeneration | StoredMapping = generation
    dim, path = generation.dim, faiss_path(index, generation)
    if mapping:
        row, dim, path = mapping.row, mapping.alignment.dims[1], mapped_path(index, mapping.row.generation)
    empty = View(revision, generation, VectorIndex(dim), 0, 0, np.zeros((0, 2), np.int64), mapping=mapping)
    if row.snapshot_digest is None:
        return empty
    try:
        vectors = VectorIndex.load(path, digest=row.snapshot_digest, dim=dim)
    except StoreError as error:
        is_replaced = superseded.is_superseded_file(store, row)
        notices.note("embeddings", "" if is_replaced else f"{error}; answering from the stored embeddings")
        return empty
    notices.note("embeddings")
    if any(path.parent.glob("approximate.*")):  # otherwise, do not import what reads it
        from docsim.engine.local import ann_files, ann_tuning

        vectors = vectors.with_approximate(ann_files.load(path.parent, ann_tuning.mark(generation)))
    documents = faiss_listing.load(path, row.snapshot_digest)
    if gone := [first for _, first, _ in store.deletions_after(row.snapshot_deletion)]:
        documents = documents[~np.isin(documents[:, 0], gone)]
    return View(revision, generation, vectors, row.snapshot_passage, row.snapshot_deletion, documents, mapping=mapping)


def _caught_up(store: Store, view: View) -> View:
    """Add to a view what the store holds beyond it: later passages and later deletions."""
    vectors, passage, deletion = view.vectors, view.passage, view.deletion
    rows = store.vectors_after(view.generation.number, passage)
    while batch := list(islice(rows, _DOCUMENTS_A_SEGMENT)):
        ids = np.concatenate([np.arange(first, first + len(one), dtype=np.int64) for first, one in batch])
        added = batch.pop()[1] if len(batch) == 1 else np.concatenate([one for _, one in batch])
        vectors = vectors.with_added(ids, view.mapped(added))
        passage = int(ids[-1])
    if deletions := store.deletions_after(deletion):
        vectors = vectors.with_deleted((first, count) for _, first, count in deletions)
    deletion = max(deletion, store.forgotten(), *(sequence for sequence, _, _ in deletions[-1:]))
    known = int(view.documents[-1, 0]) if len(view.documents) else 0
    later = store.documents_after(view.generation.number, known)
    documents = np.concatenate([view.documents, later]) if len(later) else view.documents
    return replace(view, vectors=vectors, passage=passage, deletion=deletion, documents=documents)


def write_faiss_file(store: Store, index: Path, *, force: bool = False, number: int | None = None) -> bool:
    """Write a generation's FAISS file if it is stale. Only the one process that writes to the generation may call this.

    The new file is complete before it replaces the old one. Before that, a commit says that there is no FAISS file, and
    after it, one that there is; readers in between use the stored embeddings.

    Args:
        store: Writable.
        index: The index's directory.
        force: Write it even if it is fresh, and take nothing over from the old one.
        number: The generation, which must have embeddings of all documents; the live one by default.

    Returns:
        Whether anything was written.

    Raises:
        StoreError: It cannot be written; what was committed is safe.
    """
    with store.reading():
        generation = store.generation(number)
        if generation is None:
            return False
        trusted = replace(generation, snapshot_digest=None) if force else generation
        old = _from_file(store, index, trusted, store.revision())
        view = _caught_up(store, old)
        is_read = generation.snapshot_digest is not None and old.passage == generation.snapshot_passage
        fresh = is_read and _pending(store, generation) <= STALE * len(view.vectors)
    if force or not fresh:
        _write(store, index, view)
    count = len(view.vectors)
    del old, view
    allocation.give_back()  # before an approximate index is built
    return _tuned(store, index, generation.number, count=count, force=force) or force or not fresh


def _tuned(store: Store, index: Path, number: int, *, count: int, force: bool) -> bool:
    """Build the approximate index of a FAISS file if it needs one; return whether it was built."""
    generation = store.generation(number)
    assert generation is not None
    from docsim.engine.local import ann_tuning  # here, because searching does not need it

    file, encoder = faiss_path(index, generation), partial(encoders.load, index, generation)
    with explained(index):
        return ann_tuning.refresh(store, file, generation, count=count, encoder=encoder, force=force)


def _write(store: Store, index: Path, view: View) -> None:
    """Write the FAISS file of a view, and commit that it is there."""
    number = view.generation.number
    with store.writing(visible=False):
        store.execute("UPDATE generations SET snapshot_digest = NULL WHERE number = ?", number)
    with explained(index):
        path = faiss_path(index, view.generation)
        digest = view.vectors.save(path)
        faiss_listing.save(path, digest, view.documents[view.vectors.holds(view.documents[:, 0])])
    with store.writing(visible=False):
        store.execute(
            "UPDATE generations SET snapshot_digest = ?, snapshot_passage = ?, snapshot_deletion = ? WHERE number = ?",
            digest, view.passage, view.deletion, number,
        )  # fmt: skip


def _pending(store: Store, generation: LocalGeneration) -> int:
    """Return how many passages were added or deleted since the generation's FAISS file was written."""
    added = store.value("SELECT count(*) FROM passages WHERE number > ?", generation.snapshot_passage)
    deleted = store.value(
        "SELECT coalesce(sum(passages), 0) FROM deletions WHERE sequence > ?", generation.snapshot_deletion
    )
    return int(added) + int(deleted)
