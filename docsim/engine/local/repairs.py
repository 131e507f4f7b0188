"""Repairs: rebuild everything that can be rebuilt from the stored rows."""

from __future__ import annotations

from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann_tuning, checks, document_checks, encoders, locks, writer
from docsim.engine.local.database import unfinished
from docsim.engine.local.store import LocalGeneration
from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import StoredDocument
from docsim.engine.stored_documents import embedded_again, is_sound
from docsim.errors import StoreError

__all__ = ["repair"]


def repair(path: Path, *, index_type: str | None, recall: float | None, wait: bool) -> list[str]:
    """Rebuild damaged embeddings, the words and the FAISS file of the live generation.

    Args:
        path: The index's directory.
        index_type: The index type to use from now on, see ``Index.create``; None keeps it.
        recall: The recall to tune for from now on, see ``Index.create``; None keeps it.
        wait: Wait for other processes that are writing.

    Returns:
        The ids of the documents that cannot be rebuilt: they are not what their source held, and stay damaged until it
        is indexed again.

    Raises:
        UsageError: There is no such index type, or the recall is out of range.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    ann_tuning.check(index_type, recall)
    with locks.rebuilding(path, wait=wait), writer.opened(path, wait=wait) as store:
        store.configure(index_type, recall)
        live = store.generation()
        if live is None:
            raise unfinished(path)
        unreadable = [number for number, stored in document_checks.each(store) if stored is None]
        wrong = {*unreadable, *checks.damaged(store, live), *document_checks.badly_split(store)}
        _embed_again(store, encoders.load(path, live) if wrong else None, sorted(wrong))
        lost = [number for number, stored in document_checks.each(store) if not is_sound(stored)]
        with store.writing():
            for number in [*lost, *document_checks.dangling(store), *store.disputed()]:
                store.distrust(number)
        for other in store.generations():
            if other.state != "live" and any(checks.of_generation(path, store, other)):
                _forget_damaged(store, other)
        store.optimize(force=True)
        return [document_checks.id_of(store, number) for number in lost]


def _embed_again(store: LocalWriter, encoder: Encoder | None, numbers: list[int]) -> None:
    """Split and encode what is stored of some documents; their digests stay, so that damaged text is still seen."""
    lines = document_checks.repeated_lines(store)
    for number in numbers:
        stored = _readable(store, number)
        if stored is None or encoder is None:
            continue
        made = embedded_again(encoder, stored, lines)
        with store.writing():
            store.put(made, number=number, digest=stored.digest)


def _readable(store: LocalWriter, number: int) -> StoredDocument | None:
    try:
        return store.document(number)
    except StoreError:
        return store.salvaged(number)


def _forget_damaged(store: LocalWriter, generation: LocalGeneration) -> None:
    """Remove the damaged embeddings of a generation that is not live; they are made again if it is needed."""
    with store.writing(visible=False):
        for number in checks.damaged(store, generation):
            store.execute("DELETE FROM embeddings WHERE document = ? AND generation = ?", number, generation.number)
        sql = "UPDATE generations SET snapshot_digest = NULL, snapshot_passage = 0, snapshot_deletion = 0"
        store.execute(f"{sql} WHERE number = ?", generation.number)
