"""Mappings: while a generation is built, its encoder already answers queries, over the live embeddings mapped for it.

An alignment maps the live embeddings into the new encoder's space, once. Embeddings of documents that are indexed later
are mapped by the readers. A mapping is used while the database has a row for it, the new generation is being built, and
the embeddings that it was learned from are live, so publishing ends it in the same transaction. When a mapping cannot
be read, the old encoder goes on answering.

    generations/0002/adapter/adapter.npz    the alignment
    generations/0002/adapter/index.faiss    the live embeddings, mapped
    generations/0002/adapter/documents.*    which documents they belong to, see ``faiss_listing``
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, faiss_listing, generations, notices, superseded
from docsim.engine.local.generations import Mapping, View
from docsim.engine.local.store import LocalGeneration, Store, StoredMapping
from docsim.engine.local.vectors import VectorIndex
from docsim.engine.retrying import retried
from docsim.errors import DocsimError

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment

__all__ = ["Mappings", "alignment_path", "commit", "committed"]

logger = logging.getLogger(__name__)


class Mappings:
    """Reads mappings, each once. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Read those of the index at ``path``."""
        self._path = path
        self._lock = threading.Lock()
        self._row: StoredMapping | None = None
        self._mapping: Mapping | None = None

    def read(self, store: Store, row: StoredMapping | None) -> Mapping | None:
        """Return a mapping; None when there is none, or it cannot be read, which is noted.

        Args:
            store: Sees the state that has the mapping.
            row: The mapping.

        Raises:
            IndexChanged: Its files were removed meanwhile, and whoever reads is called again.
        """
        with self._lock:
            if row != self._row:
                mapping = self._read(store, row) if row else None
                self._row, self._mapping = row, mapping
                if row is None:
                    notices.note("mapping")
            return self._mapping

    def _read(self, store: Store, row: StoredMapping) -> Mapping | None:
        from docsim.encoding.alignment import Alignment  # here, because there seldom is one

        try:
            alignment = Alignment.load(alignment_path(self._path, row.generation), digest=row.digest)
            encoder = Encoder.load(encoders.directory(self._path, row.generation) / "encoder")
        except DocsimError as error:
            is_over = superseded.is_superseded(store, Store.mapping, row)
            notices.note("mapping", "" if is_over else f"{error}; answering with the live generation's encoder")
            return None
        if encoder.fingerprint == row.fingerprint == alignment.target and alignment.dims[1] == encoder.dim:
            notices.note("mapping")
            return Mapping(row, alignment, encoder)
        notices.note(
            "mapping",
            f"expected the encoder {row.fingerprint[:12]} for the mapping of generation {row.generation}, found "
            f"{encoder.fingerprint[:12]}; answering with the live generation's encoder",
        )
        return None


def alignment_path(index: Path, number: int) -> Path:
    """Return where the alignment of generation ``number`` is."""
    return generations.mapped_path(index, number).with_name("adapter.npz")


def committed(store: Store, path: Path, number: int | None = None) -> Alignment | None:
    """Return the alignment that counts now, if all of it can be read; of generation ``number`` only, when given."""
    from docsim.encoding.alignment import Alignment

    row = store.mapping()
    if row is None or number not in (None, row.generation):
        return None
    try:
        alignment = Alignment.load(alignment_path(path, row.generation), digest=row.digest)
        file = generations.mapped_path(path, row.generation)
        VectorIndex.load(file, digest=row.snapshot_digest, dim=alignment.dims[1])
    except DocsimError as error:
        logger.warning("%s; learning it again", error)
        return None
    return alignment


def commit(store: Store, path: Path, alignment: Alignment, *, live: LocalGeneration, new: int) -> None:
    """Write an alignment and the live embeddings mapped by it, and then the row that makes them count.

    Raises:
        StoreError: They cannot be written.
    """
    view = _view(store, path, live.number)
    file = generations.mapped_path(path, new)
    with encoders.explained(path):
        file.parent.mkdir(exist_ok=True)
        digest = alignment.save(alignment_path(path, new))
        written = view.vectors.mapped(alignment.apply, alignment.dims[1]).save(file)
        faiss_listing.save(file, written, view.documents[view.vectors.holds(view.documents[:, 0])])
    row = {
        "generation": new,
        "source": live.fingerprint,
        "digest": digest,
        "passages": len(alignment.landmarks),
        "snapshot_digest": written,
        "snapshot_passage": view.passage,
        "snapshot_deletion": view.deletion,
    }
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    with store.writing():
        store.execute(f"INSERT OR REPLACE INTO adapters ({columns}) VALUES ({marks})", *row.values())


@retried
def _view(store: Store, path: Path, number: int) -> View:
    """Return the embeddings of a generation, whose FAISS file its writer may be writing."""
    with store.reading():
        return generations.refreshed(store, path, None, number=number)
