"""Repairs: rebuild everything that can be rebuilt from the stored rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docsim.encoding.documents import encode_passages
from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann_tuning, checks, encoders, locks, snapshots, writer
from docsim.engine.local.store import LocalGeneration
from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import DISTRUSTED, Embedded
from docsim.ingest import passages

__all__ = ["repair"]


def repair(path: Path, *, index_type: str | None, recall: float | None, wait: bool) -> None:
    """Rebuild damaged embeddings, the full-text index and the FAISS snapshot of the live generation.

    Args:
        path: The index's directory.
        index_type: The index type to use from now on, see ``Index.create``; None keeps it.
        recall: The recall to tune for from now on, see ``Index.create``; None keeps it.
        wait: Wait for other processes that are writing.

    Raises:
        UsageError: There is no such index type, or the recall is out of range.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    ann_tuning.check(index_type, recall)
    with locks.rebuilding(path, wait=wait), writer.opened(path, wait=wait) as store:
        store.configure(index_type, recall)
        live = store.generation()
        if live is None:
            raise snapshots.unfinished(path)
        _embed_damaged(store, path, live)
        _distrust_damaged(store)
        for other in store.generations():
            if other.state != "live" and any(checks.of_generation(path, store, other)):
                _forget_damaged(store, other)
        with store.writing():
            store.execute("INSERT INTO documents_fts (documents_fts) VALUES ('rebuild')")
        store.optimize(force=True)


def _embed_damaged(store: LocalWriter, path: Path, live: LocalGeneration) -> None:
    """Embed the documents again whose embeddings are missing or damaged."""
    wrong = checks.damaged(store, live)
    encoder = encoders.load(path, live) if wrong else None
    for number in wrong:
        assert encoder is not None
        _embed(store, encoder, number)


def _embed(store: LocalWriter, encoder: Encoder, number: int) -> None:
    stored = store.documents([number])[number]
    spans = tuple(passages.split(stored.document.text))
    rows = encode_passages(encoder, [(stored.document, spans)])[0].astype(np.float16)
    with store.writing():
        store.put(Embedded(stored.document, spans, rows), number=number, digest=stored.digest)


def _distrust_damaged(store: LocalWriter) -> None:
    """Mark documents that are damaged and cannot be rebuilt, so that the next sync of their sources replaces them.

    Until then, searches return these documents as they are, and verification reports them.
    """
    damaged = [stored.number for stored in store.scan() if stored.document.digest() != stored.digest]
    wrong = [*damaged, *store.disputed()]
    if wrong:
        with store.writing(visible=False):
            for number in wrong:
                store.execute("UPDATE origins SET digest = ? WHERE document = ?", DISTRUSTED, number)


def _forget_damaged(store: LocalWriter, generation: LocalGeneration) -> None:
    """Remove the damaged embeddings of a generation that is not live; they are made again if it is needed."""
    with store.writing(visible=False):
        for number in checks.damaged(store, generation):
            store.execute("DELETE FROM embeddings WHERE document = ? AND generation = ?", number, generation.number)
        sql = "UPDATE generations SET snapshot_digest = NULL, snapshot_passage = 0, snapshot_deletion = 0"
        store.execute(f"{sql} WHERE number = ?", generation.number)
