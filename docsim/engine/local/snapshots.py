"""Generations: the embeddings of every passage under one encoder, on disk and in memory.

    generations/0001/encoder/      the encoder the generation was made with
    generations/0001/index.faiss   its snapshot: a faster way to read its embeddings
    generations/0001/documents.*   which documents they belong to, see ``docsim.engine.local.snapshot_documents``

A snapshot covers passages and deletions up to the numbers in the generation's row. What came later is read from the
store, so a stale, torn or missing snapshot costs time and never gives a wrong answer.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, snapshot_documents
from docsim.engine.local.encoders import directory, explained
from docsim.engine.local.full_text import Lexicon
from docsim.engine.local.store import LocalGeneration, Store, StoredMapping
from docsim.engine.local.vectors import VectorIndex
from docsim.engine.records import Counts
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
    "mapped_path",
    "refreshed",
    "snapshot",
    "snapshot_path",
    "unfinished",
]

logger = logging.getLogger(__name__)

STALE = 0.1
"""A snapshot is written anew when this share of its passages is missing from it or gone."""

_DOCUMENTS_A_SEGMENT = 20_000


MAX_FILTERS = 16
"""Filters whose documents a view remembers."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The documents that may be found.

    Attributes:
        numbers: Their numbers, ``int64 (n,)``; None for all of a view's documents.
        vectors: The embeddings of their passages.
    """

    numbers: NDArray[np.int64] | None
    vectors: VectorIndex


@dataclass(slots=True)
class Known:
    """What was found out about one committed state while answering, kept for the next answer.

    Attributes:
        lexicon: Which documents hold a term.
        background: How similar documents are to random texts, ascending, by the texts' length; see ``background``.
        counts: How many documents and passages there are; None before it was needed.
        sample: Documents from all over the index, ``int64 (n,)``; None before it was needed.
        allowed: The documents that meet a filter.
        order: The places of documents by ascending number, ``int64 (n,)``; empty when they are in that order already,
            None before it was needed.
    """

    lexicon: Lexicon = field(default_factory=Lexicon)
    counts: Counts | None = None
    background: dict[int | None, NDArray[np.float32]] = field(default_factory=dict)
    sample: NDArray[np.int64] | None = None
    allowed: dict[Condition, Allowed] = field(default_factory=dict)
    order: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the live embeddings are mapped into the space of another encoder, while its generation is built.

    Attributes:
        row: What was committed.
        alignment: What maps embeddings.
    """

    row: StoredMapping
    alignment: Alignment


@dataclass(frozen=True, slots=True)
class View:
    """The vectors of one committed state.

    Attributes:
        revision: The state's number.
        generation: The live generation.
        vectors: Its embeddings: passages up to ``passage`` without deletions up to ``deletion``.
        passage: Last passage number.
        deletion: Last deletion's sequence number.
        documents: First passage number and document number of each document, ``int64 (n, 2)``, ascending; those that
            were deleted since may still be listed.
        known: What was found out about this state.
        mapping: What ``vectors`` were mapped by; None when they are the generation's own.
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
        """Fingerprint of the encoder in whose space ``vectors`` are."""
        return self.mapping.row.fingerprint if self.mapping else self.generation.fingerprint

    def mapped(self, rows: NDArray[np.float16]) -> NDArray[np.floating]:
        """Return embeddings of the generation, ``(n, dim)``, as they are in ``vectors``."""
        return self.mapping.alignment.apply(rows) if self.mapping else rows

    def allowed(self, store: Store, condition: Condition | None) -> Allowed:
        """Return the documents that meet a condition, all when there is none.

        To be called inside ``store.reading()``, which has to see the state that this is the view of.
        """
        if condition is None:
            return Allowed(None, self.vectors)
        found = self.known.allowed.get(condition)
        if found is None:
            places = np.flatnonzero(np.isin(self.documents[:, 0], store.meeting(condition)))
            found = Allowed(self.documents[places, 1], self.vectors.restricted(self._ranges(places)))
            if len(self.known.allowed) >= MAX_FILTERS:
                self.known.allowed.clear()
            self.known.allowed[condition] = found
        return found

    def owners(self, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the document that holds each passage, in the shape of ``passages``."""
        places = np.searchsorted(self.documents[:, 0], passages.ravel(), side="right") - 1
        owners: NDArray[np.int64] = self.documents[places, 1].reshape(passages.shape)
        return owners

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in ``documents`` of documents by number, ``int64 (n,)``; any place for one not there."""
        held = self.documents[:, 1]
        if not len(held):
            return np.zeros(0, np.int64)
        order = self.known.order
        if order is None:  # a document that was changed is listed again; its last place counts
            order = self.known.order = _ascending(held)
        found = np.searchsorted(held, numbers, side="right", sorter=order if len(order) else None) - 1
        found = np.maximum(found, 0)
        return order[found] if len(order) else found

    def rows(self, places: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        """Return the embeddings of the documents at some places, ``float16 (passages, dim)`` each."""
        return self.vectors.rows(self._ranges(places))

    def _ranges(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the first passage number, and one past the last, of the documents at some places."""
        last = len(self.documents) - 1
        ends = np.where(places < last, self.documents[np.minimum(places + 1, last), 0], self.passage + 1)
        return np.stack([self.documents[places, 0], ends], axis=1)


