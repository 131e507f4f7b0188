"""Generations: the embeddings of every passage under one encoder, on disk and in memory.

    generations/0001/encoder/      the encoder the generation was made with
    generations/0001/index.faiss   its snapshot: a faster way to read its embeddings

A snapshot covers passages and deletions up to the numbers in the generation's row. What came later is read from the
store, so a stale, torn or missing snapshot costs time and never gives a wrong answer.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.encoder import Encoder
from docsim.errors import FingerprintMismatch, StoreError
from docsim.store import Generation, Store
from docsim.vectors import VectorIndex

__all__ = [
    "Known",
    "View",
    "begin",
    "check_same",
    "directory",
    "load_encoder",
    "refreshed",
    "snapshot",
    "snapshot_path",
]

logger = logging.getLogger(__name__)

STALE = 0.1
"""A snapshot is written anew when this share of its passages is missing from it or gone."""

_DOCUMENTS_A_SEGMENT = 20_000


@dataclass(slots=True)
class Known:
    """What was found out about one committed state while answering, kept for the next answer.

    Attributes:
        counts: How many documents hold a term.
        background: Similarities of documents taken at random, sorted, by whether the query was one passage.
    """

    counts: dict[str, int] = field(default_factory=dict)
    background: dict[bool, NDArray[np.float32]] = field(default_factory=dict)


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
    """

    revision: int
    generation: Generation
    vectors: VectorIndex
    passage: int
    deletion: int
    documents: NDArray[np.int64]
    known: Known = field(default_factory=Known)

    def documents_of(self, passages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in ``documents`` of the documents that hold some passages, ascending, each once."""
        places = np.searchsorted(self.documents[:, 0], passages.ravel(), side="right") - 1
        return np.array(sorted(set(places.tolist())), dtype=np.int64)

    def rows(self, places: NDArray[np.int64]) -> list[NDArray[np.float16]]:
        """Return the embeddings of the documents at some places, ``float16 (passages, dim)`` each."""
        ends = np.append(self.documents[1:, 0], self.passage + 1)
        return self.vectors.rows(np.stack([self.documents[places, 0], ends[places]], axis=1))


def directory(index: Path, number: int) -> Path:
    """Return the directory of generation ``number``."""
    return index / "generations" / f"{number:04}"


def snapshot_path(index: Path, generation: Generation) -> Path:
    """Return where a generation's FAISS file is."""
    return directory(index, generation.number) / "index.faiss"


def begin(store: Store, index: Path, encoder: Encoder) -> None:
    """Make a new index's first generation: the encoder's files first, then the row that makes them count."""
    with store.writing():
        number = store.add_generation(
            fingerprint=encoder.fingerprint, encoder=encoder.name, dim=encoder.dim, state="live"
        )
        with _explained(index):
            _copy_encoder(encoder, directory(index, number) / "encoder")


def _copy_encoder(encoder: Encoder, target: Path) -> None:
    """Copy an encoder's files so that they are on the disk, whole, when this returns."""
    temporary = target.with_name("encoder.tmp")
    for leftover in (temporary, target):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in encoder.path.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            shutil.copyfile(path, temporary / path.name)
            _flush(temporary / path.name)
    temporary.rename(target)
    _flush(target.parent)


def load_encoder(index: Path, generation: Generation) -> Encoder:
    """Load the encoder kept in a generation.

    Raises:
        FingerprintMismatch: It is not the one that the generation's embeddings were made with.
        EncoderError: It is missing or damaged.
    """
    encoder = Encoder.load(directory(index, generation.number) / "encoder")
    check_same(encoder, generation, index)
    return encoder


def check_same(encoder: Encoder, generation: Generation, index: Path) -> None:
    """Raise ``FingerprintMismatch`` unless ``encoder`` made the embeddings of ``generation``."""
    if encoder.fingerprint != generation.fingerprint:
        raise FingerprintMismatch(
            f"the index at {index} answers only with its own encoder, {generation.encoder} "
            f"(fingerprint {generation.fingerprint[:12]}); found {encoder.name} (fingerprint "
            f"{encoder.fingerprint[:12]}) at {encoder.path}. To use that one, make another index with: "
            f"docsim index SOURCE --index NEW --encoder {encoder.path}"
        )


def refreshed(store: Store, index: Path, view: View | None) -> View:
    """Return a view of the state that ``store`` sees now, which is ``view`` when nothing was written since.

    To be called inside ``store.reading()``.

    Raises:
        StoreError: No generation is live, or stored embeddings are damaged.
    """
    revision = store.revision()
    if view is not None and view.revision == revision:
        return view
    generation = store.generation()
    if generation is None:
        raise StoreError(
            f"the index at {index} was never finished; finish it with: docsim index SOURCE --index {index}"
        )
    if view is None or view.generation.number != generation.number:
        view = _from_snapshot(index, generation, revision)
    return _caught_up(store, replace(view, revision=revision, generation=generation, known=Known()))


def _from_snapshot(index: Path, generation: Generation, revision: int) -> View:
    """Return what the generation's snapshot holds; nothing when there is none that can be trusted."""
    nothing = np.zeros((0, 2), np.int64)
    empty = View(revision, generation, VectorIndex(generation.dim), 0, 0, nothing)
    if generation.snapshot_digest is None:
        return empty
    path = snapshot_path(index, generation)
    try:
        vectors = VectorIndex.load(path, digest=generation.snapshot_digest, dim=generation.dim)
    except StoreError as error:
        logger.warning("%s; answering from the stored embeddings", error)
        return empty
    return View(revision, generation, vectors, generation.snapshot_passage, generation.snapshot_deletion, nothing)


def _caught_up(store: Store, view: View) -> View:
    """Return the view with what the store holds beyond it."""
    vectors, passage, deletion = view.vectors, view.passage, view.deletion
    rows = store.vectors_after(view.generation.number, passage)
    while batch := list(islice(rows, _DOCUMENTS_A_SEGMENT)):
        ids = np.concatenate([np.arange(first, first + len(one), dtype=np.int64) for first, one in batch])
        vectors = vectors.with_added(ids, np.concatenate([one for _, one in batch]))
        passage = int(ids[-1])
    deletions = store.deletions_after(deletion)
    if deletions:
        vectors = vectors.with_deleted((first, count) for _, first, count in deletions)
        deletion = deletions[-1][0]
    known = int(view.documents[-1, 0]) if len(view.documents) else 0
    documents = np.concatenate([view.documents, store.documents_after(view.generation.number, known)])
    return replace(view, vectors=vectors, passage=passage, deletion=deletion, documents=documents)


def snapshot(store: Store, index: Path, *, force: bool = False) -> bool:
    """Write the live generation's snapshot when it is stale; to be called by the one writer.

    The new file is complete before it takes the old one's place. Its row is committed after, and says before that there
    is none, so that whoever looks in between uses the stored embeddings.

    Args:
        store: Writable.
        index: The index's directory.
        force: Write it even when it is fresh, and trust nothing of the one that is there.

    Returns:
        Whether it was written.

    Raises:
        StoreError: It cannot be written; what was committed is safe.
    """
    with store.reading():
        generation = store.generation()
        if generation is None:
            return False
        trusted = replace(generation, snapshot_digest=None) if force else generation
        old = _from_snapshot(index, trusted, store.revision())
        view = _caught_up(store, old)
        is_read = generation.snapshot_digest is not None and old.passage == generation.snapshot_passage
        fresh = is_read and _pending(store, generation) <= STALE * len(view.vectors)
    if fresh and not force:
        return False
    with store.writing():
        store.execute("UPDATE generations SET snapshot_digest = NULL WHERE number = ?", generation.number)
    with _explained(index):
        digest = view.vectors.save(snapshot_path(index, generation))
    with store.writing():
        store.execute(
            "UPDATE generations SET snapshot_digest = ?, snapshot_passage = ?, snapshot_deletion = ? WHERE number = ?",
            digest, view.passage, view.deletion, generation.number,
        )  # fmt: skip
    return True


def _pending(store: Store, generation: Generation) -> int:
    """Return how many passages were added or deleted since the generation's snapshot."""
    added = store.value("SELECT count(*) FROM passages WHERE number > ?", generation.snapshot_passage)
    deleted = store.value(
        "SELECT coalesce(sum(passages), 0) FROM deletions WHERE sequence > ?", generation.snapshot_deletion
    )
    return int(added) + int(deleted)


@contextmanager
def _explained(index: Path) -> Iterator[None]:
    """Turn a file that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"could not write to {index}: {reason}; what was committed before is safe") from error


def _flush(path: Path) -> None:
    """Make a file, or what is listed in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
