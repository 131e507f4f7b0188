"""Where the documents for training come from: an index, or a folder or file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from docsim.errors import SourceError, TrainingError
from docsim.index import Index
from docsim.ingest import sources
from docsim.models import Document, Entry

__all__ = ["MAX_DOCUMENTS", "documents_of_corpus", "documents_of_index"]

_BATCH = 256  # documents that are read together

MAX_DOCUMENTS = 50_000
"""Of more documents, this many are drawn at random: a training of some hundred steps does not see more."""


def documents_of_index(path: Path, *, seed: int = 0) -> Iterator[Document]:
    """Yield an index's documents in the order in which they were added; of more than 50,000, a random sample.

    Raises:
        StoreError: There is no index, or it is damaged.
    """
    with Index.open(path) as index, index.engine.snapshot() as snapshot:
        numbers = list(snapshot.passage_counts())
        if len(numbers) > MAX_DOCUMENTS:
            drawn = np.random.default_rng(seed).choice(len(numbers), MAX_DOCUMENTS, replace=False)
            numbers = [numbers[position] for position in np.sort(drawn).tolist()]
        for start in range(0, len(numbers), _BATCH):
            for stored in snapshot.documents(numbers[start : start + _BATCH]).values():
                yield stored.document


def documents_of_corpus(argument: str, *, seed: int = 0) -> Iterator[Document]:
    """Yield the readable documents of a folder or file; of more than 50,000, a random sample.

    Raises:
        UsageError: There is no such folder or file.
        TrainingError: No document could be read.
    """
    random = np.random.default_rng(seed)
    kept: list[Document] = []
    for number, document in enumerate(_readable(argument)):
        position = number if number < MAX_DOCUMENTS else int(random.integers(number + 1))  # reservoir sampling
        if position == len(kept):
            kept.append(document)
        elif position < MAX_DOCUMENTS:
            kept[position] = document
    if not kept:
        raise TrainingError(f"expected documents to train on in {argument}; none could be read")
    yield from kept


def _readable(argument: str) -> Iterator[Document]:
    for entry in sources.open_source(argument).entries():
        if isinstance(entry, Document):
            yield entry
        elif isinstance(entry, Entry):
            try:
                yield entry.load()
            except (SourceError, OSError):
                continue  # indexing reports unreadable documents; training does without them
