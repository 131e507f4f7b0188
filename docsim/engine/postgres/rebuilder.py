"""The rebuilder of an index in PostgreSQL: fills, publishes and removes generations; each change is one transaction."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from docsim.engine.postgres import approximate, encoders, files, generations, locks, mappings, vectors
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.connections import Connection, Connections, explained
from docsim.engine.postgres.engine import report_folder, unfinished
from docsim.engine.postgres.schema import embeddings_table
from docsim.engine.postgres.store import Store, now
from docsim.engine.records import Embeddings, Generation, RecordedVerdict, Unembedded
from docsim.errors import StoreError
from docsim.models import Document, Passage

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment
    from docsim.encoding.encoder import Encoder

__all__ = ["PostgresRebuilder", "opened"]

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@contextmanager
def opened(address: Address, folder: Path, *, wait: bool) -> Iterator[PostgresRebuilder]:
    """Be the one process that changes the generations of an index.

    Raises:
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        StoreError: The server cannot be reached, or cannot be written to.
    """
    with locks.locked(address, locks.REBUILD, wait=wait) as connection:
        rebuilder = PostgresRebuilder(address, folder, connection)
        try:
            yield rebuilder
        finally:
            rebuilder.close()


class PostgresRebuilder:
    """A ``docsim.engine.base.Rebuilder``. Whoever has one holds the rebuilder's lock."""

    def __init__(self, address: Address, folder: Path, connection: Connection) -> None:
        """Change generations by a connection that holds the rebuilder's lock.

        Args:
            address: The index.
            folder: The folder of this machine for reports.
            connection: Holds the lock, and writes.
        """
        self._address, self._folder, self._connection = address, folder, connection
        self._store = Store(connection)
        self.revision = 0  # of the last commit that changed answers
        self._connections = Connections(address, writing=True)  # for what is read while something is written

    def close(self) -> None:
        """Close what reads; safe to call twice."""
        self._connections.close()

    @contextmanager
    def _changing(self, *, visible: bool = False) -> Iterator[Store]:
        """Make the block one transaction; the revision grows if it changes answers."""
        with explained(self._address):
            self._store.execute("BEGIN")
            try:
                yield self._store
                if visible:
                    self.revision = self._store.value("UPDATE state SET revision = revision + 1 RETURNING revision")
                self._store.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.Error):
                    self._store.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        with self._connections.begun(_BEGIN) as (connection, _):
            yield Store(connection)

    def live(self) -> Generation:
        """Return the live generation.

        Raises:
            StoreError: The index was never finished.
        """
        with self._reading() as store:
            live = store.generation()
        if live is None:
            raise unfinished(self._address)
        return live

    def generations(self, state: str | None = None) -> Sequence[Generation]:
        """Return the generations, or those in one state, oldest first."""
        with self._reading() as store:
            return store.generations(state)

    # Encoders

    def encoder(self, generation: Generation) -> Encoder:
        """Return the encoder of a generation.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """
        with self._reading() as store:
            return encoders.load(store, generation, self._address)

    def check_encoder(self, generation: Generation) -> None:
        """Check the files of a generation's encoder without loading it.

        Raises:
            EncoderError: It is missing, damaged or another one.
        """
        with self._reading() as store:
            encoders.check(store, generation, self._address)

    def restore_encoder(self, generation: Generation, encoder: Encoder) -> None:
        """Put an encoder with the right fingerprint in the place of a damaged one."""
        with self._changing() as store:
            encoders.restore(store, generation, encoder, self._address)

    # Building

    def begin(self, encoder: Encoder, *, base: Encoder | None = None) -> Generation:
        """Add a generation without embeddings, and keep its encoder, and what that was trained from."""
        with self._changing() as store:
            number = generations.begin(store, encoder, state="building", base=base)
            begun = store.generation(number)
        assert begun is not None
        return begun

    def resume(self, number: int) -> None:
        """Let a retired generation be built again, from what it has."""
        self._set_state(number, "building")

    def _set_state(self, number: int, state: str) -> None:
        with self._changing() as store:
            store.execute("UPDATE generations SET state = %s WHERE number = %s", state, number)

    def missing(self, number: int) -> int:
        """Return how many documents have no embeddings in a generation."""
        with self._reading() as store:
            return len(store.lacking(number))

    @contextmanager
    def unembedded(self, number: int, *, after: int = 0) -> Iterator[Iterator[Unembedded]]:
        """Read the documents above number ``after`` that a generation lacks, in order, from one committed state."""
        with self._reading() as store, closing(_unembedded(store, number, after)) as found:
            yield found

    def embed(self, number: int, embedded: Sequence[tuple[Unembedded, Embeddings]]) -> None:
        """Add embeddings to a generation in one transaction, but for documents that have changed since.

        Their rows are held until the commit, so that a writer that changes one of them removes these embeddings, too.
        """
        sql = "SELECT number, first_passage FROM documents WHERE number = ANY(%s::bigint[]) ORDER BY number FOR SHARE"
        with self._changing() as store:
            versions = dict(store.rows(sql, [one.number for one, _ in embedded]))
            found = [(one, rows) for one, rows in embedded if versions.get(one.number) == one.version]
            store.execute(
                "DELETE FROM embedded WHERE generation = %s AND document = ANY(%s)",
                number,
                [one.number for one, _ in found],
            )
            table = embeddings_table(number)
            store.execute(f"DELETE FROM {table} WHERE document = ANY(%s)", [one.number for one, _ in found])
            store.copy(
                "COPY embedded FROM STDIN", [(number, one.number, vectors.checksum(rows)) for one, rows in found]
            )
            vectors.load(store, table, [(one.number, one.version, rows) for one, rows in found])

    def optimize(self, number: int) -> None:
        """Let the server count what a generation holds, and build its approximate index where one is wanted."""
        with explained(self._address):
            self._store.execute(f"ANALYZE {embeddings_table(number)}")
            if generation := self._store.generation(number):
                encoder = functools.partial(encoders.load, self._store, generation, self._address)
                approximate.refresh(self._store, number, encoder, dim=generation.dim)

    def settle(self) -> None:
        """Do nothing: publishing leaves nothing undone."""

    # Publishing

    def record(self, number: int, verdict: RecordedVerdict) -> None:
        """Keep what was found about a generation, and the report about it."""
        summary = json.dumps({"metrics": verdict.metrics, "source": verdict.questions, "sound": verdict.sound})
        sql = (
            "INSERT INTO verdicts (generation, checked, passed, summary) VALUES (%s, %s, %s, %s) ON CONFLICT"
            " (generation) DO UPDATE SET (checked, passed, summary) = (excluded.checked, excluded.passed,"
            " excluded.summary)"
        )
        report = report_folder(self._folder, number)
        with self._changing() as store:
            store.execute(sql, number, now(), verdict.passed, summary)
            if report.is_dir():
                files.keep_directory(store, f"report {number}", report)

    def publish(self, number: int, catch_up: Callable[[], int]) -> int:
        """Make a generation the live one in one transaction; the one that was live is kept as ``retired``.

        Args:
            number: The generation.
            catch_up: Embeds what was written meanwhile, while no writer can write; returns how many documents that was.

        Returns:
            What ``catch_up`` returned, 0 where nothing was missing.

        Raises:
            StoreError: The generation lacks a document, so that it cannot answer.
        """
        with locks.locked(self._address, locks.WRITE, wait=True):
            embedded = catch_up() if self.missing(number) else 0
            with self._changing(visible=True) as store:
                if missing := store.lacking(number, limit=1):
                    raise StoreError(
                        f"expected every document in generation {number}, found none of document number {missing[0]}",
                        hint=f"docsim rollback --to {number} brings it up to date first",
                    )
                mappings.forget(store, number)
                store.execute("UPDATE generations SET state = 'retired' WHERE state = 'live'")
                moment = now("microseconds")  # so that their order tells which was live before
                store.execute("UPDATE generations SET state = 'live', published = %s WHERE number = %s", moment, number)
        return embedded

    def drop(self, number: int) -> bool:
        """Give up building a generation; return whether it is kept, because it was live before."""
        self.unmap(number)
        with self._reading() as store:
            generation = store.generation(number)
        if generation is not None and generation.published is not None:
            self._set_state(number, "retired")
            return True
        with self._changing() as store:
            generations.remove(store, [number])
        return False

    def remove(self, numbers: Iterable[int], *, wait: bool = False) -> int:
        """Remove generations that are not live, and give their room back; return how many bytes were freed.

        Raises:
            IndexLocked: Another process is writing and ``wait`` is off.
        """
        with locks.locked(self._address, locks.WRITE, wait=wait), self._changing() as store:
            return generations.remove(store, list(numbers))

    # Mapping the live embeddings

    def map_live(self, number: int, alignment: Alignment) -> None:
        """Let the encoder of a generation that is being built answer at once, over the live embeddings, mapped."""
        live = self.live()
        with self._changing(visible=True) as store:
            mappings.commit(store, alignment, live=live, new=number)

    def alignment(self, number: int) -> Alignment | None:
        """Return what maps the live embeddings for a generation; None when nothing does, or it cannot be read."""
        with self._reading() as store:
            return mappings.committed(store, number)

    def unmap(self, number: int) -> bool:
        """Let the live generation's own encoder answer again; return whether it did not."""
        with self._reading() as store:
            if not store.value("SELECT 1 FROM mappings WHERE generation = %s", number):
                return False
        with self._changing(visible=True) as store:
            return mappings.forget(store, number)


def _unembedded(store: Store, generation: int, after: int) -> Generator[Unembedded]:
    sql = (
        "SELECT number, first_passage, id, text, title, starts, ends, headings FROM documents d"
        " JOIN texts ON document = number WHERE number > %s AND NOT EXISTS"
        " (SELECT 1 FROM embedded e WHERE e.document = d.number AND generation = %s) ORDER BY number"
    )
    for number, first, id, text, title, *spans in store.stream(sql, after, generation):
        yield Unembedded(number, Document(id, text, title), tuple(map(Passage, *spans)), first)
