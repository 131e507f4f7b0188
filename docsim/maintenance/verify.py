"""Verification: find everything that is wrong with an index, and mend what can be mended from its own rows."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local import ann, ann_tuning, encoders, snapshot_documents, snapshots, upgrades
from docsim.engine.local.alignment import Adapter
from docsim.engine.local.locks import rebuilder, writer
from docsim.engine.local.snapshots import Adapted
from docsim.engine.local.store import Embedded, Generation, Store
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import DocsimError, StoreError
from docsim.index import Index
from docsim.indexing.build import are_unit
from docsim.ingest import passages

__all__ = ["damaged", "problems", "repair", "warnings"]

_LISTED = 20
_ROUNDING = 2e-3  # of embeddings that were mapped at two times

_ORPHANS = {
    "passages of no document": "passages WHERE document NOT IN (SELECT number FROM documents)",
    "embeddings of no document": "embeddings WHERE document NOT IN (SELECT number FROM documents)",
    "embeddings of no generation": "embeddings WHERE generation NOT IN (SELECT number FROM generations)",
    "origins of no document": "origins WHERE document NOT IN (SELECT number FROM documents)",
    "documents of no source": "documents WHERE number NOT IN (SELECT document FROM origins)",
    "documents whose passages do not match their count": (
        "documents d WHERE d.passages <> (SELECT count(*) FROM passages p WHERE p.document = d.number"
        " AND p.number BETWEEN d.first_passage AND d.first_passage + d.passages - 1)"
    ),
    "documents whose passages reach beyond their text": (  # length() reads all of a text, so once a document
        'documents d WHERE (SELECT max(p."end") FROM passages p WHERE p.document = d.number) > length(d.text)'
        ' OR EXISTS (SELECT 1 FROM passages p WHERE p.document = d.number AND (p.start < 0 OR p."end" < p.start))'
    ),
    "deleted passages that are still there": (
        "passages p JOIN deletions x ON p.number BETWEEN x.first_passage AND x.first_passage + x.passages - 1"
    ),
}


def problems(index: Index) -> list[str]:
    """Return what is wrong with ``index``, a sentence each; empty when it is sound."""
    store = index.store
    try:
        with store.reading():
            index.generation()
            found = [*_database(store), *_orphans(store), *_documents(store)]
            for generation in store.generations():
                found += _generation(store, index, generation)
            if not damaged(store, index.generation()):
                found += _adapter(store, index)
    except StoreError as error:
        return [str(error)]
    return [*found, *_full_text(index)]


def warnings(index: Index) -> list[str]:
    """Return what does not make answers wrong but should be seen to, a sentence each."""
    store = index.store
    with store.reading():
        known = ann.written(snapshots.directory(index.path, index.generation().number))
        return ann_tuning.doubts(known, store.value("SELECT count(*) FROM passages"))


def repair(index: Index, *, wait: bool = False, index_type: str | None = None, recall: float | None = None) -> None:
    """Rebuild from the stored rows what can be: damaged embeddings, the full-text index, the FAISS snapshot.

    Args:
        index: What to mend.
        wait: Wait for another process that is writing.
        index_type: Search with this index type from now on, see ``Index.create``.
        recall: Tune it to this recall.

    Raises:
        UsageError: There is no such index type or recall.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    ann_tuning.check(index_type, recall)
    with rebuilder(index.path, wait=wait), writer(index.path, wait=wait) as store:
        ann_tuning.choose(store, index_type, recall)
        generation = index.generation()
        for number in damaged(store, generation):
            _re_encode(store, index, generation, number)
        for other in store.generations():
            if other.state != "live" and any(_generation(store, index, other)):
                _forget_damaged(store, other)
        with store.writing():
            store.execute("INSERT INTO documents_fts (documents_fts) VALUES ('rebuild')")
        snapshots.snapshot(store, index.path, force=True)


def _database(store: Store) -> Iterator[str]:
    for (message,) in store.rows("PRAGMA integrity_check(20)"):
        if message != "ok":
            yield f"SQLite: {message}"
    for row in store.rows("PRAGMA foreign_key_check")[:_LISTED]:
        yield f"a row of {row[0]} refers to a row of {row[2]} that is not there"


def _orphans(store: Store) -> Iterator[str]:
    for name, rows in _ORPHANS.items():
        if count := store.value(f"SELECT count(*) FROM {rows}"):
            yield f"{count} {name}"


def _documents(store: Store) -> Iterator[str]:
    """Check every text against its digest."""
    for (number,) in store.rows("SELECT number FROM documents"):
        stored = store.document(number)
        if stored and stored.document.digest() != stored.digest:
            yield f"the text of {stored.document.id} is not what was stored"


def _generation(store: Store, index: Index, generation: Generation) -> Iterator[str]:
    """Check a generation's embeddings, snapshot and encoder."""
    where = "" if generation.state == "live" else f" in generation {generation.number}"
    wrong = damaged(store, generation)
    for number in wrong:
        id = store.value("SELECT id FROM documents WHERE number = ?", number)
        yield f"the embeddings of {id}{where} are missing or damaged"
    if not wrong:
        yield from _snapshot(store, index, generation)
    if damage := ann.damage(snapshots.directory(index.path, generation.number)):
        yield damage
    yield from _encoder(index, generation)


