"""The instant upgrade: a generation that is being built already answers, over the live one's embeddings.

An adapter is learnt from passages of the live generation and committed as a row beside the generation that is built.
From then on queries are encoded by the new encoder and mapped to the old one's space. The row counts only while its
generation is built and the embeddings that it was learnt for are live, so publishing ends it in the same transaction.
An adapter that cannot be read is no reason not to answer: the old encoder does.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim import generations, kept, passages, searching
from docsim.encoder import Encoder
from docsim.errors import DocsimError, EncoderError
from docsim.generations import View
from docsim.records import Document, SearchResult
from docsim.store import Generation, Store, StoredAdapter

if TYPE_CHECKING:
    from docsim.adapter import Adapter

__all__ = ["SAMPLED", "Asking", "Upgrades", "adapter_path", "begin"]

logger = logging.getLogger(__name__)

SAMPLED = 2000
"""Passages, at most, that an adapter is learnt from."""

_TOGETHER = 500  # passages that are encoded together


@dataclass(frozen=True, slots=True)
class Asking:
    """What encodes queries for one committed state.

    Attributes:
        encoder: It.
        row: The adapter of that state; None when there is none.
        adapter: The same, read; None when there is none, or when it cannot be read.
    """

    encoder: Encoder
    row: StoredAdapter | None = None
    adapter: Adapter | None = None

    def encoded(self, documents: Sequence[Document]) -> list[NDArray[np.float32]]:
        """Return each document's passages in the space of the live embeddings, ``float32 (passages, dim)``."""
        vectors = searching.encoded(self.encoder, documents)
        return vectors if self.adapter is None else [self.adapter.apply(rows) for rows in vectors]

    def fits(self, view: View) -> bool:
        """Return whether that is how a view is to be asked."""
        mapped = self.adapter is not None
        return view.adapter == self.row and (mapped or view.generation.fingerprint == self.encoder.fingerprint)

    def named(self, results: list[SearchResult]) -> list[SearchResult]:
        """Return results that say what encoded their query."""
        if self.adapter is None:
            return results
        return [replace(one, encoder=self.encoder.fingerprint, adapter=True) for one in results]


class Upgrades:
    """Reads adapters, each once. Safe from several threads."""

    def __init__(self, path: Path) -> None:
        """Read those of the index at ``path``."""
        self._path = path
        self._lock = threading.Lock()
        self._row: StoredAdapter | None = None
        self._asking: Asking | None = None

    def asking(self, row: StoredAdapter | None) -> Asking | None:
        """Return how to ask through an adapter; None when there is none, or it cannot be read, which is logged."""
        if row is None:
            return None
        with self._lock:
            if row != self._row:
                self._row, self._asking = row, self._read(row)
            return self._asking

    def _read(self, row: StoredAdapter) -> Asking | None:
        from docsim.adapter import Adapter  # here, because there seldom is one

        try:
            adapter = Adapter.load(adapter_path(self._path, row.generation), digest=row.digest)
            encoder = Encoder.load(generations.directory(self._path, row.generation) / "encoder")
        except DocsimError as error:
            logger.error("%s; answering with the live generation's encoder", error)
            return None
        if encoder.fingerprint == row.fingerprint == adapter.source and len(adapter.matrix) == encoder.dim:
            return Asking(encoder, row, adapter)
        logger.error(
            "expected the encoder %s for the adapter of generation %d, found %s; answering with the live "
            "generation's encoder",
            row.fingerprint[:12],
            row.generation,
            encoder.fingerprint[:12],
        )
        return None


def adapter_path(index: Path, number: int) -> Path:
    """Return where the adapter of generation ``number`` is."""
    return generations.directory(index, number) / "adapter.npz"


def begin(store: Store, path: Path, live: Generation, new: Generation) -> Adapter | None:
    """Learn an adapter and commit it, so that the new encoder answers from the next query on.

    Args:
        store: Writable.
        path: The index's directory.
        live: The generation whose embeddings are searched.
        new: The generation that is being built.

    Returns:
        The adapter; None where it finds no more of the new encoder's neighbours than the live encoder does, or where
        there are too few passages to tell, so that it is not used.

    Raises:
        EncoderError: The new encoder gives something else than unit vectors.
        StoreError: The adapter cannot be written.
    """
    from docsim.adapter import Adapter, learnt

    rows = store.adapter()
    if rows and rows.generation == new.number:
        try:
            return Adapter.load(adapter_path(path, new.number), digest=rows.digest)
        except DocsimError as error:
            logger.warning("%s; learning it anew", error)
    old, embedded = _sample(store, live, kept.load(path, new))
    if len(old) < 2:
        return None
    adapter = learnt(embedded, old, source=new.fingerprint, target=live.fingerprint)
    if adapter.agreement < adapter.before:
        return None
    with store.writing(), generations.explained(path):
        digest = adapter.save(adapter_path(path, new.number))
        sql = "INSERT OR REPLACE INTO adapters (generation, target, digest, passages) VALUES (?, ?, ?, ?)"
        store.execute(sql, new.number, live.fingerprint, digest, len(old))
    return adapter


def _sample(store: Store, live: Generation, encoder: Encoder) -> list[NDArray[np.float32]]:
    """Return the live embeddings of some passages, and the encoder's of the same, ``float32 (passages, dim)`` each."""
    old: list[NDArray[np.float32]] = []
    new: list[NDArray[np.float32]] = []
    texts: list[str] = []
    for number, places in _chosen(store).items():
        vectors, said = _read(store, live, number, places)
        old.append(vectors)
        texts += said
        if len(texts) >= _TOGETHER:
            new.append(encoder.encode(texts))
            texts = []
    new.append(encoder.encode(texts))
    rows = np.concatenate(new)
    from docsim.building import are_unit

    if not are_unit(rows):
        raise EncoderError(
            f"expected unit vectors of the encoder {encoder.name} (fingerprint {encoder.fingerprint[:12]}), got "
            "others, NaN perhaps. Train it anew, and forget this one with: docsim reindex --abort"
        )
    return [np.concatenate([np.zeros((0, live.dim), np.float32), *old]), rows]


def _read(store: Store, live: Generation, number: int, places: Sequence[int]) -> tuple[NDArray[np.float32], list[str]]:
    """Return the live embeddings of a document's passages at some places, and their texts; none if it was removed."""
    with store.reading():
        stored = store.document(number)
        if stored is None:
            return np.zeros((0, live.dim), np.float32), []
        spans = store.passages(number)
        vectors = store.vectors(live.number, [number])[number]
    here = [place for place in places if place < len(spans)]
    return vectors[here].astype(np.float32), passages.inputs(stored.document, [spans[place] for place in here])


def _chosen(store: Store, *, seed: int = 0) -> dict[int, list[int]]:
    """Choose passages, each as likely as any: the places of some in each document, by the document's number."""
    rows = store.rows("SELECT number, passages FROM documents ORDER BY number")
    ends = np.cumsum([count for _, count in rows], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    chosen: dict[int, list[int]] = defaultdict(list)
    drawn = np.random.default_rng(seed).choice(total, min(SAMPLED, total), replace=False)
    for passage, row in zip(drawn.tolist(), np.searchsorted(ends, drawn, side="right").tolist(), strict=True):
        number, count = rows[row]
        chosen[number].append(passage - (int(ends[row]) - count))
    return dict(chosen)
