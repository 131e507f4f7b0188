"""Synchronise: bring the store to what a source holds now, encoding only what is new or changed.

Reading and encoding go on in the caller's thread while the batch before is committed in another. A batch is one
transaction of whole documents, so after a stop at any instant the next run does just the rest.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from docsim.encoding.documents import encode_passages
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Sources, Writer
from docsim.engine.records import DISTRUSTED, Embedded, Holder, Origin, SourceName
from docsim.errors import SourceError
from docsim.indexing import pipeline
from docsim.ingest import passages
from docsim.models import Document, Entry, Failure, SyncReport, storable
from docsim.progress import SILENT, Progress

__all__ = ["Plan", "Sync"]


@dataclass(frozen=True, slots=True)
class _Change:
    """What to write for one path: a document, new or in place of document ``number``; or only whose it is."""

    path: str
    digest: str
    number: int | None
    document: Document | None


class Pending:
    """What a plan has settled and what may not be committed yet.

    Batches are committed while the plan goes on, so what the index tells may be older than the plan. What is noted here
    is true either way.

    Attributes:
        moved: Paths that stand for another document from now on, or were read with another digest.
        contents: The digest of the content that a document gets, of those whose content is replaced.
    """

    def __init__(self) -> None:
        self.moved = set[str]()
        self.contents: dict[int, str] = {}
        self._ids = set[bytes]()
        self._links: dict[int, dict[str, str]] = {}

    def has(self, id: str) -> bool:
        """Return whether a new document has got this id."""
        return _key(id) in self._ids

    def of(self, number: int) -> dict[str, str]:
        """Return the paths that stand for a document from now on, and what each was read with."""
        return self._links.get(number, {})

    def link(self, path: str, number: int, digest: str) -> None:
        """Note that a path stands for a document as it is."""
        self.moved.add(path)
        self._links.setdefault(number, {})[path] = digest

    def replace(self, path: str, number: int, digest: str, content: str) -> None:
        """Note that a path alone stands for a document from now on, and gives it new content."""
        self.moved.add(path)
        self.contents[number] = content
        self._links[number] = {path: digest}

    def add(self, id: str) -> None:
        """Note that there is a new document with this id."""
        self._ids.add(_key(id))


class Plan:
    """Compares a source with the index, reading only what is new or changed; counts, and writes nothing."""

    def __init__(self, sources: Sources, source: SourceName) -> None:
        self._sources = sources
        self.source = source
        self.number = self._find()
        self.counts = Counter[str]()
        self.failures: list[Failure] = []
        self._seen = set[bytes]()
        self._pending = Pending()

    def run(
        self,
        items: Iterable[Document | Entry | Failure],
        *,
        prune: bool | None = None,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Return what a sync would do; see ``Index.sync``."""
        for _ in self.changes(items, progress):
            pass
        self._prune(prune)
        return self.report()

    def report(self) -> SyncReport:
        """Return the counts so far."""
        return SyncReport(**self.counts, failures=tuple(self.failures))

    def changes(self, items: Iterable[Document | Entry | Failure], progress: Progress) -> Iterator[_Change]:
        """Yield what has to be written, counting everything that comes by."""
        for item in items:
            change = self._change(item)
            if change is not None:
                yield change
            progress.advance()

    def _change(self, item: Document | Entry | Failure) -> _Change | None:
        if isinstance(item, Failure):
            self._fail(replace(item, path=storable(item.path)))
            return None
        entry = Entry(item.id, item.digest(), lambda: item) if isinstance(item, Document) else item
        path = storable(entry.path)
        if not self._is_first(path):
            self._fail(Failure(path, "another document of this source has the same id; give each its own"))
            return None
        origin = self._sources.origin(self.number, path) if self.number else None
        if origin is not None and origin.digest == entry.digest:
            self.counts["unchanged"] += 1
            return None
        try:
            return self._loaded(path, entry, origin)
        except (SourceError, OSError) as error:
            self._fail(Failure(path, str(error)))
            return None

    def _loaded(self, path: str, entry: Entry, origin: Origin | None) -> _Change:
        """Read a document that is new or changed, and settle which document of the index it is."""
        if origin is not None and self._may_take(origin.document, path, entry.digest):
            number: int | None = origin.document
            id = self._sources.documents([origin.document])[origin.document].document.id
        else:
            id, number = self._place(path, entry.digest)
        document = entry.load()
        document = document if document.id == id else replace(document, id=id)
        if number is None:
            self.counts["added"] += 1
            self._pending.add(id)
            if origin is not None:
                self._pending.moved.add(path)
            return _Change(path, entry.digest, None, document)
        if self._content(number) == document.digest() and not (origin and origin.digest == DISTRUSTED):
            self.counts["unchanged"] += 1
            self._pending.link(path, number, entry.digest)
            return _Change(path, entry.digest, number, None)
        self.counts["changed"] += 1
        self._pending.replace(path, number, entry.digest, document.digest())
        return _Change(path, entry.digest, number, document)

    def _content(self, number: int) -> str:
        """Return the digest of what a document holds, once everything planned so far is committed."""
        return self._pending.contents.get(number) or self._sources.documents([number])[number].digest

    def _place(self, path: str, digest: str) -> tuple[str, int | None]:
        """Return the id for a path that is new in this source, and the number of the document it stands for, if any.

        An id that another source holds is shared when both read the same, taken over when that source is gone from the
        file system, and otherwise set apart by this source's name.
        """
        for id in itertools.chain([path], self._set_apart(path)):
            if self._pending.has(id):
                continue  # whether it is committed yet must not matter
            number = self._sources.number(id)
            if number is None:
                return id, None
            if self._may_take(number, path, digest):
                return id, number
        raise AssertionError("unreachable: ids are tried without end")

    def _may_take(self, number: int, path: str, digest: str) -> bool:
        """Return whether a document may stand for what a path holds: all other paths that it stands for read the same.

        A document that no path stands for any longer, once everything planned so far is committed, is gone by then.
        """
        holders = self._holders(number)
        others = [one for where, one in holders.items() if where != (self.number or 0, path)]
        return bool(holders) and all(one.digest in (digest, DISTRUSTED) or one.name.is_gone for one in others)

    def _holders(self, number: int) -> dict[tuple[int, str], Holder]:
        """Return the paths that stand for a document, once everything planned so far is committed."""
        own = self.number or 0
        committed = [] if number in self._pending.contents else self._sources.holders(number)
        found = {
            (one.source, one.path): one
            for one in committed
            if not (one.source == own and one.path in self._pending.moved)
        }
        for path, digest in self._pending.of(number).items():
            found[own, path] = Holder(own, path, self.source, digest)
        return found

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
        known = self._sources.sources()
        for one in known:
            if one.source.location == self.source.location:
                return one.number
        for one in known:
            same = (one.source.kind, one.source.name) == (self.source.kind, self.source.name)
            if same and one.source.is_gone and self._is_moved(one.number):
                return one.number
        return None

    def _is_moved(self, number: int) -> bool:
        """Return whether a source of the same name is this one at its old place: half of its files are here."""
        if self.source.kind == "records":
            return True
        paths = self._sources.paths(number, most=1000)
        if self.source.kind == "file":
            return all(path == Path(self.source.location).name for path in paths)
        here = sum(Path(self.source.location, path).exists() for path in paths)
        return 2 * here >= len(paths)

    def _prune(self, prune: bool | None) -> list[str]:
        """Count what vanished from the source; return the paths to forget."""
        if self.number is None:
            return []
        vanished = [path for path in self._sources.paths(self.number) if _key(path) not in self._seen]
        if prune is None:
            sure = all(failure.identified for failure in self.failures)
            prune = sure and bool(self._seen) and self.source.kind != "stdin"
        self.counts["removed" if prune else "kept"] += len(vanished)
        return vanished if prune else []


