"""The reader: an open index as those see it who search it, one committed state at a time.

It knows the live generation, or the one it was opened for, what encodes its queries, and the vectors of the state that
was seen last; another process's commit is seen at the next query.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, snapshots
from docsim.engine.local.snapshots import View
from docsim.engine.local.store import Generation, Store, StoredAdapter
from docsim.engine.local.upgrades import Upgrades
from docsim.errors import EncoderError, StoreError
from docsim.models import Document, SearchResult
from docsim.search import searcher
from docsim.search.searcher import Query, Request

__all__ = ["Reader"]


class Reader:
    """Reads one index. Safe to use from several threads.

    Attributes:
        path: The index's directory.
        pinned: The generation it was opened for; the live one when None.
        store: The open database.
    """

    def __init__(self, path: Path, *, generation: int | None = None) -> None:
        """Open an index.

        Args:
            path: The index's directory.
            generation: Number of the generation to read, whatever its state; the one that is live when a query comes,
                when not given.

        Raises:
            StoreError: There is no index at ``path``, or it is damaged.
        """
        self.path = path
        self.pinned = generation
        self.store = Store(path, writable=False)
        self._view: View | None = None
        self._encoder: Encoder | None = None
        self._upgrades = Upgrades(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self.store.close()
        self._view = None

    def generation(self) -> Generation:
        """Return the live generation, or the one that the index was opened with.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        generation = self.store.generation(self.pinned)
        if generation is None and self.pinned:
            raise StoreError(f"the index at {self.path} has no generation {self.pinned}; see: docsim generations")
        if generation is None:
            raise StoreError(
                f"the index at {self.path} was never finished; finish it with: docsim index SOURCE --index {self.path}"
            )
        return generation

    @property
    def encoder(self) -> Encoder:
        """The live generation's encoder, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one its embeddings were made with.
            EncoderError: It is missing or damaged.
        """
        generation = self.generation()
        encoder = self._encoder
        while encoder is None or encoder.fingerprint != generation.fingerprint:
            try:
                encoder = self._encoder = encoders.load(self.path, generation)
            except EncoderError:
                before, generation = generation, self.generation()
                if before.number == generation.number:
                    raise  # else another one went live meanwhile, and the one before was removed
        return encoder

    def answer(
        self,
        documents: Sequence[Document],
        names: Sequence[str],
        request: Request,
        *,
        started: float,
        exclude: int | None = None,
    ) -> list[SearchResult]:
        """Encode the documents as indexed ones are, and search."""
        warming = self._warm() if self._view is None else None
        try:
            self.asked()
        finally:
            if warming:
                warming.join()
        with self.asking() as (encoder, view):
            vectors = searcher.encoded(encoder, documents)
            queries = [Query(*each, exclude) for each in zip(names, documents, vectors, strict=True)]
            return searcher.answers(self.store, view, queries, request, encoder_of=self.encoder_of, started=started)

    @contextmanager
    def asking(self) -> Iterator[tuple[Encoder, View]]:
        """See one committed state, its vectors, and the encoder that queries are encoded with in that state.

        Raises:
            EncoderError: The encoder is missing or damaged.
        """
        while True:
            encoder = self.asked()
            with self.reading() as view:
                if view.fingerprint == encoder.fingerprint:
                    yield encoder, view
                    return

    def asked(self) -> Encoder:
        """Return what encodes queries, as of the state that was seen last: the live generation's encoder, or a new one.

        Raises:
            EncoderError: It is missing or damaged.
        """
        view = self._view
        return self._encoder_of(self._adapter()) if view is None else self.encoder_of(view)

    def encoder_of(self, view: View) -> Encoder:
        """Return what encodes queries of a view, when called inside its ``reading()``.

        Raises:
            EncoderError: It is missing or damaged.
        """
        return self._encoder_of(view.adapted.row if view.adapted else None)

    def _encoder_of(self, row: StoredAdapter | None) -> Encoder:
        asking = self._upgrades.asking(row)
        return asking.encoder if asking else self.encoder

    def _adapter(self) -> StoredAdapter | None:
        return None if self.pinned else self.store.adapter()

    def _warm(self) -> threading.Thread:
        """Begin to read the vectors, which takes as long as loading the encoder: a first query needs both."""

        def read() -> None:
            with suppress(Exception), self.reading():  # whoever needs them meets the error again
                pass

        thread = threading.Thread(target=read, name="docsim-warm")
        thread.start()
        return thread

    @contextmanager
    def reading(self) -> Iterator[View]:
        """See one committed state, and the vectors of just that state."""
        while True:
            with self.store.reading():
                revision = self.store.revision()
                with self._lock:
                    if self._view is None or self._view.revision <= revision:
                        view = self._view = self._refreshed(revision)
                    else:
                        continue  # another thread saw a later state in between: see that one too
                yield view
                return

    def _refreshed(self, revision: int) -> View:
        """Return a view of the state that is seen, which is the one seen last when nothing was written since."""
        view = self._view
        if view is not None and view.revision == revision:
            return view
        asking = self._upgrades.asking(self._adapter())
        adapted = asking.adapted if asking else None
        return snapshots.refreshed(self.store, self.path, view, number=self.pinned, adapted=adapted)
