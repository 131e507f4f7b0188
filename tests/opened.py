"""Looking into an open index: what tests of the local engine see that users of ``Index`` do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot
from docsim.engine.local import generations, writer
from docsim.engine.local.engine import LocalEngine
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.records import QueryTerm
from docsim.index import Index

__all__ = [
    "embeddings_of",
    "engine_of",
    "faiss_file",
    "generation_of",
    "ids_of",
    "snapshot_of",
    "store_of",
    "terms_of",
    "texts_of",
    "write_faiss_file",
]


def engine_of(index: Index) -> LocalEngine:
    """Return the engine of an index on this machine."""
    assert isinstance(index.engine, LocalEngine)
    return index.engine


def store_of(index: Index) -> Store:
    """Return the open database of an index."""
    return engine_of(index).store


def generation_of(index: Index) -> LocalGeneration:
    """Return the live generation as the database has it."""
    return engine_of(index).generation()


def faiss_file(index: Index) -> Path:
    """Return where the FAISS file of the live generation is."""
    return generations.faiss_path(index.path, generation_of(index))


def write_faiss_file(path: Path) -> None:
    """Write the FAISS file of the live generation now, which a small index would do without."""
    with writer.opened(path, wait=False) as opened:
        opened.optimize(force=True)


@contextmanager
def snapshot_of(index: Index) -> Iterator[Snapshot]:
    """See one committed state of an index for the length of the block."""
    with index.engine.snapshot() as snapshot:
        yield snapshot


def texts_of(index: Index) -> dict[str, str]:
    """Return the texts of all documents by id."""
    with index.engine.snapshot() as snapshot:
        return {one.document.id: one.document.text for one in snapshot.scan()}


def ids_of(index: Index) -> set[str]:
    """Return the ids of all documents."""
    return set(texts_of(index))


def embeddings_of(index: Index, id: str, *, generation: int | None = None) -> NDArray[np.float16]:
    """Return the embeddings of a document in a generation, the live one when not given."""
    number = np.array([index.document(id).number], np.int64)
    with index.at(generation or index.generation().number) as opened, opened.engine.snapshot() as snapshot:
        return snapshot.embeddings(number)[0].copy()


def terms_of(terms: Sequence[QueryTerm]) -> list[str]:
    """Return terms as they are read: the words of each, with blanks between."""
    return [" ".join(term.words) for term in terms]
