"""Generations: beginning and removing them, in the transaction that is open."""

from __future__ import annotations

from collections.abc import Sequence

from docsim.encoding.encoder import Encoder
from docsim.engine.postgres import encoders, files, mappings
from docsim.engine.postgres.schema import embeddings_table, vectors_table
from docsim.engine.postgres.store import Store, now

__all__ = ["begin", "remove"]


def begin(store: Store, encoder: Encoder, *, state: str, base: Encoder | None = None) -> int:
    """Begin a generation without embeddings, and keep its encoder.

    Args:
        store: In a transaction.
        encoder: The encoder of the generation.
        state: ``live`` for the first generation of a new index, else ``building``.
        base: The encoder that ``encoder`` was fine-tuned from, if any; a copy of it is kept too.

    Returns:
        The number of the generation.
    """
    sql = (
        "INSERT INTO generations (state, fingerprint, encoder, dim, created, published, base)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING number"
    )
    published = now() if state == "live" else None
    number = int(
        store.value(
            sql, state, encoder.fingerprint, encoder.name, encoder.dim, now(), published, base and base.fingerprint
        )
    )
    store.execute(vectors_table(embeddings_table(number), encoder.dim))
    encoders.keep(store, f"encoder {number}", encoder)
    if base is not None:
        encoders.keep(store, f"base {number}", base)
    return number


def remove(store: Store, numbers: Sequence[int]) -> int:
    """Remove generations that are not live; return how many bytes they took."""
    freed = 0
    for number in numbers:
        owners = [f"{kind} {number}" for kind in ("encoder", "base", "report", "alignment")]
        if store.value("SELECT state FROM generations WHERE number = %s", number) in (None, "live"):
            continue
        freed += int(store.value("SELECT pg_total_relation_size(%s::regclass)", embeddings_table(number)))
        freed += files.size(store, *owners)
        mappings.forget(store, number)
        files.delete(store, *owners)
        store.execute(f"DROP TABLE {embeddings_table(number)}")
        store.execute("DELETE FROM generations WHERE number = %s", number)
        store.execute("DELETE FROM meta WHERE key = %s", f"approximate {number}")
    return freed
