"""Facts for status reports: the progress of generations, how an index is searched, and its size."""

from __future__ import annotations

from docsim.engine.postgres import files
from docsim.engine.postgres.schema import embeddings_table
from docsim.engine.postgres.store import State, Store
from docsim.engine.records import Generation, GenerationFacts, SearchFacts, Sizes
from docsim.errors import UsageError

__all__ = ["check", "generations", "search", "sizes"]

TYPES = ("auto", "flat")
"""Index types. Both compare every passage."""

RECALL = 0.95


def check(index_type: str | None, recall: float | None) -> None:
    """Check how an index is to be searched.

    Raises:
        UsageError: There is no such index type or recall.
    """
    if index_type is not None and index_type not in TYPES:
        raise UsageError(f"expected {' or '.join(TYPES)} as the type of an index in PostgreSQL, got {index_type!r}")
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"expected a recall above 0 and at most 1, got {recall}")


def generations(store: Store) -> list[GenerationFacts]:
    """Return all generations and their progress, oldest first."""
    state = store.state()
    return [_generation(store, one, state) for one in store.generations()]


def _generation(store: Store, one: Generation, state: State) -> GenerationFacts:
    documents = store.value("SELECT count(*) FROM embedded WHERE generation = %s", one.number)
    size = int(store.value("SELECT pg_total_relation_size(%s::regclass)", embeddings_table(one.number)))
    size += files.size(store, *(f"{kind} {one.number}" for kind in ("encoder", "base", "report")))
    is_mapped = state.mapped is not None and state.mapped.generation == one.number
    return GenerationFacts(one, documents, size, store.verdict(one.number), is_mapped)


def search(store: Store, state: State) -> SearchFacts:
    """Return how the passages of a state are searched."""
    asked = store.setting("index_type") or "auto"
    recall = float(store.setting("recall") or RECALL)
    return SearchFacts(asked, None, recall, 1.0, None, [])


def sizes(store: Store, state: State) -> Sizes:
    """Return the sizes in bytes of all tables, of the words among them, and of the live encoder."""
    sql = (
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid ="
        " c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
    )
    words = files.size(store, "words")
    encoder = files.size(store, f"encoder {state.generation.number}") if state.generation else 0
    return Sizes(database=int(store.value(sql)) - words - encoder, search=words, encoder=encoder)
