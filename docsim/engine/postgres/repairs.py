"""Repairs: rebuild everything that can be rebuilt from the stored rows."""

from __future__ import annotations

from docsim.engine.postgres import approximate, checks, encoders, locks, writer
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.engine import unfinished
from docsim.engine.postgres.schema import embeddings_table
from docsim.engine.postgres.store import Store
from docsim.engine.postgres.writer import PostgresWriter
from docsim.engine.records import Generation, StoredDocument
from docsim.engine.stored_documents import embedded_again, is_sound

__all__ = ["repair"]


def repair(address: Address, *, index_type: str | None, recall: float | None, wait: bool) -> list[str]:
    """Rebuild damaged embeddings, passages, counts and words.

    Args:
        address: The index.
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
    approximate.check(index_type, recall)
    with locks.locked(address, locks.REBUILD, wait=wait), writer.opened(address, wait=wait) as opened:
        opened.configure(index_type, recall)
        store = opened.store
        live = store.generation()
        if live is None:
            raise unfinished(address)
        _embed_again(opened, live)
        lost = [one for one in checks.each(store) if isinstance(one, int) or not is_sound(one)]
        numbers = [one if isinstance(one, int) else one.number for one in lost]
        with opened.transaction():
            for number in [*numbers, *checks.dangling(store), *opened.disputed()]:
                opened.distrust(number)
            _remove_orphans(store)
            for other in store.generations():
                if other.state != "live":
                    _forget(store, other, checks.damaged(store, other))
        _count_again(store)
        opened.optimize(force=True)
        return [one.document.id if isinstance(one, StoredDocument) else f"document number {one}" for one in lost]


def _embed_again(opened: PostgresWriter, live: Generation) -> None:
    """Split and encode what is stored of some documents; their digests stay, so that damaged text is still seen."""
    store = opened.store
    wrong = sorted({*checks.damaged(store, live), *checks.badly_split(store)})
    if not wrong:
        return
    encoder, lines = encoders.load(store, live, opened.address), store.repeated_lines()
    for number in wrong:
        stored = opened.document(number)
        if stored is None:
            continue
        made = embedded_again(encoder, stored, lines)
        with opened.transaction():
            opened.put(made, number=number, digest=stored.digest)


def _remove_orphans(store: Store) -> None:
    """Remove what belongs to documents that are not there."""
    for table in ("texts", "embedded", *store.vector_tables()):
        store.execute(f"DELETE FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM documents WHERE number = t.document)")


def _forget(store: Store, generation: Generation, numbers: list[int]) -> None:
    """Remove the damaged embeddings of a generation that is not live; they are made again if it is needed."""
    if numbers:
        store.execute("DELETE FROM embedded WHERE generation = %s AND document = ANY(%s)", generation.number, numbers)
        store.execute(f"DELETE FROM {embeddings_table(generation.number)} WHERE document = ANY(%s)", numbers)


def _count_again(store: Store) -> None:
    store.execute(
        "UPDATE state SET documents = c.documents, passages = c.passages, revision = revision + 1"
        " FROM (SELECT count(*) AS documents, coalesce(sum(passages), 0) AS passages FROM documents) AS c"
    )
