"""The engine of many machines: an index is a schema of a PostgreSQL database, read and written from anywhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docsim.encoding.encoder import Encoder
from docsim.engine.postgres import encoders, files, locks
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.connections import Connections, connect, explained
from docsim.engine.postgres.origins import Origins
from docsim.engine.postgres.snapshot import Known, PostgresSnapshot
from docsim.engine.postgres.store import State, Store, read_state, state_sql
from docsim.engine.records import Generation, GenerationFacts, SearchFacts, Sizes, Soundness
from docsim.errors import StoreError

if TYPE_CHECKING:
    from docsim.engine.postgres.rebuilder import PostgresRebuilder
    from docsim.engine.postgres.writer import PostgresWriter

__all__ = ["PostgresEngine"]

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresEngine:
    """A ``docsim.engine.base.Engine``. Reading is safe from several threads.

    Attributes:
        location: Where the index is.
        pinned: The generation that was asked for; None for the one that is live when a snapshot is taken.
    """

    def __init__(self, location: Address, folder: Path, *, generation: int | None = None) -> None:
        """Open an index.

        Args:
            location: Where it is.
            folder: The folder of this machine for what belongs to it and is not in the database.
            generation: Number of the generation to read, whatever its state; the live one when not given.

        Raises:
            StoreError: The server cannot be reached, or there is no index.
        """
        self.location = location
        self.pinned = generation
        self._folder = folder
        self._connections = Connections(location)
        self._known: tuple[tuple[Any, ...], Known] | None = None
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()
        self._seen = 0  # the last revision that was answered from: no answer is older
        with self.reading():
            pass

    @property
    def address(self) -> str:
        """The index's address, which has no password."""
        return str(self.location)

    @property
    def folder(self) -> Path:
        """The folder of this machine for what belongs to the index and is not in the database."""
        return self._folder

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._connections.close()

    def at(self, generation: int) -> PostgresEngine:
        """Open the same index again, to read one generation, whatever its state."""
        return PostgresEngine(self.location, self._folder, generation=generation)

    # Reading

    @contextmanager
    def reading(self) -> Iterator[tuple[Store, State]]:
        """See one committed state for the length of the block, never one older than this engine has seen."""
        statements = f"{_BEGIN}; {state_sql(self.pinned)}"
        with self._connections.begun(statements) as (connection, rows):
            state = read_state(rows[0])
            if state.revision >= self._seen:
                self._seen = max(self._seen, state.revision)
                yield Store(connection), state
                return
        with self._connections.begun(statements, primary=True) as (connection, rows):  # a replica lags behind
            state = read_state(rows[0])
            self._seen = max(self._seen, state.revision)
            yield Store(connection), state

    def generation(self) -> Generation:
        """Return the live generation, or the one that the index was opened for.

        Raises:
            StoreError: The index was never finished, or there is no such generation.
        """
        with self.reading() as (_, state):
            return self._generation_of(state)

    def _generation_of(self, state: State) -> Generation:
        if state.generation is not None:
            return state.generation
        if self.pinned:
            raise StoreError(f"the index at {self.location} has no generation {self.pinned}", hint="docsim generations")
        raise unfinished(self.location)

    def prepare(self) -> None:
        """Load the encoder."""
        with self.snapshot(encoder=True):
            pass

    @contextmanager
    def snapshot(self, *, encoder: bool = False) -> Iterator[PostgresSnapshot]:
        """See one committed state for the length of the block.

        Args:
            encoder: Whether the state's encoder is needed, which is then known to be there.

        Raises:
            StoreError: The index was never finished, or the server cannot be reached.
            EncoderError: The encoder is needed, and missing or damaged.
        """
        with self.reading() as (store, state):
            generation = self._generation_of(state)
            opened = PostgresSnapshot(
                store, state, generation, self._known_of(state, generation), lambda: self._encoder_of(store, state)
            )
            if encoder:
                _ = opened.encoder
            yield opened

    def _known_of(self, state: State, generation: Generation) -> Known:
        key = (state.revision, generation.number, state.mapped)
        with self._lock:
            if self._known is None or self._known[0] != key:
                before = self._known[1] if self._known else None
                self._known = key, Known(earlier_words=(before.words or before.earlier_words) if before else None)
            return self._known[1]

    def _encoder_of(self, store: Store, state: State) -> Encoder:
        """Return the encoder of a state; the one that was loaded, where it is that."""
        generation = self._generation_of(state)
        if state.mapped is not None:
            building = store.generation(state.mapped.generation)
            generation = building if building is not None else generation
        encoder = self._encoder
        if encoder is None or encoder.fingerprint != generation.fingerprint:
            encoder = self._encoder = encoders.load(store, generation, self.location)
        return encoder

    @property
    def encoder(self) -> Encoder:
        """The generation's encoder, loaded when first asked for.

        Raises:
            FingerprintMismatch: The encoder kept in the index is not the one that made its embeddings.
            EncoderError: It is missing or damaged.
        """
        with self.reading() as (store, state):
            generation = self._generation_of(state)
            encoder = self._encoder
            if encoder is None or encoder.fingerprint != generation.fingerprint:
                encoder = self._encoder = encoders.load(store, generation, self.location)
            return encoder

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows that ``sql`` selects, as of the last commit."""
        with self._connections.begun("SELECT 1") as (connection, _):
            return Store(connection).rows(sql, *parameters)

    def sources(self) -> Origins:
        """Return what is known about sources, as of the last commit."""
        return Origins(self)

    # Writing

    @contextmanager
    def writer(self, *, wait: bool) -> Iterator[PostgresWriter]:
        """Be the one writer.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
            StoreError: The server cannot be reached, or cannot be written to.
        """
        from docsim.engine.postgres import writer  # here, because searching does without

        with writer.opened(self.location, wait=wait) as opened:
            try:
                yield opened
            finally:
                self._seen = max(self._seen, opened.revision)

    @contextmanager
    def rebuilder(self, *, wait: bool) -> Iterator[PostgresRebuilder]:
        """Be the one process that changes generations; a writer may write meanwhile.

        Raises:
            IndexLocked: Another process is re-indexing and ``wait`` is off.
        """
        from docsim.engine.postgres import rebuilder  # here, because searching does without

        with rebuilder.opened(self.location, self._folder, wait=wait) as opened:
            try:
                yield opened
            finally:
                self._seen = max(self._seen, opened.revision)

    @contextmanager
    def training(self, *, wait: bool) -> Iterator[None]:
        """Be the one process that trains an encoder for the index.

        Raises:
            IndexLocked: Another process is training and ``wait`` is off.
        """
        with locks.locked(self.location, locks.TRAIN, wait=wait):
            yield

    def is_rebuilding(self) -> bool:
        """Return whether a process is changing generations now."""
        with self._connections.begun("SELECT 1", primary=self._has_replicas) as (connection, _):
            return locks.is_held(connection, self.location, locks.REBUILD)

    @property
    def _has_replicas(self) -> bool:
        return "target_session_attrs" in self.location.server

    # Files that belong to the index

    def encoder_directory(self, number: int) -> Path:
        """Return a folder of the cache that holds the encoder of a generation."""
        with self.reading() as (store, _):
            return encoders.directory(store, self._numbered(store, number))

    def base_directory(self, number: int) -> Path:
        """Return a folder that holds what the encoder of a generation was trained from: itself, if it was not."""
        with self.reading() as (store, _):
            return encoders.base(store, self._numbered(store, number))

    def _numbered(self, store: Store, number: int) -> Generation:
        found = store.generation(number)
        if found is None:
            raise StoreError(f"the index at {self.location} has no generation {number}", hint="docsim generations")
        return found

    def report_directory(self, number: int) -> Path:
        """Return the folder where the report about a generation goes, as it is kept in the database."""
        place = report_folder(self._folder, number)
        with self.reading() as (store, _):
            fetch_report(store, number, place)
        return place

    def workspace(self) -> Path:
        """Return the folder to train in; it may be removed when nobody is training."""
        return self._folder / "adapting"

    def note(self, key: str) -> str | None:
        """Return a small text that was kept under a name, or None."""
        with self.reading() as (store, _):
            return store.note(key)

    def keep_note(self, key: str, text: str) -> None:
        """Keep a small text under a name; it changes no answer."""
        with explained(self.location), connect(self.location, writing=True) as connection:
            Store(connection).keep_note(key, text)

    def notes(self) -> dict[str, str]:
        """Return all small texts by their names."""
        with self.reading() as (store, _):
            return store.notes()

    # Looking after it

    def generations(self) -> list[GenerationFacts]:
        """Return all generations and how far they have come, oldest first."""
        from docsim.engine.postgres import facts  # here, because searching does without

        with self.reading() as (store, _):
            return facts.generations(store)

    def search_facts(self) -> SearchFacts:
        """Return how passages are searched."""
        from docsim.engine.postgres import facts

        with self.reading() as (store, state):
            return facts.search(store, state)

    def sizes(self) -> Sizes:
        """Return how many bytes the index takes."""
        from docsim.engine.postgres import facts

        with self.reading() as (store, state):
            return facts.sizes(store, state)

    def soundness(self) -> Soundness:
        """Check the stored embeddings of the generation that is searched."""
        from docsim.engine.postgres import checks

        with self.reading() as (store, state):
            return checks.soundness(store, self._generation_of(state))

    def problems(self) -> list[str]:
        """Return what is wrong with how the index is kept, a sentence each."""
        from docsim.engine.postgres import checks

        with self.reading() as (store, state):
            return checks.problems(store, state)

    def repair(self, *, index_type: str | None = None, recall: float | None = None, wait: bool = False) -> list[str]:
        """Rebuild what can be rebuilt from what is stored: see ``repairs.repair``."""
        from docsim.engine.postgres import repairs

        return repairs.repair(self.location, index_type=index_type, recall=recall, wait=wait)


def unfinished(location: Address) -> StoreError:
    """Return the error for an index that has no live generation."""
    return StoreError(
        f"the index at {location} was never finished; index its sources again",
        hint=f"docsim index FOLDER --index '{location}'",
    )


def report_folder(folder: Path, number: int) -> Path:
    """Return the folder of the report about a generation on this machine."""
    return folder / "generations" / f"{number:04}" / "report"


def fetch_report(store: Store, number: int, place: Path) -> None:
    """Fetch the report about a generation, unless this machine has it already."""
    kept = files.checksum(store, f"report {number}")
    mark = place.with_name("report.sha256")
    if kept is None or (mark.is_file() and place.is_dir() and mark.read_text(encoding="ascii") == kept):
        return
    if files.fetch_directory(store, f"report {number}", place):
        mark.write_text(kept, encoding="ascii")