def damaged(store: Store, generation: Generation) -> list[int]:
    """Return the documents whose embeddings are of another shape, altered, not finite or not of unit norm.

    Those without embeddings are among them if the generation is live; others may lack documents.
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


def _snapshot(store: Store, index: Index, generation: Generation) -> Iterator[str]:
    """Check the snapshot, and that with what came after it, it holds just the stored embeddings."""
    if generation.snapshot_digest is None:
        return
    path = snapshots.snapshot_path(index.path, generation)
    try:
        VectorIndex.load(path, digest=generation.snapshot_digest, dim=generation.dim)
    except StoreError as error:
        yield str(error)
        return
    ids, rows = snapshots.refreshed(store, index.path, None, number=generation.number).vectors.reconstruct()
    at = 0
    for first, vectors in store.vectors_after(generation.number, 0):
        here = slice(at, at + len(vectors))
        if not np.array_equal(ids[here], np.arange(first, first + len(vectors))) or not np.array_equal(
            rows[here], vectors
        ):
            yield f"the FAISS snapshot at {path} disagrees with the stored embeddings; mend it with: docsim repair"
            return
        at += len(vectors)
    listed = snapshot_documents.load(path, generation.snapshot_digest)
    if len(listed) and not np.array_equal(listed, _listable(store, generation, listed)):
        yield f"the listing beside {path} disagrees with the stored documents; mend it with: docsim repair"
    if at != len(ids):
        yield f"the FAISS snapshot at {path} holds {len(ids)} passages, the store {at}; mend it with: docsim repair"


def _listable(store: Store, generation: Generation, listed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what a snapshot's listing should be, as far as its documents were not deleted since."""
    stored = store.documents_after(generation.number, 0)
    gone = [first for _, first, _ in store.deletions_after(generation.snapshot_deletion)]
    rows = np.concatenate([stored[stored[:, 0] <= generation.snapshot_passage], listed[np.isin(listed[:, 0], gone)]])
    return rows[np.argsort(rows[:, 0])]


def _encoder(index: Index, generation: Generation) -> Iterator[str]:
    try:
        encoders.load(index.path, generation)
    except DocsimError as error:
        yield str(error)


def _adapter(store: Store, index: Index) -> Iterator[str]:
    """Check the adapter through which a generation that is being built answers, and the embeddings mapped by it."""
    row = store.adapter()
    if row is None:
        return
    path = snapshots.adapted_path(index.path, row.generation)
    try:
        adapter = Adapter.load(upgrades.adapter_path(index.path, row.generation), digest=row.digest)
        VectorIndex.load(path, digest=row.snapshot_digest, dim=adapter.dims[1])
    except StoreError:
        yield f"the adapter beside {path}, or what it mapped, is damaged; run again: docsim reindex --adapter"
        return
    mapped = snapshots.refreshed(store, index.path, None, adapted=Adapted(row, adapter)).vectors
    ids, rows = (
        snapshots.refreshed(store, index.path, None).vectors.mapped(adapter.apply, adapter.dims[1]).reconstruct()
    )
    found, held = mapped.reconstruct()
    if not np.array_equal(ids, found) or not np.allclose(rows, held, atol=_ROUNDING):
        yield f"the mapped embeddings at {path} disagree with the stored ones; run again: docsim reindex --adapter"


def _full_text(index: Index) -> Iterator[str]:
    """Compare the full-text index with the documents; FTS5 does this only through a connection that may write."""
    try:
        connection = sqlite3.connect(index.store.path, isolation_level=None, timeout=30)
    except sqlite3.Error:
        return
    try:
        connection.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY")):
            return  # a folder that cannot be written to, or one that is being written to for long
        yield "the full-text index disagrees with the documents; mend it with: docsim repair"
    finally:
        connection.close()


def _re_encode(store: Store, index: Index, generation: Generation, number: int) -> None:
    stored = store.document(number)
    assert stored is not None
    spans = passages.split(stored.document.text)
    vectors = index.encoder.encode(passages.inputs(stored.document, spans)).astype(np.float16)
    with store.writing():
        embedded = Embedded(stored.document, tuple(spans), vectors)
        store.put(embedded, number=number, digest=stored.digest, generation=generation.number)


def _forget_damaged(store: Store, generation: Generation) -> None:
    """Remove what is wrong with a generation that is not live; it is embedded anew when the generation is needed."""
    with store.writing(visible=False):
        for number in damaged(store, generation):
            store.execute("DELETE FROM embeddings WHERE document = ? AND generation = ?", number, generation.number)
        sql = "UPDATE generations SET snapshot_digest = NULL, snapshot_passage = 0, snapshot_deletion = 0"
        store.execute(f"{sql} WHERE number = ?", generation.number)