class Sync(Plan):
    """A plan that is carried out."""

    def __init__(self, writer: Writer, source: SourceName, *, encoder: Encoder) -> None:
        super().__init__(writer, source)
        self._writer = writer
        self._encoder = encoder

    def run(
        self,
        items: Iterable[Document | Entry | Failure],
        *,
        prune: bool | None = None,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Read, encode and commit; see ``Index.sync``."""
        with self._writer.transaction():
            self.number = self._writer.open_source(self.number, self.source)
        batches = pipeline.batched(self.changes(items, progress), _characters)
        pipeline.run(batches, encode=self._encode, commit=self._commit)
        self._finish(prune)
        return self.report()

    def _encode(self, batch: Sequence[_Change]) -> list[Embedded | None]:
        """Split and encode the documents of a batch."""
        documents = [one.document for one in batch if one.document]
        items = [(document, tuple(passages.split(document.text))) for document in documents]
        embedded = iter(
            Embedded(document, spans, rows.astype(np.float16))
            for (document, spans), rows in zip(items, encode_passages(self._encoder, items), strict=True)
        )
        return [next(embedded) if one.document else None for one in batch]

    def _commit(self, batch: Sequence[_Change], embedded: Sequence[Embedded | None]) -> None:
        assert self.number is not None
        with self._writer.transaction():
            for change, content in zip(batch, embedded, strict=True):
                number = change.number
                if content:
                    number = self._writer.put(content, number=number)
                    self._writer.claim(self.number, change.path, document=number)
                assert number is not None
                self._writer.link(self.number, change.path, document=number, digest=change.digest)

    def _finish(self, prune: bool | None) -> None:
        """Forget what vanished, and record that the source was read to its end."""
        assert self.number is not None
        with self._writer.transaction():
            for path in self._prune(prune):
                self._writer.unlink(self.number, path)
            self._writer.close_source(self.number, self.failures)


def _characters(change: _Change) -> int:
    return len(change.document.text) if change.document else 0


def _key(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=12).digest()
