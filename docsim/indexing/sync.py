"""Synchronise: bring the store to what a source holds now, encoding only what is new or changed.

Reading and encoding go on in the caller's thread while the batch before is committed in another. A batch is one
transaction of whole documents, so after a stop at any instant the next run does just the rest.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from docsim.encoding.encoder import Encoder
from docsim.engine.local.store import Embedded, Store, now
from docsim.errors import SourceError
from docsim.ingest import passages
from docsim.models import Document, Entry, Failure, SyncReport, storable

__all__ = ["Plan", "SourceName", "Sync"]

BATCH = 1_000_000
"""Characters of text that are encoded and committed together."""


@dataclass(frozen=True, slots=True)
class SourceName:
    """What a source is known by in an index.

    Attributes:
        kind: ``folder``, ``file``, ``records``, ``stdin`` or ``python``.
        location: Unique in the index: an absolute path, or any name for what is not in the file system.
        name: Short; put before a document's path when another source holds a document of that id already.
    """

    kind: str
    location: str
    name: str

    def __post_init__(self) -> None:
        for field in ("location", "name"):
            object.__setattr__(self, field, storable(_spelt_out(getattr(self, field))))

    @property
    def is_gone(self) -> bool:
        """Whether it was in the file system and no longer is; of a path that is no UTF-8, that cannot be told."""
        is_file = self.kind in ("folder", "file", "records") and "\\udc" not in self.location
        return is_file and not Path(self.location).exists()


@dataclass(frozen=True, slots=True)
class _Change:
    """What to write for one path: a document, new or in place of document ``number``; or only whose it is."""

    path: str
    digest: str
    number: int | None
    document: Document | None


class Plan:
    """Compares a source with the store, reading only what is new or changed; counts, and writes nothing."""

    def __init__(self, store: Store, source: SourceName) -> None:
        self.store = store
        self.source = source
        self.number = self._find()
        self.counts = Counter[str]()
        self.failures: list[Failure] = []
        self._seen = set[bytes]()
        self._given = set[bytes]()  # ids of new documents, which may not be committed yet

    def run(
        self,
        items: Iterable[Document | Entry | Failure],
        *,
        prune: bool | None = None,
        progress: Callable[[], object] | None = None,
    ) -> SyncReport:
        """Return what a sync would do; see ``Index.sync``."""
        for _ in self.changes(items, progress):
            pass
        self._prune(prune)
        return self.report()

    def report(self) -> SyncReport:
        """Return the counts so far."""
        return SyncReport(**self.counts, failures=tuple(self.failures))

    def changes(
        self, items: Iterable[Document | Entry | Failure], progress: Callable[[], object] | None
    ) -> Iterator[_Change]:
        """Yield what has to be written, counting everything that comes by."""
        for item in items:
            change = self._change(item)
            if change is not None:
                yield change
            if progress:
                progress()

    def _change(self, item: Document | Entry | Failure) -> _Change | None:
        if isinstance(item, Failure):
            self._fail(replace(item, path=storable(item.path)))
            return None
        entry = Entry(item.id, item.digest(), lambda: item) if isinstance(item, Document) else item
        path = storable(entry.path)
        if not self._is_first(path):
            self._fail(Failure(path, "another document of this source has the same id; give each its own"))
            return None
        origin = self.store.origin(self.number, path) if self.number else None
        if origin is not None and origin.digest == entry.digest:
            self.counts["unchanged"] += 1
            return None
        try:
            return self._loaded(path, entry, origin.document if origin else None)
        except (SourceError, OSError) as error:
            self._fail(Failure(path, str(error)))
            return None

    def _loaded(self, path: str, entry: Entry, number: int | None) -> _Change:
        """Read a document that is new or changed, and settle which document of the index it is."""
        if number is None or not self._may_take(number, path, entry.digest):
            id, number = self._place(path, entry.digest)
        else:
            id = self.store.value("SELECT id FROM documents WHERE number = ?", number)
        document = entry.load()
        document = document if document.id == id else replace(document, id=id)
        if number and self.store.value("SELECT digest FROM documents WHERE number = ?", number) == document.digest():
            self.counts["unchanged"] += 1
            return _Change(path, entry.digest, number, None)
        self.counts["changed" if number else "added"] += 1
        if number is None:
            self._given.add(_key(id))
        return _Change(path, entry.digest, number, document)

    def _place(self, path: str, digest: str) -> tuple[str, int | None]:
        """Return the id for a path that is new in this source, and the number of the document it stands for, if any.

        An id that another source holds is shared when both read the same, taken over when that source is gone from the
        file system, and otherwise set apart by this source's name.
        """
        for id in itertools.chain([path], self._set_apart(path)):
            number = self.store.value("SELECT number FROM documents WHERE id = ?", id)
            if number is None and _key(id) not in self._given:
                return id, None
            if number is not None and self._may_take(number, path, digest):
                return id, number
        raise AssertionError("unreachable: ids are tried without end")

    def _may_take(self, number: int, path: str, digest: str) -> bool:
        """Return whether a document may stand for what ``path`` holds: all else that it stands for reads the same."""
        holders = self.store.rows(
            "SELECT kind, location, name, digest FROM origins JOIN sources ON number = source"
            " WHERE document = ? AND NOT (source = ? AND path = ?)",
            number,
            self.number or 0,
            path,
        )
        return all(held == digest or SourceName(*holder).is_gone for *holder, held in holders)

    def _set_apart(self, path: str) -> Iterator[str]:
        yield f"{self.source.name}/{path}"
        for count in itertools.count(2):
            yield f"{self.source.name}-{count}/{path}"

    def _fail(self, failure: Failure) -> None:
        self._is_first(failure.path)
        self.failures.append(replace(failure, reason=storable(failure.reason)))

    def _is_first(self, path: str) -> bool:
        """Note a path; return whether it comes for the first time."""
        before = len(self._seen)
        self._seen.add(_key(path))
        return len(self._seen) > before

    def _find(self) -> int | None:
        """Return the number of this source, which may have been moved since, or None when it is new."""
        rows = self.store.rows("SELECT number, kind, location, name FROM sources")
        for number, *fields in rows:
            if fields[1] == self.source.location:
                return int(number)
        for number, *fields in rows:
            known = SourceName(*fields)
            same = (known.kind, known.name) == (self.source.kind, self.source.name)
            if same and known.is_gone and self._is_moved(number):
                return int(number)
        return None

    def _is_moved(self, number: int) -> bool:
        """Return whether a source of the same name is this one at its old place: half of its files are here."""
        if self.source.kind == "records":
            return True
        paths = self.store.rows("SELECT path FROM origins WHERE source = ? LIMIT 1000", number)
        if self.source.kind == "file":
            return all(path == Path(self.source.location).name for (path,) in paths)
        here = sum(Path(self.source.location, path).exists() for (path,) in paths)
        return 2 * here >= len(paths)

    def _prune(self, prune: bool | None) -> list[str]:
        """Count what vanished from the source; return the paths to forget."""
        if self.number is None:
            return []
        rows = self.store.rows("SELECT path FROM origins WHERE source = ?", self.number)
        vanished = [path for (path,) in rows if _key(path) not in self._seen]
        if prune is None:
            sure = all(failure.identified for failure in self.failures)
            prune = sure and bool(self._seen) and self.source.kind != "stdin"
        self.counts["removed" if prune else "kept"] += len(vanished)
        return vanished if prune else []


class Sync(Plan):
    """A plan that is carried out."""

    def __init__(self, store: Store, source: SourceName, *, encoder: Encoder, generation: int) -> None:
        super().__init__(store, source)
        self._encoder = encoder
        self._generation = generation

    def run(
        self,
        items: Iterable[Document | Entry | Failure],
        *,
        prune: bool | None = None,
        progress: Callable[[], object] | None = None,
    ) -> SyncReport:
        """Read, encode and commit; see ``Index.sync``."""
        source = self._register()
        with ThreadPoolExecutor(1, thread_name_prefix="docsim-commit") as executor:
            pending: Future[None] | None = None
            for batch in _batches(self.changes(items, progress)):
                embedded = self._embedded(batch)
                if pending:
                    pending.result()
                pending = executor.submit(self._commit, source, batch, embedded)
            if pending:
                pending.result()
        self._finish(source, prune)
        return self.report()

    def _register(self) -> int:
        source = self.source
        with self.store.writing():
            if self.number is None:
                sql = "INSERT INTO sources (kind, location, name, started) VALUES (?, ?, ?, ?)"
                self.number = self.store.execute(sql, source.kind, source.location, source.name, now())
            else:
                sql = "UPDATE sources SET location = ?, name = ?, started = ?, finished = NULL WHERE number = ?"
                self.store.execute(sql, source.location, source.name, now(), self.number)
        return self.number

    def _embedded(self, batch: list[_Change]) -> list[Embedded | None]:
        """Split and encode the documents of a batch."""
        spans = [passages.split(one.document.text) if one.document else [] for one in batch]
        texts = [
            text for one, split in zip(batch, spans, strict=True) if one.document
            for text in passages.inputs(one.document, split)
        ]  # fmt: skip
        vectors = self._encoder.encode(texts).astype(np.float16)
        ends = np.cumsum([len(split) for split in spans])
        return [
            Embedded(one.document, tuple(split), vectors[end - len(split) : end]) if one.document else None
            for one, split, end in zip(batch, spans, ends, strict=True)
        ]

    def _commit(self, source: int, batch: list[_Change], embedded: list[Embedded | None]) -> None:
        with self.store.writing():
            for change, content in zip(batch, embedded, strict=True):
                number = change.number
                if content:
                    number = self.store.put(
                        content, number=number, digest=content.document.digest(), generation=self._generation
                    )
                    self.store.claim(source, change.path, document=number)
                assert number is not None
                self.store.link(source, change.path, document=number, digest=change.digest)

    def _finish(self, source: int, prune: bool | None) -> None:
        """Forget what vanished, and record that the source was read to its end."""
        with self.store.writing():
            for path in self._prune(prune):
                self.store.unlink(source, path)
            self.store.record_failures(source, self.failures)
            self.store.execute("UPDATE sources SET finished = ? WHERE number = ?", now(), source)


def _batches(changes: Iterable[_Change]) -> Iterator[list[_Change]]:
    """Group changes so that each group holds about ``BATCH`` characters."""
    batch: list[_Change] = []
    size = 0
    for change in changes:
        batch.append(change)
        size += 100 + (len(change.document.text) if change.document else 0)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _spelt_out(text: str) -> str:
    """Return text with each byte of a file name that is no UTF-8 written out, as a backslash and ``udc..``."""
    return text.encode("utf-8", "backslashreplace").decode()


def _key(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=12).digest()
