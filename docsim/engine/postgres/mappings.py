"""Mappings: while a generation is built, its encoder already answers queries, over the live embeddings mapped for it.

An alignment maps the live embeddings into the new encoder's space, once, into a table of their own; writers map what
they add later. A mapping counts while its generation is being built and the embeddings that it was learned from are
live, so publishing ends it in the same transaction.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
from pathlib import Path

import numpy as np

from docsim.encoding.alignment import Alignment
from docsim.engine.postgres import files, vectors
from docsim.engine.postgres.schema import embeddings_table, mapped_table, vectors_table
from docsim.engine.postgres.store import Store
from docsim.engine.records import Generation
from docsim.errors import DocsimError

__all__ = ["commit", "committed", "counting", "forget"]

logger = logging.getLogger(__name__)

_FILE = "adapter.npz"
_DOCUMENTS = 2_000  # mapped at a time

_COUNTING = (
    "SELECT m.generation, m.digest FROM mappings m"
    " JOIN generations new ON new.number = m.generation AND new.state = 'building'"
    " JOIN generations old ON old.fingerprint = m.source AND old.state = 'live'"
)


def counting(store: Store) -> tuple[int, Alignment] | None:
    """Return the generation that the live embeddings are mapped for now, and what maps them; None when they are not.

    Raises:
        StoreError: The alignment cannot be read.
    """
    rows = store.rows(_COUNTING)
    return (rows[0][0], _read(store, *rows[0])) if rows else None


def _read(store: Store, number: int, digest: str) -> Alignment:
    target = files.cache("alignments") / f"{digest}.npz"
    with files.explained(target):
        if not target.is_file():
            files.fetch(store, f"alignment {number}", _FILE, target)
    return Alignment.load(target, digest=digest)


def committed(store: Store, number: int) -> Alignment | None:
    """Return the alignment that counts now for a generation, if it can be read and every document is mapped."""
    rows = [row for row in store.rows(_COUNTING) if row[0] == number]
    if not rows:
        return None
    try:
        found = _read(store, *rows[0])
    except DocsimError as error:
        logger.warning("%s; learning it again", error)
        return None
    return found


def commit(store: Store, alignment: Alignment, *, live: Generation, new: int) -> None:
    """Keep an alignment and the live embeddings mapped by it, in the transaction that is open.

    Nobody adds documents until its end, so that none is left out.
    """
    table, old = mapped_table(new), embeddings_table(live.number)
    forget(store, new)
    store.execute("LOCK TABLE documents IN SHARE MODE")
    store.execute(vectors_table(table, alignment.dims[1]))
    numbers = [number for (number,) in store.rows("SELECT DISTINCT document FROM " + old + " ORDER BY 1")]
    for start in range(0, len(numbers), _DOCUMENTS):
        some = np.array(numbers[start : start + _DOCUMENTS], np.int64)
        owners, rows = vectors.fetched(store, old, some, dim=live.dim)
        passages = store.rows(
            f"SELECT passage FROM {old} WHERE document = ANY(%s::bigint[]) ORDER BY document, passage", some.tolist()
        )
        mapped = alignment.apply(rows)
        found = zip(owners.tolist(), itertools.chain.from_iterable(passages), mapped, strict=True)
        vectors.load(store, table, [(owner, passage, row[None]) for owner, passage, row in found])
    with tempfile.TemporaryDirectory() as temporary:
        digest = alignment.save(Path(temporary, _FILE))
        files.keep(store, f"alignment {new}", Path(temporary, _FILE))
    store.execute(
        "INSERT INTO mappings (generation, source, digest, passages, dim) VALUES (%s, %s, %s, %s, %s)",
        new,
        live.fingerprint,
        digest,
        len(alignment.landmarks),
        alignment.dims[1],
    )


def forget(store: Store, number: int) -> bool:
    """Forget the mapping for a generation, in the transaction that is open; return whether there was one."""
    store.execute(f"DROP TABLE IF EXISTS {mapped_table(number)}")
    files.delete(store, f"alignment {number}")
    return store.execute("DELETE FROM mappings WHERE generation = %s", number) > 0
