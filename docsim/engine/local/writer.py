"""The writer of the local engine: adds, changes and removes documents, one transaction at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from docsim import allocation
from docsim.engine.local import ann_tuning, generations, locks, word_storage, word_writing
from docsim.engine.local.database import unfinished
from docsim.engine.local.store import LocalGeneration, Store, now
from docsim.engine.lookups import Lookups
from docsim.engine.origins import notes_of
from docsim.engine.records import DISTRUSTED, Embedded, Origin, SourceName
from docsim.engine.words.beside_encoding import Beside
from docsim.engine.words.building import Text, named
from docsim.models import Failure

__all__ = ["LocalWriter", "opened"]


@contextmanager
def opened(path: Path, *, wait: bool) -> Iterator[LocalWriter]:
    """Be the one writer of the index at ``path``.

    Raises:
        DocsimError: The folder cannot be written to.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    with locks.writing(path, wait=wait):
        writer = LocalWriter(path, writable=True)
        try:
            if not word_storage.rows(writer):  # an older docsim wrote the index, or one that made other words of a text
                word_writing.write(writer, path)
            yield writer
        finally:
            writer.close()


class LocalWriter(Store):
    """A ``docsim.engine.base.Writer``. Whoever has one holds the writer's lock, so the live generation stays live."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._texts: list[Text] = []  # of the open transaction
        self._begun: tuple[int, int] | None = None  # the last passage number and deletion before the first document
        self._beside: Beside | None = None
        self._lookups = Lookups(self)
        self._ids: list[tuple[str, int]] = []  # of the open transaction: documents that are added
        self._links: list[tuple[int, str, Origin]] = []  # in it
        self._has_removed = False  # in it: documents or paths
        super().__init__(path, writable=writable)  # last, as it closes what it cannot open

    def close(self) -> None:
        """Close the database; safe to call twice."""
        if self._beside is not None:
            self._beside.abandon()
            self._beside = None
        super().close()

    def transaction(self) -> AbstractContextManager[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is."""
        return self.writing()

    @contextmanager
    def writing(self, *, visible: bool = True) -> Iterator[None]:
        """Make the block one transaction, see ``Database.writing``; then let the words of its documents be found."""
        self._texts, self._ids, self._links, self._has_removed = [], [], [], False
        with super().writing(visible=visible):
            yield
        self._lookups.forget() if self._has_removed else self._lookups.learn(self._ids, self._links)
        if self._texts and self._begun:
            if self._beside is None:
                after, deletion = self._begun
                self._beside = Beside(word_storage.folder(self.path.parent), after=after, deletion=deletion)
            self._beside.add(self._texts)
        self._texts = []  # they are large, and others have them now

    # Reading

    def origin(self, source_number: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""
        ask = super().origin
        return ask(source_number, path) if self._is_inside else self._lookups.origin(source_number, path, ask)

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        ask = super().number
        return ask(id) if self._is_inside else self._lookups.number(id, ask)

    @property
    def _is_inside(self) -> bool:
        """Whether this thread is in a transaction, whose own changes have to be seen."""
        return self._connection.in_transaction

    @cached_property
    def _live(self) -> LocalGeneration:
        live = self.generation()
        if live is None:
            raise unfinished(self.path.parent)
        return live

    # Documents

    def put(self, embedded: Embedded, *, number: int | None, digest: str | None = None) -> int:
        """Add a document, or replace document ``number``, with embeddings of the live generation; return its number.

        Args:
            embedded: The document.
            number: Which document to replace; a new one when None.
            digest: What the content has to be: only a repair says so, which must not make altered text look sound.
        """
        document, count = embedded.document, len(embedded.passages)
        first = 1 + int(self.value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'passages'") or 0)
        if self._begun is None:
            self._begun = first - 1, word_storage.last_deletion(self)
        metadata = json.dumps(document.metadata, ensure_ascii=False, sort_keys=True)
        fields = (document.title, document.text, metadata, digest or document.digest(), first, count)
        if number is None:
            columns = "title, text, metadata, digest, first_passage, passages"
            sql = f"INSERT INTO documents ({columns}, id) VALUES (?, ?, ?, ?, ?, ?, ?)"
            number = self.execute(sql, *fields, document.id)
            self._ids.append((document.id, number))
        else:
            self._forget_passages(number)
            sql = (
                "UPDATE documents SET title = ?, text = ?, metadata = ?, digest = ?, first_passage = ?, passages = ?"
                " WHERE number = ?"
            )
            self.execute(sql, *fields, number)
        rows = ((first + i, number, p.start, p.end, p.heading) for i, p in enumerate(embedded.passages))
        sql = 'INSERT INTO passages (number, document, start, "end", heading) VALUES (?, ?, ?, ?, ?)'
        self._connection.executemany(sql, rows)
        self.add_embeddings(number, first, embedded.vectors, generation=self._live.number)
        self._texts.append(Text(number, first, named(document.title, document.id), document.text))
        return number

    def remove(self, number: int) -> None:
        """Remove a document and all that belongs to it."""
        self._has_removed = True
        self._forget_passages(number)
        self.execute("DELETE FROM origins WHERE document = ?", number)
        self.execute("DELETE FROM documents WHERE number = ?", number)

    def _forget_passages(self, number: int) -> None:
        columns = "first_passage, passages"
        sql = f"INSERT INTO deletions ({columns}) SELECT {columns} FROM documents WHERE number = ?"
        if self.value("SELECT 1 FROM documents WHERE number = ?", number) is None:  # damage: its row was lost
            sql = (
                f"INSERT INTO deletions ({columns}) SELECT min(number), max(number) - min(number) + 1 FROM passages"
                " WHERE document = ? HAVING count(*) > 0"
            )
        self.execute(sql, number)
        self.execute("DELETE FROM embeddings WHERE document = ?", number)
        self.execute("DELETE FROM passages WHERE document = ?", number)

    # Sources

    def open_source(self, source_number: int | None, source: SourceName) -> int:
        """Record that a source, new when it has no number, is being read; return its number."""
        if source_number is None:
            sql = "INSERT INTO sources (kind, location, name, started) VALUES (?, ?, ?, ?)"
            return self.execute(sql, source.kind, source.location, source.name, now())
        sql = "UPDATE sources SET location = ?, name = ?, started = ?, finished = NULL WHERE number = ?"
        self.execute(sql, source.location, source.name, now(), source_number)
        return source_number

    def close_source(self, source_number: int, failures: Iterable[Failure]) -> None:
        """Record that a source was read to its end, and what could not be read."""
        self.execute("DELETE FROM failures WHERE source = ?", source_number)
        sql = "INSERT OR REPLACE INTO failures (source, path, reason, failed) VALUES (?, ?, ?, ?)"
        for failure in failures:
            self.execute(sql, source_number, failure.path, failure.reason, now())
        self.execute("UPDATE sources SET finished = ? WHERE number = ?", now(), source_number)

    def forget_source(self, source_number: int) -> int:
        """Forget a source with its paths, failures and notes; return how many documents went with it."""
        removed = sum(self.unlink(source_number, path) for path in self.paths(source_number))
        self.execute("DELETE FROM failures WHERE source = ?", source_number)
        self.execute("DELETE FROM meta WHERE key IN (?, ?)", *notes_of(source_number))
        self.execute("DELETE FROM sources WHERE number = ?", source_number)
        return removed

    def link(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Record that a path stands for a document, was read with this digest, and did not fail."""
        fields = (source_number, path, document_number, digest)
        sql = "INSERT OR {} INTO origins (source, path, document, digest) VALUES (?, ?, ?, ?)"
        before = None
        if not self._connection.execute(sql.format("IGNORE"), fields).rowcount:
            before = self.origin(source_number, path)
            self.execute(sql.format("REPLACE"), *fields)
        self._links.append((source_number, path, Origin(document_number, digest)))
        self.execute("DELETE FROM failures WHERE source = ? AND path = ?", source_number, path)
        if before is not None and before.document_number != document_number:
            self._release(before.document_number)

    def claim(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Forget every other path that stands for a document and was read with another digest than this path."""
        sql = "DELETE FROM origins WHERE document = ? AND NOT (source = ? AND path = ?) AND digest <> ?"
        self._has_removed |= self._connection.execute(sql, (document_number, source_number, path, digest)).rowcount > 0

    def distrust(self, document: int) -> None:
        """Let every source that has a document read it again at its next sync, although it has not changed there."""
        self._has_removed = True  # the digest that it was read with
        self.execute("UPDATE origins SET digest = ? WHERE document = ?", DISTRUSTED, document)

    def unlink(self, source_number: int, path: str) -> bool:
        """Forget a path; remove its document, and return True, when no other path stands for it."""
        self._has_removed = True
        origin = self.origin(source_number, path)
        self.execute("DELETE FROM origins WHERE source = ? AND path = ?", source_number, path)
        return origin is not None and self._release(origin.document_number)

    def _release(self, document: int) -> bool:
        """Remove a document, and return True, when no path stands for it."""
        if self.value("SELECT 1 FROM origins WHERE document = ?", document):
            return False
        self.remove(document)
        return True

    # Notes

    def note(self, key: str) -> str | None:
        """Return a small text that was kept under a name, or None."""
        found = self.value("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found)

    def keep_note(self, key: str, text: str) -> None:
        """Keep a small text under a name."""
        self.set_meta(key, text)

    # Searching fast

    def configure(self, index_type: str | None, recall: float | None) -> None:
        """Choose how passages are searched from the next ``optimize`` on; what is not given stays as it is.

        Raises:
            UsageError: There is no such index type or recall.
        """
        ann_tuning.choose(self, index_type, recall)

    def optimize(self, *, force: bool = False) -> None:
        """Write the FAISS file of the live generation when it is stale, and the words of documents that came later.

        Args:
            force: Write it in any case, and trust nothing of the one that is there.
        """
        self.write_words(force=force)
        allocation.give_back()  # what reading and encoding took, before all embeddings are in memory
        generations.write_faiss_file(self, self.path.parent, force=force)

    def write_words(self, *, force: bool = False) -> None:
        """Write the words of documents that came later, most of which were found while others were encoded.

        Args:
            force: Make all words again from the stored texts.
        """
        made = self._beside.finish() if self._beside else None
        self._beside = self._begun = None
        word_writing.write(self, self.path.parent, force=force, made=made)
