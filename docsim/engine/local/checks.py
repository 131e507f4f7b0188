"""Checks: compares the rows and files of an index with one another, and reports everything that is wrong.

Those of single documents are in ``document_checks``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.alignment import Alignment
from docsim.encoding.norms import are_unit
from docsim.engine.local import (
    ann_files,
    document_checks,
    encoders,
    faiss_listing,
    generations,
    mappings,
    superseded,
    word_storage,
)
from docsim.engine.local.generations import Mapping
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.local.vectors import VectorIndex
from docsim.engine.records import Soundness
from docsim.engine.words import segment
from docsim.engine.words.segment_rows import SegmentRow
from docsim.errors import StoreError

__all__ = ["damaged", "of_generation", "problems", "soundness"]

_LISTED = 20
_ROUNDING = 2e-3  # the largest difference between two float16 roundings of a mapped component

_ORPHANS = {
    "passages of no document": "passages WHERE document NOT IN (SELECT number FROM documents)",
    "embeddings of no document": "embeddings WHERE document NOT IN (SELECT number FROM documents)",
    "embeddings of no generation": "embeddings WHERE generation NOT IN (SELECT number FROM generations)",
    "origins of no document": "origins WHERE document NOT IN (SELECT number FROM documents)",
    "documents of no source": "documents WHERE number NOT IN (SELECT document FROM origins)",
    **document_checks.MISMATCHED,
}


def problems(path: Path, store: Store) -> list[str]:
    """Check the rows and files of an index; return one sentence per problem.

    Raises:
        IndexChanged: Files were replaced while they were checked, and whoever checks is called again.
    """
    with store.reading():
        found = [*_database(store), *_orphans(store), *document_checks.problems(store)]
        for generation in store.generations():
            found += of_generation(path, store, generation)
        live = store.generation()
        if live is not None and not damaged(store, live):
            found += _mapping(path, store)
        return [*found, *_words(path, store)]


def soundness(store: Store, generation: LocalGeneration) -> Soundness:
    """Check the stored embeddings of a generation."""
    sql = (
        "SELECT count(*), coalesce(sum(first_passage <= ?), 0) FROM documents WHERE NOT EXISTS"
        " (SELECT 1 FROM embeddings WHERE document = documents.number AND generation = ?)"
    )
    with store.reading():
        lacking, early = store.rows(sql, generation.snapshot_passage, generation.number)[0]
        wrong = damaged(store, generation)
        return Soundness(store.counts().documents, lacking, early, tuple(wrong))


def _database(store: Store) -> Iterator[str]:
    for (message,) in store.rows("PRAGMA integrity_check(20)"):
        if message != "ok":
            yield f"SQLite: {message}"
    for row in store.rows("PRAGMA foreign_key_check")[:_LISTED]:
        yield f"a row of {row[0]} refers to a row of {row[2]} that does not exist"


def _orphans(store: Store) -> Iterator[str]:
    for name, rows in _ORPHANS.items():
        if count := store.value(f"SELECT count(*) FROM {rows}"):
            yield f"{count} {name}"


def of_generation(path: Path, store: Store, generation: LocalGeneration) -> Iterator[str]:
    """Check a generation's embeddings and FAISS file; yield one sentence per problem."""
    where = "" if generation.state == "live" else f" in generation {generation.number}"
    wrong = damaged(store, generation)
    for stored in store.documents(wrong).values():
        yield f"the embeddings of {stored.document.id}{where} are missing or damaged"
    if not wrong:
        yield from _faiss_file(path, store, generation)
    if damage := ann_files.damage(encoders.directory(path, generation.number)):
        yield damage


def damaged(store: Store, generation: LocalGeneration) -> list[int]:
    """Return the documents whose embeddings are altered, of the wrong shape, not finite or not of unit norm.

    Documents without embeddings are included if the generation is live; other generations may be incomplete.
    """
    join = "LEFT JOIN" if generation.state == "live" else "JOIN"
    sql = (
        "SELECT d.number, d.first_passage, d.passages, e.first_passage, e.vectors, e.checksum FROM documents d"
        f" {join} embeddings e ON e.document = d.number AND e.generation = ? ORDER BY d.number"
    )
    return [
        number
        for number, first, count, embedded, blob, checksum in store.stream(sql, generation.number)
        if embedded != first or not _sound(blob, checksum, shape=(count, generation.dim))
    ]


