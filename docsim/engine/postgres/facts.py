"""Facts for status reports: the progress of generations, how an index is searched, and its size."""

from __future__ import annotations

from docsim.engine.postgres import approximate, files
from docsim.engine.postgres.schema import embeddings_table
from docsim.engine.postgres.store import State, Store
from docsim.engine.records import Generation, GenerationFacts, SearchFacts, Sizes

__all__ = ["generations", "search", "sizes"]


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
    recall = float(store.setting("recall") or approximate.RECALL)
    known = approximate.built(store, state.generation.number) if state.generation else None
    if known is None:
        return SearchFacts(asked, None, recall, 1.0, None, [])
    doubts = []
    if known.recall < recall:
        doubts.append(f"approximate search finds {known.recall:.1%} of the nearest passages, not {recall:.1%}")
    if abs(state.passages - known.passages) > approximate.GROWTH * known.passages:
        doubts.append(f"approximate search was tuned for {known.passages} passages, now there are {state.passages}")
    return SearchFacts(asked, f"hnsw, ef {known.ef}", recall, known.recall, known.passages, doubts)


def sizes(store: Store, state: State) -> Sizes:
    """Return the sizes in bytes of all tables, of the words among them, and of the live encoder."""
    sql = (
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid ="
        " c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
    )
    words = files.size(store, "words")
    encoder = files.size(store, f"encoder {state.generation.number}") if state.generation else 0
    return Sizes(database=int(store.value(sql)) - words - encoder, search=words, encoder=encoder)