def unfinished(index: Path) -> StoreError:
    """Return the error that says that an index has no live generation."""
    return StoreError(f"the index at {index} was never finished", hint=f"docsim index SOURCE --index {index}")


def _ascending(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order that sorts some numbers; none when they are sorted, as they are until a document is changed."""
    if (np.diff(numbers) > 0).all():
        return np.zeros(0, np.int64)
    return np.argsort(numbers, kind="stable")


def snapshot_path(index: Path, generation: LocalGeneration) -> Path:
    """Return where a generation's FAISS file is."""
    return directory(index, generation.number) / "index.faiss"


def mapped_path(index: Path, number: int) -> Path:
    """Return where the live embeddings are as generation ``number``, which is being built, has them mapped."""
    return directory(index, number) / "adapter" / "index.faiss"


def begin(store: Store, index: Path, encoder: Encoder, *, state: str = "live", base: Encoder | None = None) -> int:
    """Make a generation without embeddings: the encoder's files first, then the row that makes them count.

    Args:
        store: Writable.
        index: The index's directory.
        encoder: What it is to be encoded with.
        state: ``live`` for a new index's first generation, else ``building``.
        base: What ``encoder`` was adapted from, to be kept beside it.

    Returns:
        Its number.

    Raises:
        StoreError: The files cannot be written.
    """
    with store.writing(visible=state == "live"):
        number = store.add_generation(
            fingerprint=encoder.fingerprint, encoder=encoder.name, dim=encoder.dim, state=state
        )
        with explained(index):
            folder = directory(index, number)
            shutil.rmtree(folder, ignore_errors=True)  # of one that was not committed
            encoders.copy(encoder, folder / "encoder")
            if base is not None:
                encoders.copy(base, folder / "base")
    return number


def refreshed(
    store: Store, index: Path, view: View | None, *, number: int | None = None, mapping: Mapping | None = None
) -> View:
    """Return a view of the state that ``store`` sees now, which is ``view`` when nothing was written since.

    To be called inside ``store.reading()``. The view is of generation ``number``, by default the live one, whose
    embeddings are mapped into the space of another encoder where ``mapping`` is given.

    Raises:
        StoreError: No generation is live, or stored embeddings are damaged.
    """
    revision = store.revision()
    if view is not None and view.revision == revision:
        return view
    generation = store.generation(number)
    if generation is None:
        raise unfinished(index)
    lags = view is not None and view.deletion < store.forgotten()
    if view is None or lags or view.generation.number != generation.number or view.mapping != mapping:
        view = _from_snapshot(store, index, generation, revision, mapping=mapping)
    return _caught_up(store, replace(view, revision=revision, generation=generation, known=Known()))


def _from_snapshot(
    store: Store, index: Path, generation: LocalGeneration, revision: int, *, mapping: Mapping | None = None
) -> View:
    """Return what the snapshot of a generation, or of what it is adapted to, holds; nothing if it cannot be trusted."""
    row: LocalGeneration | StoredMapping = generation
    dim, path = generation.dim, snapshot_path(index, generation)
    if mapping:
        row, dim, path = mapping.row, mapping.alignment.dims[1], mapped_path(index, mapping.row.generation)
    empty = View(revision, generation, VectorIndex(dim), 0, 0, np.zeros((0, 2), np.int64), mapping=mapping)
    if row.snapshot_digest is None:
        return empty
    try:
        vectors = VectorIndex.load(path, digest=row.snapshot_digest, dim=dim)
    except StoreError as error:
        logger.warning("%s; answering from the stored embeddings", error)
        return empty
    if any(path.parent.glob("approximate.*")):  # else there is no need to load what reads it
        from docsim.engine.local import ann, ann_tuning

        vectors = vectors.with_approximate(ann.load(path.parent, ann_tuning.mark(generation)))
    documents = snapshot_documents.load(path, row.snapshot_digest)
    if gone := [first for _, first, _ in store.deletions_after(row.snapshot_deletion)]:
        documents = documents[~np.isin(documents[:, 0], gone)]
    passage, deletion = row.snapshot_passage, row.snapshot_deletion
    return View(revision, generation, vectors, passage, deletion, documents, mapping=mapping)


def _caught_up(store: Store, view: View) -> View:
    """Return the view with what the store holds beyond it."""
    vectors, passage, deletion = view.vectors, view.passage, view.deletion
    rows = store.vectors_after(view.generation.number, passage)
    while batch := list(islice(rows, _DOCUMENTS_A_SEGMENT)):
        ids = np.concatenate([np.arange(first, first + len(one), dtype=np.int64) for first, one in batch])
        vectors = vectors.with_added(ids, view.mapped(np.concatenate([one for _, one in batch])))
        passage = int(ids[-1])
    if deletions := store.deletions_after(deletion):
        vectors = vectors.with_deleted((first, count) for _, first, count in deletions)
    deletion = max(deletion, store.forgotten(), *(sequence for sequence, _, _ in deletions[-1:]))
    known = int(view.documents[-1, 0]) if len(view.documents) else 0
    later = store.documents_after(view.generation.number, known)
    documents = np.concatenate([view.documents, later]) if len(later) else view.documents
    return replace(view, vectors=vectors, passage=passage, deletion=deletion, documents=documents)


def snapshot(store: Store, index: Path, *, force: bool = False, number: int | None = None) -> bool:
    """Write a generation's snapshot when it is stale; to be called by whoever alone writes to that generation.

    The new file is complete before it takes the old one's place. Its row is committed after, and says before that there
    is none, so that whoever looks in between uses the stored embeddings.

    Args:
        store: Writable.
        index: The index's directory.
        force: Write it even when it is fresh, and trust nothing of the one that is there.
        number: The generation, which has to lack no document; the live one when not given.

    Returns:
        Whether it was written.

    Raises:
        StoreError: It cannot be written; what was committed is safe.
    """
    with store.reading():
        generation = store.generation(number)
        if generation is None:
            return False
        trusted = replace(generation, snapshot_digest=None) if force else generation
        old = _from_snapshot(store, index, trusted, store.revision())
        view = _caught_up(store, old)
        is_read = generation.snapshot_digest is not None and old.passage == generation.snapshot_passage
        fresh = is_read and _pending(store, generation) <= STALE * len(view.vectors)
    if force or not fresh:
        _write(store, index, view)
    count = len(view.vectors)
    del old, view  # so that they are not in memory beside what is made of the snapshot
    written = store.generation(generation.number)
    assert written is not None
    from docsim.engine.local import ann_tuning  # here, because searching does without

    with explained(index):
        path = snapshot_path(index, written)
        made = ann_tuning.refresh(
            store, path, written, count=count, encoder=partial(encoders.load, index, written), force=force
        )
    return made or force or not fresh


def _write(store: Store, index: Path, view: View) -> None:
    """Write the snapshot of a view."""
    number = view.generation.number
    with store.writing(visible=False):
        store.execute("UPDATE generations SET snapshot_digest = NULL WHERE number = ?", number)
    with explained(index):
        path = snapshot_path(index, view.generation)
        digest = view.vectors.save(path)
        snapshot_documents.save(path, digest, view.documents[view.vectors.holds(view.documents[:, 0])])
    with store.writing(visible=False):
        store.execute(
            "UPDATE generations SET snapshot_digest = ?, snapshot_passage = ?, snapshot_deletion = ? WHERE number = ?",
            digest, view.passage, view.deletion, number,
        )  # fmt: skip


def _pending(store: Store, generation: LocalGeneration) -> int:
    """Return how many passages were added or deleted since the generation's snapshot."""
    added = store.value("SELECT count(*) FROM passages WHERE number > ?", generation.snapshot_passage)
    deleted = store.value(
        "SELECT coalesce(sum(passages), 0) FROM deletions WHERE sequence > ?", generation.snapshot_deletion
    )
    return int(added) + int(deleted)