def _sound(blob: bytes, checksum: int, *, shape: tuple[int, int]) -> bool:
    if zlib.crc32(blob) != checksum or len(blob) != 2 * shape[0] * shape[1]:
        return False
    return are_unit(np.frombuffer(blob, np.float16).reshape(shape))


def _faiss_file(index: Path, store: Store, generation: LocalGeneration) -> Iterator[str]:
    """Check that the FAISS file, together with later changes, holds exactly the stored embeddings."""
    if generation.snapshot_digest is None:
        return
    path = generations.faiss_path(index, generation)
    try:
        VectorIndex.load(path, digest=generation.snapshot_digest, dim=generation.dim)
    except StoreError as error:
        if not superseded.is_superseded_file(store, generation):
            yield str(error)
        return
    ids, rows = generations.refreshed(store, index, None, number=generation.number).vectors.reconstruct()
    row = 0
    for first, vectors in store.vectors_after(generation.number, 0):
        here = slice(row, row + len(vectors))
        if not np.array_equal(ids[here], np.arange(first, first + len(vectors))) or not np.array_equal(
            rows[here], vectors
        ):
            yield f"the FAISS file at {path} disagrees with the stored embeddings; repair the index to rebuild it"
            return
        row += len(vectors)
    listed = faiss_listing.load(path, generation.snapshot_digest)
    if len(listed) and not np.array_equal(listed, _listable(store, generation, listed)):
        yield f"the listing beside {path} disagrees with the stored documents; repair the index to rebuild it"
    if row != len(ids):
        yield f"the FAISS file at {path} holds {len(ids)} passages, the store {row}; repair the index to rebuild it"


def _listable(store: Store, generation: LocalGeneration, listed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what a FAISS file's listing should be; documents deleted since count as listed correctly."""
    stored = store.documents_after(generation.number, 0)
    gone = [first for _, first, _ in store.deletions_after(generation.snapshot_deletion)]
    rows = np.concatenate([stored[stored[:, 0] <= generation.snapshot_passage], listed[np.isin(listed[:, 0], gone)]])
    return rows[np.argsort(rows[:, 0])]


def _mapping(index: Path, store: Store) -> Iterator[str]:
    """Check the alignment of the generation that is being built, and the embeddings mapped by it."""
    row = store.mapping()
    if row is None:
        return
    path = generations.mapped_path(index, row.generation)
    try:
        alignment = Alignment.load(mappings.alignment_path(index, row.generation), digest=row.digest)
        VectorIndex.load(path, digest=row.snapshot_digest, dim=alignment.dims[1])
    except StoreError:
        if superseded.is_superseded(store, Store.mapping, row):
            return
        yield f"the alignment for {path} or the file itself is damaged; start the instant upgrade again"
        return
    mapped = generations.refreshed(store, index, None, mapping=Mapping(row, alignment)).vectors
    ids, rows = (
        generations.refreshed(store, index, None).vectors.mapped(alignment.apply, alignment.dims[1]).reconstruct()
    )
    found, held = mapped.reconstruct()
    if not np.array_equal(ids, found) or not np.allclose(rows, held, atol=_ROUNDING):
        yield f"the mapped embeddings at {path} disagree with the stored ones; start the instant upgrade again"


def _words(path: Path, store: Store) -> Iterator[str]:
    """Check that the segments can be read, and hold exactly the documents that they cover."""
    for row in word_storage.rows(store):
        try:
            held = segment.load(word_storage.folder(path), row.digest, whole=True)
        except StoreError as error:
            if not superseded.is_superseded(store, partial(_is_counting, row=row), True):
                yield str(error)
            continue
        sql = "SELECT first_passage FROM documents WHERE first_passage > ? AND first_passage <= ?"
        gone = [first for _, first, _ in store.deletions_after(row.deletion)]
        stored = {first for (first,) in store.rows(sql, row.after, row.passage)}
        if set(held.firsts.tolist()) - set(gone) != stored:
            yield f"the words in {word_storage.folder(path)} disagree with the documents; repair the index"


def _is_counting(store: Store, row: SegmentRow) -> bool:
    return row in word_storage.rows(store)
