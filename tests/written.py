"""Writing into a database without an encoder: documents of some passages, all of the same embedding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import Embedded, SourceName
from docsim.models import Document, Passage

__all__ = ["DIM", "embedded", "first_passage", "opened", "put"]

DIM = 4
"""Components of the embeddings."""


@contextmanager
def opened(path: Path) -> Iterator[LocalWriter]:
    """Open a new database with a live generation, 1, and a source, 1."""
    store = LocalWriter(path, writable=True)
    with store.writing():
        store.add_generation(fingerprint="f" * 64, encoder="tiny", dim=DIM, state="live")
        assert store.open_source(None, SourceName("python", "p", "p")) == 1
    yield store
    store.close()


def embedded(id: str, text: str = "some text", passages: int = 1) -> Embedded:
    """Return a document and its embeddings."""
    vectors = np.tile(np.eye(DIM, dtype=np.float16)[:1], (passages, 1))
    return Embedded(Document(id, text, title=id), tuple(Passage(i, i + 1) for i in range(passages)), vectors)


def put(store: LocalWriter, id: str, text: str = "some text", *, passages: int = 1, number: int | None = None) -> int:
    """Write a document that the source holds under its id; return its number."""
    with store.writing():
        number = store.put(embedded(id, text, passages), number=number)
        store.link(1, id, document_number=number, digest=text)
    return number


def first_passage(store: LocalWriter, number: int) -> int:
    """Return the number of a document's first passage."""
    return int(store.value("SELECT first_passage FROM documents WHERE number = ?", number))
