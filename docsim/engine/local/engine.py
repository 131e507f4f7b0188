"""The engine of one machine: an index is a directory, read by any number of processes and written by one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from docsim import threads
from docsim.encoding.encoder import Encoder
from docsim.engine.local import encoders, generations, locks, notices
from docsim.engine.local.database import OlderFormat, State, unfinished
from docsim.engine.local.generations import View
from docsim.engine.local.mappings import Mappings
from docsim.engine.local.open_generation import OpenGeneration
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.records import GenerationFacts, SearchFacts, Sizes, Soundness
from docsim.engine.retrying import retrying
from docsim.errors import EncoderError, IndexChanged, StoreError

if TYPE_CHECKING:
    from docsim.engine.local.rebuilder import LocalRebuilder
    from docsim.engine.local.writer import LocalWriter

__all__ = ["LocalEngine"]

_LOOKS = 5
"""How often a state is given up because others replaced its files while they were opened."""


class LocalEngine:
    """A ``docsim.engine.base.Engine``. Reading is safe from several threads.

    Another process's commit is seen by the next snapshot.

    Attributes:
        path: The index's directory.
        pinned: The generation that was asked for; None for the one that is live when a snapshot is taken.
        store: The open database, for reading.
    """

    def __init__(self, path: Path, *, generation: int | None = None) -> None:
        """Open an index; one that an older docsim made is upgraded first.

        Args:
            path: The index's directory.
            generation: Number of the generation to read, whatever its state; the live one when not given.

        Raises:
            IndexLocked: It has to be upgraded, and another process is writing to it.
            StoreError: There is no index at ``path``, it is damaged, or it has to be upgraded in a folder that cannot
                be written to.
        """
        self.path = path
        self.pinned = generation
        self.store = _opened_store(path)
        self._view: View | None = None
        self._state: State | None = None  # of the database file when the view was made, where that matters
        self._encoder: Encoder | None = None
        self._mappings = Mappings(path)
        self._lock = threading.Lock()
        self._notices: notices.Notices = {}

    @property
    def address(self) -> str:
        """The index's directory."""
        return str(self.path)

    @property
    def folder(self) -> Path:
        """The index's directory."""
        return self.path

    def close(self) -> None:
        """Close the database; safe to call twice."""
        self.store.close()
        self._view = None

    def at(self, generation: int) -> LocalEngine:
        """Open the same index again, to read one generation, whatever its state."""
        return LocalEngine(self.path, generation=generation)

    def generation(self) -> LocalGeneration:
        """Return the live generation, or the one that the index was opened for.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        generation = self.store.generation(self.pinned)
        if generation is None and self.pinned:
            raise StoreError(
                f"the index at {self.path} has no generation {self.pinned}",
                hint="docsim generations",
            )
        if generation is None:
            raise unfinished(self.path)
        return generation

    # Snapshots

    @contextmanager
    def snapshot(self, *, encoder: bool = False) -> Iterator[OpenGeneration]:
        """See one committed state for the length of the block.

        Args:
            encoder: Whether the state's encoder is needed, which is then known to be there.

        Raises:
            StoreError: The index was never finished, or is damaged.
            EncoderError: The encoder is needed, and missing or damaged.
        """
        for look in itertools.count(1):
            failure = None
            with self.store.reading():
                opened = self._opened(is_last=look >= _LOOKS)
                if opened is not None:
                    failure = _encoder_failure(opened) if encoder else None
                    if failure is None:
                        yield opened
                        return
            if failure is not None and opened is not None and self.store.revision() == opened.revision:
                raise failure  # else another generation went live meanwhile, and this one's encoder was removed

    def prepare(self) -> None:
        """Read the vectors while the encoder is loaded: both take about as long, and the first search needs both."""
        if self._view is not None:
            return

        def read() -> None:
            with suppress(Exception), self.snapshot():  # whoever needs them meets the error again
                pass

        thread = threads.start(read, name="docsim-prepare")
        try:
            self._load_encoder()
        finally:
            thread.join()

    def _opened(self, *, is_last: bool) -> OpenGeneration | None:
        """Return the state that the transaction sees; None when it should be given up for a later one.

        Another thread has seen a later one, or, unless ``is_last``, files were replaced while they were opened.
        """
        revision = self.store.revision()
        with self._lock:
            if self._state != self.store.state:
                self._view = None  # what was found out before may belong to no state at all
            if self._view is not None and self._view.revision > revision:
                return None  # answers must not go back in time
            try:
                with retrying(again=not is_last):
                    view = self._refreshed(revision)
            except IndexChanged:
                if is_last:
                    raise
                return None
            self.store.check_unchanged()
            self._view, self._state = view, self.store.state
        return OpenGeneration(self.store, view, lambda: self._encoder_of(view), self._notices)

    def _refreshed(self, revision: int) -> View:
        """Return a view of the state that is seen; the last one, when nothing was written since."""
        view = self._view
        if view is not None and view.revision == revision:
            return view
        with notices.into(self._notices):
            mapping = self._mappings.read(self.store, None if self.pinned else self.store.mapping())
            return generations.refreshed(self.store, self.path, view, number=self.pinned, mapping=mapping)

    def _encoder_of(self, view: View) -> Encoder:
        """Return the encoder of a state; the one that was loaded, where it is that."""
        encoder = view.mapping.encoder if view.mapping else self._encoder
        if encoder is not None and encoder.fingerprint == view.fingerprint:
            return encoder
        return self.encoder

    def _load_encoder(self) -> None:
        """Load the encoder that answers now."""
        row = None if self.pinned else self.store.mapping()
        with notices.into(self._notices):
            if row is None or self._mappings.read(self.store, row) is None:  # no mapping is not one that ended
                _ = self.encoder

    @property
    def encoder(self) -> Encoder:
        """The generation's encoder, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one that made its embeddings.
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
                    raise  # else another generation went live meanwhile, and this one was removed
        return encoder

    # Writing

    def sources(self) -> Store:
        """Return what is known about sources, as of the last commit."""
        return self.store

    def writer(self, *, wait: bool) -> AbstractContextManager[LocalWriter]:
        """Be the one writer.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
            DocsimError: The folder cannot be written to.
        """
        from docsim.engine.local import writer  # here, because searching does without

        return writer.opened(self.path, wait=wait)

    def rebuilder(self, *, wait: bool) -> AbstractContextManager[LocalRebuilder]:
        """Be the one process that changes generations; a writer may write meanwhile.

        Raises:
            IndexLocked: Another process is re-indexing and ``wait`` is off.
        """
        from docsim.engine.local import rebuilder  # here, because searching does without

        return rebuilder.opened(self.path, wait=wait)

    def training(self, *, wait: bool) -> AbstractContextManager[None]:
        """Be the one process that trains an encoder for the index.

        Raises:
            IndexLocked: Another process is training and ``wait`` is off.
        """
        return locks.training(self.path, wait=wait)

    def is_rebuilding(self) -> bool:
        """Return whether a process is changing generations now."""
        return locks.is_rebuilding(self.path)

    # Files that belong to the index

    def encoder_directory(self, number: int) -> Path:
        """Return the directory that holds the encoder of a generation."""
        return encoders.directory(self.path, number) / "encoder"

    def base_directory(self, number: int) -> Path:
        """Return the directory that holds what the encoder of a generation was trained from: itself, if it was not."""
        return encoders.base(self.path, number)

    def report_directory(self, number: int) -> Path:
        """Return the directory where the report about a generation goes."""
        return encoders.directory(self.path, number) / "report"

    def workspace(self) -> Path:
        """Return the directory to train in; it may be removed when nobody is training."""
        return self.path / "adapting"

    def note(self, key: str) -> str | None:
        """Return a small text that was kept under a name, or None."""
        found = self.store.value("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found)

    def keep_note(self, key: str, text: str) -> None:
        """Keep a small text under a name; it changes no answer."""
        store = Store(self.path, writable=True)
        try:
            with store.writing(visible=False):
                store.set_meta(key, text)
        finally:
            store.close()

    def notes(self) -> dict[str, str]:
        """Return all small texts by their names."""
        own = ("revision", "forgotten", "index_type", "recall")
        return {key: str(value) for key, value in self.store.rows("SELECT key, value FROM meta") if key not in own}

    # Looking after it

    def generations(self) -> list[GenerationFacts]:
        """Return all generations and how far they have come, oldest first."""
        from docsim.engine.local import facts  # here, because searching does not need it

        return facts.generations(self.path, self.store)

    def search_facts(self) -> SearchFacts:
        """Return how passages are searched."""
        from docsim.engine.local import facts  # here, because searching does not need it

        return facts.search(self.path, self.store, self.generation())

    def sizes(self) -> Sizes:
        """Return how many bytes the index takes."""
        from docsim.engine.local import facts  # here, because searching does not need it

        return facts.sizes(self.path, self.generation())

    def soundness(self) -> Soundness:
        """Check the stored embeddings of the generation that is searched."""
        from docsim.engine.local import checks  # here, because searching does without

        return checks.soundness(self.store, self.generation())

    def problems(self) -> list[str]:
        """Return what is wrong with how the index is kept, a sentence each."""
        from docsim.engine.local import checks

        return checks.problems(self.path, self.store)

    def repair(self, *, index_type: str | None = None, recall: float | None = None, wait: bool = False) -> list[str]:
        """Rebuild what can be rebuilt from what is stored: see ``repairs.repair``."""
        from docsim.engine.local import repairs

        return repairs.repair(self.path, index_type=index_type, recall=recall, wait=wait)


def _opened_store(path: Path) -> Store:
    """Open the database for reading, and upgrade it first if an older docsim wrote it."""
    try:
        return Store(path, writable=False)
    except OlderFormat:
        from docsim.engine.local import upgrading  # here, because it is needed once

        return upgrading.upgraded(path)


def _encoder_failure(opened: OpenGeneration) -> EncoderError | None:
    """Load the encoder of a state; return why it cannot be loaded, or None."""
    try:
        _ = opened.encoder
    except EncoderError as error:
        return error
    return None
