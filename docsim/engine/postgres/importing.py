"""The importer of PostgreSQL: writes a copy of an index into a schema; see ``docsim.engine.importing``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from docsim.encoding.encoder import fingerprint_of
from docsim.engine.importing import Carried, Kept, KeptGeneration, occupied
from docsim.engine.lookups import key_of
from docsim.engine.postgres import approximate, creation, files, pending, schema, vectors, writer
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.schema import embeddings_table, vectors_table
from docsim.engine.postgres.store import now
from docsim.engine.postgres.writer import PostgresWriter
from docsim.engine.records import RecordedSource

__all__ = ["PostgresImporter", "opened"]

_MARK = "copying"


@contextmanager
def opened(address: Address, *, wait: bool) -> Iterator[PostgresImporter]:
    """Be the one who copies an index to a schema, which is made if it is missing.

    Raises:
        IndexLocked: Another process is writing to it and ``wait`` is off.
        StoreError: The server cannot be reached, or lacks what is needed.
    """
    creation.prepared(address)
    with writer.opened(address, wait=wait, new=True) as opened:
        with opened.store.connection.transaction():
            schema.migrate(opened.store)
        yield PostgresImporter(opened)


class PostgresImporter:
    """A ``docsim.engine.importing.Importer``."""

    def __init__(self, opened: PostgresWriter) -> None:
        """Write by a writer, which is open."""
        self._writer, self._store = opened, opened.store

    def begin(self, kept: Kept) -> int:
        """Begin a copy, or go on with one of the same state; return the number of the last document that it has."""
        store = self._store
        mark = store.setting(_MARK)
        if mark is None and store.generations():
            raise occupied(str(self._writer.address))
        if mark != kept.mark:
            with self._writer.transaction(visible=False):
                self._clear()
                self._keep(kept)
        return int(store.value("SELECT coalesce(max(number), 0) FROM documents"))

    def _clear(self) -> None:
        store = self._store
        for table in store.vector_tables():
            store.execute(f"DROP TABLE {table}")
        store.execute(
            "TRUNCATE origins, failures, documents, texts, deletions, words, files, sources, generations, embedded,"
            " verdicts, mappings"
        )
        store.execute("DELETE FROM meta WHERE key <> 'format'")
        store.execute("UPDATE state SET documents = 0, passages = 0")

    def _keep(self, kept: Kept) -> None:
        store = self._store
        self._keep_sources(kept.sources)
        self._keep_generations(kept.generations)
        for table in ("sources", "generations"):
            store.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'number'),"
                f" greatest(1, (SELECT max(number) FROM {table})))"
            )
        for key, text in kept.notes.items():
            store.keep_note(key, text)
        store.set_setting(_MARK, kept.mark)

    def _keep_sources(self, sources: Sequence[RecordedSource]) -> None:
        for one in sources:
            sql = (
                "INSERT INTO sources (number, kind, location, name, started, finished) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, %s, %s, %s, %s)"
            )
            name = one.source
            self._store.execute(sql, one.number, name.kind, name.location, name.name, one.started, one.finished)

    def _keep_generations(self, generations: Sequence[KeptGeneration]) -> None:
        store = self._store
        for each in generations:
            new, base = each.generation, each.base
            sql = (
                "INSERT INTO generations (number, state, fingerprint, encoder, dim, created, base)"
                " OVERRIDING SYSTEM VALUE VALUES (%s, 'building', %s, %s, %s, %s, %s)"
            )
            known = fingerprint_of(base) if base else None
            store.execute(sql, new.number, new.fingerprint, new.encoder, new.dim, new.created, known)
            store.execute(vectors_table(embeddings_table(new.number), new.dim))
            for owner, folder in (("encoder", each.encoder), ("base", base), ("report", each.report)):
                if folder is not None:
                    files.keep_directory(store, f"{owner} {new.number}", folder)

    def add(self, documents: Sequence[Carried]) -> None:
        """Add documents in one transaction, in ascending order of their numbers."""
        store = self._store
        with self._writer.transaction(visible=False):
            puts = self._writer.carried(documents)
            pending.write_documents(store, puts)
            for generation in sorted({number for one in documents for number in one.embeddings}):
                held = [(put, one.embeddings[generation]) for put, one in zip(puts, documents, strict=True)
                        if generation in one.embeddings]  # fmt: skip
                store.copy(
                    "COPY embedded FROM STDIN",
                    [(generation, put.number, vectors.checksum(rows)) for put, rows in held],
                )
                vectors.load(store, embeddings_table(generation), [(p.number, p.first, rows) for p, rows in held])
            paths = [(path, one.stored.number) for one in documents for path in one.paths]
            store.copy(
                "COPY origins (source, key, path, document, digest) FROM STDIN",
                [(one.source_number, key_of(one.path), one.path, number, one.origin.digest) for one, number in paths],
            )

    def finish(self, kept: Kept) -> None:
        """Let the copy answer, and keep its words."""
        store = self._store
        with self._writer.transaction(visible=False):
            numbers = {one.source.location: one.number for one in kept.sources}
            rows = [
                (numbers[one.location], key_of(one.path), one.path, one.reason, one.failed) for one in kept.failures
            ]
            store.execute("DELETE FROM failures")
            store.copy("COPY failures (source, key, path, reason, failed) FROM STDIN", rows)
            for each in kept.generations:
                new, verdict = each.generation, each.verdict
                sql = "UPDATE generations SET state = %s, published = %s WHERE number = %s"
                store.execute(sql, new.state, new.published, new.number)
                if verdict is not None:
                    told = {"metrics": verdict.metrics, "source": verdict.questions, "sound": verdict.sound}
                    sql = "INSERT INTO verdicts (generation, checked, passed, summary) VALUES (%s, %s, %s, %s)"
                    store.execute(sql, new.number, now(), verdict.passed, json.dumps(told))
            store.execute("DELETE FROM meta WHERE key = %s", _MARK)
            store.execute("UPDATE state SET revision = greatest(revision, %s) + 1", kept.revision)
        self._writer.configure(kept.index_type if kept.index_type in approximate.TYPES else "auto", kept.recall)
        self._writer.optimize()
