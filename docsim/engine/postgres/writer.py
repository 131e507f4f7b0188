"""The writer of an index in PostgreSQL: adds, changes and removes documents, one transaction at a time."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from docsim.engine.importing import Carried
from docsim.engine.lookups import Lookups, key_of
from docsim.engine.origins import notes_of
from docsim.engine.postgres import approximate, encoders, files, locks, mappings, pending, word_storage
from docsim.engine.postgres.address import Address
from docsim.engine.postgres.connections import Connection, Connections, explained
from docsim.engine.postgres.engine import unfinished
from docsim.engine.postgres.origins import Origins
from docsim.engine.postgres.pending import Link, Pending, Put, Written
from docsim.engine.postgres.store import Store, now
from docsim.engine.records import DISTRUSTED, Embedded, Origin, SourceName, StoredDocument
from docsim.engine.words.beside_encoding import Beside
from docsim.engine.words.building import Text, named
from docsim.models import Failure, Passage

__all__ = ["PostgresWriter", "opened"]

_MANY = 1_000  # documents after which the server should not wait before it counts them


@contextmanager
def opened(address: Address, *, wait: bool, new: bool = False) -> Iterator[PostgresWriter]:
    """Be the one writer of an index.

    Raises:
        IndexLocked: Another process is writing and ``wait`` is off.
        StoreError: The server cannot be reached, or cannot be written to.
    """
    with locks.locked(address, locks.WRITE, wait=wait, new=new) as connection:
        writer = PostgresWriter(address, connection)
        try:
            yield writer
        finally:
            writer.close()


class PostgresWriter(Origins):
    """A ``docsim.engine.base.Writer``. Whoever has one holds the writer's lock, so the live generation stays live.

    The thread that is in a transaction sees what it has written; others see what is committed.
    """

    def __init__(self, address: Address, connection: Connection) -> None:
        """Write by a connection that holds the writer's lock."""
        super().__init__(self)
        self.address = address
        self.store = Store(connection)
        self.revision = 0  # of the last commit
        self._connections = Connections(address, writing=True)  # for other threads
        self._owner: int | None = None  # the thread that is in a transaction
        self._pending = Pending()
        self._written = Written()
        self._lookups = Lookups(self)
        self._learned: tuple[list[Put], list[Link]] = [], []  # of the open transaction
        self._has_removed = False  # in it
        self._last: dict[str, int] = {}  # numbers that were given last
        self._live: int | None = None
        self._sent = 0  # documents
        self._texts: list[Text] = []  # of the open transaction
        self._begun: tuple[int, int] | None = None  # the last passage number and deletion before the first document
        self._beside: Beside | None = None
        self._work: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Give up what was not committed; safe to call twice."""
        if self._beside is not None:
            self._beside.abandon()
            self._beside = None
        if self._work is not None:
            self._work.cleanup()
            self._work = None
        self._connections.close()

    # Reading

    @property
    def _is_inside(self) -> bool:
        return self._owner == threading.get_ident()

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows that ``sql`` selects: of the open transaction, in its thread, else of the last commit."""
        if self._is_inside:
            self._flush()
            return self.store.rows(sql, *parameters)
        with self._connections.begun("SELECT 1") as (connection, _):
            return Store(connection).rows(sql, *parameters)

    @contextmanager
    def _reading(self) -> Iterator[Store]:
        if self._is_inside:
            self._flush()
            yield self.store
            return
        with self._connections.begun("SELECT 1") as (connection, _):
            yield Store(connection)

    def origin(self, source_number: int, path: str) -> Origin | None:
        """Return the document that a path of a source stands for, or None."""
        ask = super().origin
        return ask(source_number, path) if self._is_inside else self._lookups.origin(source_number, path, ask)

    def number(self, id: str) -> int | None:
        """Return the number of the document with this id, or None."""
        ask = super().number
        return ask(id) if self._is_inside else self._lookups.number(id, ask)

    def document(self, number: int) -> StoredDocument | None:
        """Return a document, or None when there is no such document."""
        with self._reading() as store:
            return store.documents([number]).get(number)

    def passages(self, number: int) -> list[Passage]:
        """Return the passages of a document, in order."""
        with self._reading() as store:
            return store.passages_of([number]).get(number, [])

    def note(self, key: str) -> str | None:
        """Return a small text that was kept under a name, or None."""
        with self._reading() as store:
            return store.note(key)

    def keep_note(self, key: str, text: str) -> None:
        """Keep a small text under a name."""
        self.store.keep_note(key, text)

    # Transactions

    @contextmanager
    def transaction(self, *, visible: bool = True) -> Iterator[None]:
        """Make the block one transaction: all of it is committed at its end, or nothing is.

        Args:
            visible: Whether it changes what searches return; if so, the revision grows.
        """
        with explained(self.address):
            self._begin()
            try:
                yield
                self._flush()
                self._count(visible=visible)
                self.store.execute("COMMIT")
            except BaseException:
                self._pending, self._texts = Pending(), []
                with suppress(psycopg.Error):
                    self.store.execute("ROLLBACK")
                raise
            finally:
                self._owner = None
        self._learn()
        self._hand_over()

    def _learn(self) -> None:
        """Keep in mind what was committed."""
        if self._has_removed:
            self._lookups.forget()
        else:
            puts, links = self._learned
            ids = [(one.embedded.document.id, one.number) for one in puts]
            self._lookups.learn(ids, [(one.source, one.path, Origin(one.document, one.digest)) for one in links])

    def _begin(self) -> None:
        self.store.execute("BEGIN")
        sql = "SELECT last_document, last_passage, last_deletion FROM state"
        document, passage, deletion = self.store.rows(sql)[0]
        self._last = {"document": document, "passage": passage, "deletion": deletion}
        self._written, self._learned, self._has_removed = Written(), ([], []), False
        live = self.store.generation()
        self._live = live.number if live else None
        self._owner = threading.get_ident()

    def _count(self, *, visible: bool) -> None:
        self.revision = self.store.value(
            "UPDATE state SET revision = revision + %s, documents = documents + %s, passages = passages + %s,"
            " last_document = %s, last_passage = %s, last_deletion = %s RETURNING revision",
            int(visible),
            self._written.documents,
            self._written.passages,
            *(self._last[name] for name in ("document", "passage", "deletion")),
        )

    def _flush(self) -> None:
        """Send what is pending."""
        waiting, self._pending = self._pending, Pending()
        if waiting.puts:
            self.store.execute(
                "LOCK TABLE documents IN ROW EXCLUSIVE MODE"
            )  # as a mapping may be about to be committed
            mapped = mappings.counting(self.store)
            assert self._live is not None
            self._sent += len(waiting.puts)
            self._learned[0].extend(waiting.puts.values())
            self._last["deletion"] = pending.write(
                self.store,
                list(waiting.puts.values()),
                generation=self._live,
                last_deletion=self._last["deletion"],
                alignment=mapped,
                written=self._written,
            )
        if waiting.claims:
            self._has_removed |= pending.claim(self.store, list(waiting.claims.values())) > 0
        if waiting.links:
            self._learned[1].extend(waiting.links.values())
            self._delete(pending.link(self.store, list(waiting.links.values())))

    def _delete(self, numbers: list[int]) -> None:
        if numbers:
            self._has_removed = True
            self._last["deletion"] = pending.delete(
                self.store, numbers, last_deletion=self._last["deletion"], written=self._written
            )

    def _hand_over(self) -> None:
        """Let the words of the documents that were committed be found."""
        texts, self._texts = self._texts, []  # they are large, and others have them now
        if texts and self._begun:
            if self._beside is None:
                after, deletion = self._begun
                self._beside = Beside(self._place(), after=after, deletion=deletion)
            self._beside.add(texts)

    def _place(self) -> Path:
        """Return a folder of this writer for the segments that it makes."""
        if self._work is None:
            parent = files.cache("words")
            with files.explained(parent):
                parent.mkdir(parents=True, exist_ok=True)
                word_storage.remove_abandoned(parent)
                self._work = tempfile.TemporaryDirectory(prefix="work-", dir=parent)
        return Path(self._work.name)

    # Documents

    def put(self, embedded: Embedded, *, number: int | None, digest: str | None = None) -> int:
        """Add a document, or replace document ``number``, with embeddings of the live generation; return its number.

        Args:
            embedded: The document.
            number: Which document to replace; a new one when None.
            digest: What the content has to be: only a repair says so, which must not make altered text look sound.
        """
        if self._live is None:
            raise unfinished(self.address)
        document = embedded.document
        if number in self._pending.puts:
            self._flush()
        if self._begun is None:
            self._begun = self._last["passage"], self._last["deletion"]
        first = self._last["passage"] + 1
        self._last["passage"] += max(1, len(embedded.passages))
        is_new = number is None
        if number is None:
            number = self._last["document"] = self._last["document"] + 1
        self._pending.puts[number] = Put(number, first, embedded, digest or document.digest(), is_new)
        self._texts.append(Text(number, first, named(document.title, document.id), document.text))
        return number

    def carried(self, documents: Sequence[Carried]) -> list[Put]:
        """Give numbers to the passages of documents that are copied from elsewhere; their own stay what they were.

        They count, and their words will be found; they are written by the importer, in the transaction that is open.
        """
        puts = []
        if self._begun is None:
            self._begun = self._last["passage"], self._last["deletion"]
        for one in documents:
            document, number, first = one.stored.document, one.stored.number, self._last["passage"] + 1
            self._last["passage"] += max(1, len(one.passages))
            self._last["document"] = max(number, self._last["document"])
            embedded = Embedded(document, one.passages, np.zeros((0, 0), np.float16))  # they are written apart
            puts.append(Put(number, first, embedded, one.stored.digest, is_new=True))
            self._texts.append(Text(number, first, named(document.title, document.id), document.text))
        self._written.add(puts)
        self._sent += len(puts)
        return puts

    def remove(self, number: int) -> None:
        """Remove a document and all that belongs to it."""
        self._flush()
        self._has_removed = True
        self.store.execute("DELETE FROM origins WHERE document = %s", number)
        self._delete([number])

    # Sources

    def open_source(self, source_number: int | None, source: SourceName) -> int:
        """Record that a source, new when it has no number, is being read; return its number."""
        if source_number is None:
            sql = "INSERT INTO sources (kind, location, name, started) VALUES (%s, %s, %s, %s) RETURNING number"
            return int(self.store.value(sql, source.kind, source.location, source.name, now()))
        sql = "UPDATE sources SET location = %s, name = %s, started = %s, finished = NULL WHERE number = %s"
        self.store.execute(sql, source.location, source.name, now(), source_number)
        return source_number

    def close_source(self, source_number: int, failures: Iterable[Failure]) -> None:
        """Record that a source was read to its end, and what could not be read."""
        self._flush()
        self.store.execute("DELETE FROM failures WHERE source = %s", source_number)
        rows = {one.path: (source_number, key_of(one.path), one.path, one.reason, now()) for one in failures}
        self.store.copy("COPY failures (source, key, path, reason, failed) FROM STDIN", list(rows.values()))
        self.store.execute("UPDATE sources SET finished = %s WHERE number = %s", now(), source_number)

    def forget_source(self, source_number: int) -> int:
        """Forget a source with its paths, failures and notes; return how many documents went with it."""
        self._flush()
        self._has_removed = True
        rows = self.store.rows("DELETE FROM origins WHERE source = %s RETURNING document", source_number)
        gone = pending.released(self.store, [number for (number,) in rows])
        self._delete(gone)
        self.store.execute("DELETE FROM failures WHERE source = %s", source_number)
        self.store.forget_notes(notes_of(source_number))
        self.store.execute("DELETE FROM sources WHERE number = %s", source_number)
        return len(gone)

    def link(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Record that a path stands for a document, was read with this digest, and did not fail."""
        one = Link(source_number, path, document_number, digest)
        if not self._pending.has_room(one):
            self._flush()
        self._pending.links[source_number, path] = one
        self._pending.documents[document_number] = (source_number, path)

    def claim(self, source_number: int, path: str, *, document_number: int, digest: str) -> None:
        """Forget every other path that stands for a document and was read with another digest than this path."""
        one = Link(source_number, path, document_number, digest)
        if not self._pending.has_room(one):
            self._flush()
        self._pending.claims[source_number, path] = one
        self._pending.documents[document_number] = (source_number, path)

    def distrust(self, document: int) -> None:
        """Let every source that has a document read it again at its next sync, although it has not changed there."""
        self._flush()
        self._has_removed = True
        self.store.execute("UPDATE origins SET digest = %s WHERE document = %s", DISTRUSTED, document)

    def unlink(self, source_number: int, path: str) -> bool:
        """Forget a path; remove its document, and return True, when no other path stands for it."""
        self._flush()
        self._has_removed = True
        sql = "DELETE FROM origins WHERE source = %s AND key = %s RETURNING document"
        gone = pending.released(self.store, [n for (n,) in self.store.rows(sql, source_number, key_of(path))])
        self._delete(gone)
        return bool(gone)

    # Searching fast

    def configure(self, index_type: str | None, recall: float | None) -> None:
        """Choose how passages are searched from the next ``optimize`` on; what is not given stays as it is.

        Raises:
            UsageError: There is no such index type or recall.
        """
        approximate.check(index_type, recall)
        with explained(self.address):
            if index_type is not None:
                self.store.set_setting("index_type", index_type)
            if recall is not None:
                self.store.set_setting("recall", str(recall))

    def optimize(self, *, force: bool = False) -> None:
        """Keep the words of documents that came later, most of which were found while others were encoded.

        Args:
            force: Make all words again from the stored texts.
        """
        made = self._beside.finish() if self._beside else None
        self._beside = self._begun = None
        with self.transaction(visible=False):
            word_storage.write(self.store, self._place(), force=force, made=made)
        if self._sent >= _MANY:
            with explained(self.address):
                for table in ("documents", "texts", "origins", "embedded", *self.store.vector_tables()):
                    self.store.execute(f"ANALYZE {table}")
            self._sent = 0
        with explained(self.address):
            if live := self.store.generation():
                encoder = functools.partial(encoders.load, self.store, live, self.address)
                approximate.refresh(self.store, live.number, encoder, dim=live.dim, force=force)
