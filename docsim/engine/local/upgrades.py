"""The instant upgrade: a generation that is being built already answers, over the live one's embeddings.

An adapter is learnt from passages of the live generation. It maps all of that generation's embeddings into the new
encoder's space, once; what is indexed later, each reader maps for itself. Then a row is committed beside the generation
that is built, and from the next query on the new encoder answers. The row counts only while its generation is built
and the embeddings that it was learnt for are live, so publishing ends it in the same transaction. An adapter that
cannot be read is no reason not to answer: the old encoder does.

    generations/0002/adapter/adapter.npz    the map
    generations/0002/adapter/index.faiss    the live embeddings, mapped
    generations/0002/adapter/documents.*    which documents they belong to, see ``snapshot_documents``
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, snapshot_documents, snapshots
from docsim.engine.local.snapshots import Adapted
from docsim.engine.local.store import Generation, Store, StoredAdapter
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import DocsimError, EncoderError
from docsim.ingest import passages

if TYPE_CHECKING:
    from docsim.engine.local.alignment import Adapter

__all__ = ["SAMPLED", "Asking", "Upgrades", "adapter_path", "begin"]

logger = logging.getLogger(__name__)

SAMPLED = 2000
"""Passages, at most, that an adapter is learnt from."""

_TOGETHER = 500  # passages that are encoded together


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask while another encoder answers over the live embeddings.

    Attributes:
        encoder: What encodes queries.
        adapted: What maps the live embeddings into its space.
    """

    encoder: Encoder
    adapted: Adapted


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
        with self._lock:
            if row != self._row:
                self._row, self._asking = row, self._read(row) if row else None
            return self._asking

    def _read(self, row: StoredAdapter) -> Asking | None:
        from docsim.engine.local.alignment import Adapter  # here, because there seldom is one

        try:
            adapter = Adapter.load(adapter_path(self._path, row.generation), digest=row.digest)
            encoder = Encoder.load(snapshots.directory(self._path, row.generation) / "encoder")
        except DocsimError as error:
            logger.error("%s; answering with the live generation's encoder", error)
            return None
        if encoder.fingerprint == row.fingerprint == adapter.target and adapter.dims[1] == encoder.dim:
            return Asking(encoder, Adapted(row, adapter))
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
    return snapshots.adapted_path(index, number).with_name("adapter.npz")


def begin(store: Store, path: Path, live: Generation, new: Generation) -> Adapter | None:
    """Learn an adapter, map the live embeddings, and commit that, so that the new encoder answers from then on.

    Args:
        store: Writable.
        path: The index's directory.
        live: The generation whose embeddings are mapped.
        new: The generation that is being built.

    Returns:
        The adapter; None where it finds no more of the new encoder's neighbours than the live encoder does, or where
        there are too few passages to tell, so that it is not used.

    Raises:
        EncoderError: The new encoder gives something else than unit vectors.
        StoreError: The adapter cannot be written.
    """
    from docsim.engine.local.alignment import LEAST, learnt

    if known := _committed(store, path, new):
        return known
    old, embedded = _sample(store, live, encoders.load(path, new))
    if len(old) < LEAST:
        return None
    adapter = learnt(old, embedded, source=live.fingerprint, target=new.fingerprint)
    if adapter.agreement < adapter.before:
        return None
    _commit(store, path, adapter, live, new)
    return adapter


def _committed(store: Store, path: Path, new: Generation) -> Adapter | None:
    """Return the adapter that was committed before, if all of it can be read."""
    from docsim.engine.local.alignment import Adapter

    row = store.adapter()
    if row is None or row.generation != new.number:
        return None
    try:
        adapter = Adapter.load(adapter_path(path, new.number), digest=row.digest)
        snapshot = snapshots.adapted_path(path, new.number)
        VectorIndex.load(snapshot, digest=row.snapshot_digest, dim=adapter.dims[1])
    except DocsimError as error:
        logger.warning("%s; learning it anew", error)
        return None
    return adapter


def _commit(store: Store, path: Path, adapter: Adapter, live: Generation, new: Generation) -> None:
    """Write an adapter and the live embeddings mapped by it, and then the row that makes them count."""
    with store.reading():
        view = snapshots.refreshed(store, path, None, number=live.number)
    snapshot = snapshots.adapted_path(path, new.number)
    with snapshots.explained(path):
        snapshot.parent.mkdir(exist_ok=True)
        digest = adapter.save(adapter_path(path, new.number))
        written = view.vectors.mapped(adapter.apply, adapter.dims[1]).save(snapshot)
        snapshot_documents.save(snapshot, written, view.documents[view.vectors.holds(view.documents[:, 0])])
    row = (new.number, live.fingerprint, digest, len(adapter.landmarks), written, view.passage, view.deletion)
    with store.writing():
        store.execute("INSERT OR REPLACE INTO adapters VALUES (?, ?, ?, ?, ?, ?, ?)", *row)


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
    from docsim.indexing.build import are_unit

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
