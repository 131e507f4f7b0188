"""The importer of the local engine: writes a copy of an index into a directory; see ``docsim.engine.importing``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from docsim.engine.importing import Carried, Kept, KeptGeneration, occupied
from docsim.engine.local import creation, writer
from docsim.engine.local.encoders import directory, explained
from docsim.engine.local.writer import LocalWriter

__all__ = ["LocalImporter", "opened"]

_MARK = "copying"
_EMPTIED = ("origins", "failures", "embeddings", "passages", "verdicts", "adapters", "deletions", "words", "documents")


@contextmanager
def opened(path: Path, *, wait: bool) -> Iterator[LocalImporter]:
    """Be the one who copies an index to a directory.

    Raises:
        IndexLocked: Another process is writing to it and ``wait`` is off.
    """
    creation.check_free(path)
    with writer.opened(path, wait=wait) as store:
        yield LocalImporter(store, path)


class LocalImporter:
    """A ``docsim.engine.importing.Importer``."""

    def __init__(self, store: LocalWriter, path: Path) -> None:
        """Write to a directory.

        Args:
            store: Its open database.
            path: The directory.
        """
        self._store, self._path = store, path

    def begin(self, kept: Kept) -> int:
        """Begin a copy, or go on with one of the same state; return the number of the last document that it has."""
        store = self._store
        mark = store.value("SELECT value FROM meta WHERE key = ?", _MARK)
        if mark is None and store.generations():
            raise occupied(str(self._path))
        if mark != kept.mark:
            shutil.rmtree(self._path / "generations", ignore_errors=True)
            for one in kept.generations:
                with explained(self._path):
                    self._keep_files(one)
            with store.writing(visible=False):
                self._clear()
                self._keep(kept)
        return int(store.value("SELECT coalesce(max(number), 0) FROM documents"))

    def _keep_files(self, one: KeptGeneration) -> None:
        folder = directory(self._path, one.generation.number)
        for name, source in (("encoder", one.encoder), ("base", one.base), ("report", one.report)):
            if source is not None:
                shutil.copytree(source, folder / name)

    def _clear(self) -> None:
        for table in (*_EMPTIED, "generations", "sources"):
            self._store.execute(f"DELETE FROM {table}")
        self._store.execute("DELETE FROM meta WHERE key <> 'revision'")

    def _keep(self, kept: Kept) -> None:
        store = self._store
        for one in kept.sources:
            sql = "INSERT INTO sources (number, kind, location, name, started, finished) VALUES (?, ?, ?, ?, ?, ?)"
            name = one.source
            store.execute(sql, one.number, name.kind, name.location, name.name, one.started, one.finished)
        for each in kept.generations:
            new = each.generation
            sql = (
                "INSERT INTO generations (number, state, fingerprint, encoder, dim, created)"
                " VALUES (?, 'building', ?, ?, ?, ?)"
            )
            store.execute(sql, new.number, new.fingerprint, new.encoder, new.dim, new.created)
        for key, text in {**kept.notes, _MARK: kept.mark}.items():
            store.set_meta(key, text)

    def add(self, documents: Sequence[Carried]) -> None:
        """Add documents in one transaction, in ascending order of their numbers."""
        store = self._store
        with store.writing(visible=False):
            first = 1 + int(store.value("SELECT coalesce(max(number), 0) FROM passages") or 0)
            for one in documents:
                self._add(one, first)
                first += len(one.passages)

    def _add(self, one: Carried, first: int) -> None:
        store, document, number = self._store, one.stored.document, one.stored.number
        sql = (
            "INSERT INTO documents (number, id, title, text, metadata, digest, first_passage, passages)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        metadata = json.dumps(document.metadata, ensure_ascii=False, sort_keys=True)
        held = (document.id, document.title, document.text, metadata, one.stored.digest, first, len(one.passages))
        store.execute(sql, number, *held)
        for place, span in enumerate(one.passages):
            sql = 'INSERT INTO passages (number, document, start, "end", heading) VALUES (?, ?, ?, ?, ?)'
            store.execute(sql, first + place, number, span.start, span.end, span.heading)
        for generation, rows in one.embeddings.items():
            store.add_embeddings(number, first, rows, generation=generation)
        for path in one.paths:
            sql = "INSERT INTO origins (source, path, document, digest) VALUES (?, ?, ?, ?)"
            store.execute(sql, path.source_number, path.path, number, path.origin.digest)

    def finish(self, kept: Kept) -> None:
        """Let the copy answer, and write its words and the FAISS file of its live generation."""
        store = self._store
        with store.writing():
            numbers = {one.source.location: one.number for one in kept.sources}
            for one in kept.failures:
                sql = "INSERT OR REPLACE INTO failures (source, path, reason, failed) VALUES (?, ?, ?, ?)"
                store.execute(sql, numbers[one.location], one.path, one.reason, one.failed)
            for each in kept.generations:
                new = each.generation
                sql = "UPDATE generations SET state = ?, published = ? WHERE number = ?"
                store.execute(sql, new.state, new.published, new.number)
            store.execute("DELETE FROM meta WHERE key = ?", _MARK)
            store.set_meta("revision", kept.revision)
        for each in kept.generations:
            if each.verdict is not None:
                store.record(each.generation.number, each.verdict)
        store.configure(kept.index_type, kept.recall)
        store.optimize()
