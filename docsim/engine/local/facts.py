"""Facts for status reports: the progress of generations, how an index is searched, and its size on disk."""

from __future__ import annotations

from pathlib import Path

from docsim.engine.local import ann_files, ann_tuning, encoders, word_storage
from docsim.engine.local.database import FILE
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.records import GenerationFacts, SearchFacts, Sizes

__all__ = ["generations", "search", "sizes"]


def generations(path: Path, store: Store) -> list[GenerationFacts]:
    """Return all generations and their progress, oldest first, as of one committed state."""
    with store.reading():
        mapping = store.mapping()
        return [
            _generation(path, store, one, is_mapped=mapping is not None and mapping.generation == one.number)
            for one in store.generations()
        ]


def _generation(path: Path, store: Store, one: LocalGeneration, *, is_mapped: bool) -> GenerationFacts:
    sql = "SELECT count(*), coalesce(sum(length(vectors)), 0) FROM embeddings WHERE generation = ?"
    documents, size = store.rows(sql, one.number)[0]
    files = sum(map(_size, encoders.directory(path, one.number).rglob("*")))
    return GenerationFacts(one, documents, size + files, store.verdict(one.number), is_mapped)


def search(path: Path, store: Store, generation: LocalGeneration) -> SearchFacts:
    """Return how the passages of a generation are searched."""
    asked = ann_tuning.settings(store)
    known = ann_files.written(encoders.directory(path, generation.number))
    doubts = ann_tuning.doubts(known, store.counts().passages)
    if known is None or not known.factory:
        return SearchFacts(asked.kind, None, asked.recall, 1.0, None, doubts)
    return SearchFacts(asked.kind, known.factory, asked.recall, known.recall, known.passages, doubts)


def sizes(path: Path, generation: LocalGeneration) -> Sizes:
    """Return the sizes in bytes of the database, of the live FAISS file and the words, and of the live encoder."""
    folder = encoders.directory(path, generation.number)
    derived = [*folder.glob("*.faiss"), *word_storage.folder(path).glob("*")]
    return Sizes(
        database=sum(map(_size, path.glob(f"{FILE}*"))),
        search=sum(map(_size, derived)),
        encoder=sum(map(_size, (folder / "encoder").glob("*"))),
    )


def _size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if a writer has just removed it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
