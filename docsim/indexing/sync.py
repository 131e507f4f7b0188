"""Sync: makes what an index holds of a source equal to the source, encoding only what is new or changed.

While the caller's thread reads a batch, another encodes the one before, and a third commits the one before that. A
batch is one transaction of whole documents, so after an interruption at any point, the next run does only what is left.
What vanished from the source is removed in the transaction of the last batch: a sync of one batch, as most are, is seen
whole or not at all. Documents that have to be split again, because of what the source repeats, follow in transactions
of their own.

No decision depends on how much of the run is committed already. If a path of the source has taken or left a document in
this run, neither the document nor its id is given to another path in the same run. So every decision is about documents
that the run has not touched, for which the index is up to date, and a dry run decides the same.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from docsim.encoding.documents import kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Sources, Writer
from docsim.engine.records import DISTRUSTED, Embedded, Origin, SourceName
from docsim.errors import SourceError
from docsim.indexing import origins, pipeline
from docsim.indexing.repetition import Repetition, Resplit
from docsim.models import Document, Entry, Failure, Item, LeftOut, Passage, SyncReport
from docsim.progress import SILENT, Progress
from docsim.text.storing import storable

__all__ = ["Plan", "Sync", "removed"]

_AHEAD = 16
"""Files that are read ahead, those that are being read included."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What to write for one path.

    Attributes:
        path: The path in the source.
        digest: What the path was read with.
        document_number: The document that the path stands for; None for a new one.
        document: Its content; None if the stored content is the same, so that only the path is recorded.
    """

    path: str
    digest: str
    document_number: int | None
    document: Document | None


_END = _Change("", "", None, None)
"""Comes after all changes: the source was read to its end."""


class Plan:
    """Compares a source with an index: reads what is new or changed, and counts. Only ``Sync`` also writes."""

    def __init__(self, sources: Sources, source: SourceName) -> None:
        self._sources = sources
        self.source_number, self.source = origins.found(sources, source)
        self.counts = Counter[str]()
        self.failures: list[Failure] = []
        self.left_out: list[LeftOut] = []
        self._seen = set[bytes]()
        self._given = set[bytes]()  # ids of documents that this run adds or may remove
        self._touched = set[int]()  # documents that a path has taken or left in this run
        self._disputed = set(sources.disputed())
        self._is_known = bool(self.source_number and sources.paths(self.source_number, most=1))

    def run(
        self,
        items: Iterable[Item],
        *,
        prune: bool | None = None,
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Return the report of a sync, without writing anything; see ``Index.sync``."""
        for _ in self.changes(items, progress):
            pass
        self._prune(prune)
        return self.report()

    def report(self) -> SyncReport:
        """Return the counts and failures so far."""
        return SyncReport(**self.counts, failures=tuple(self.failures), left_out=tuple(self.left_out))

    def changes(self, items: Iterable[Item], progress: Progress) -> Iterator[_Change]:
        """Yield the changes to write. Documents are counted on the way, unchanged ones too."""
        for item in self._ahead(items):
            if isinstance(item, LeftOut):
                self.left_out.append(LeftOut(storable(item.path), storable(item.reason)))
                continue
            change = self._change(item)
            if change is not None:
                yield change
            progress.advance()

    def _ahead(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items in their order, after beginning to read those a little ahead that are new or have changed."""
        waiting = deque[tuple[Item, bool]]()
        count = 0
        try:
            for item in items:
                is_begun = self._begin(item)
                waiting.append((item, is_begun))
                count += is_begun
                while waiting and (count > _AHEAD or not waiting[0][1]):
                    one, was_begun = waiting.popleft()
                    count -= was_begun
                    yield one
        except Exception:
            yield from (one for one, _ in waiting)  # what came before the error is all right
            raise
        yield from (one for one, _ in waiting)

    def _begin(self, item: Item) -> bool:
        """Begin to read an item if that can be done ahead and will be needed; return whether it was."""
        if not isinstance(item, Entry) or item.start is None or self._is_unchanged(item):
            return False
        item.start()
        return True

    def _is_unchanged(self, entry: Entry) -> bool:
        """Return whether an entry's path stands for a document that was read from the same content."""
        origin = self._origin(storable(entry.path))
        return origin is not None and origin.digest == entry.digest and origin.document_number not in self._disputed

    def _origin(self, path: str) -> Origin | None:
        return self._sources.origin(self.source_number, path) if self.source_number and self._is_known else None

    def _change(self, item: Document | Entry | Failure) -> _Change | None:
        if isinstance(item, Failure):
            self._fail(replace(item, path=storable(item.path)))
            return None
        entry = Entry(item.id, item.digest(), lambda: item) if isinstance(item, Document) else item
        path = storable(entry.path)
        if not self._is_first(path):
            self._fail(Failure(path, "another document of this source has the same id; give each its own"))
            return None
        if self._is_unchanged(entry):
            self.counts["unchanged"] += 1
            return None
        try:
            return self._loaded(path, entry, self._origin(path))
        except (SourceError, OSError) as error:
            self._fail(Failure(path, str(error)))
            return None

    def _loaded(self, path: str, entry: Entry, origin: Origin | None) -> _Change:
        """Read a document that is new or changed, and decide which document of the index it is."""
        document = entry.load()
        id, number = self._decided(path, entry.digest, origin)
        document = document if document.id == id else replace(document, id=id)
        if number is not None and self._trusted_digest(number) == document.digest():
            self.counts["unchanged"] += 1
            return _Change(path, entry.digest, number, None)
        self.counts["added" if number is None else "changed"] += 1
        return _Change(path, entry.digest, number, document)

    def _decided(self, path: str, digest: str, origin: Origin | None) -> tuple[str, int | None]:
        """Decide which id a path gets, and the number of the document that it stands for; None for a new document."""
        if origin is not None:
            known = self._sources.id(origin.document_number)  # None if its row was lost to damage
            may_stay = known is not None and self._may_take(origin.document_number, path, digest)
            self._touch(known, origin.document_number)
            if known is not None and may_stay:
                return known, origin.document_number
        id, taken = self._choose_id(path, digest)
        self._touch(id, taken)
        return id, taken

    def _touch(self, id: str | None, number: int | None) -> None:
        """Reserve a document and its id, so that no other path gets them in this run."""
        if id is not None:
            self._given.add(_key(id))
        if number is not None:
            self._touched.add(number)

    def _trusted_digest(self, number: int) -> str | None:
        """Return the digest of a document; None if the document is damaged and has to be replaced."""
        digests = [one.digest for one in self._sources.holders(number)]
        return None if not digests or DISTRUSTED in digests else self._sources.digest(number)

    def _choose_id(self, path: str, digest: str) -> tuple[str, int | None]:
        """Choose the id for a path that is new in this source.

        If another source holds a document of that id, the document is shared if both read the same content, and taken
        over if the other source no longer exists in the file system. Otherwise the id gets the name of this source in
        front.

        Returns:
            The id, and the number of the document that has it, or None if the document is new.
        """
        for id in itertools.chain([path], self._prefixed(path)):
            if _key(id) in self._given:
                continue
            number = self._sources.number(id)
            if number is None or self._may_take(number, path, digest):
                return id, number
        raise AssertionError("unreachable: there is always another id to try")

    def _may_take(self, number: int, path: str, digest: str) -> bool:
        """Return whether a document may stand for a path.

        Every other source that holds the document must have read the same content, have read it before it was damaged,
        or no longer exist. No other path of this source may hold it, since that path may change in the same run.
        """
        if number in self._touched:
            return False
        own = self.source_number or 0
        others = [one for one in self._sources.holders(number) if (one.source_number, one.path) != (own, path)]
        return all(
            one.source_number != own and (one.digest in (digest, DISTRUSTED) or one.source.is_gone) for one in others
        )

    def _prefixed(self, path: str) -> Iterator[str]:
        """Yield ids for a path whose own id is taken: the source's name in front, then with a number."""
        yield f"{self.source.name}/{path}"
        for count in itertools.count(2):
            yield f"{self.source.name}-{count}/{path}"

    def _fail(self, failure: Failure) -> None:
        self._is_first(failure.path)
        self.failures.append(replace(failure, reason=storable(failure.reason)))

    def _is_first(self, path: str) -> bool:
        """Remember a path; return whether it has not come before."""
        before = len(self._seen)
        self._seen.add(_key(path))
        return len(self._seen) > before

    def _prune(self, prune: bool | None) -> list[str]:
        """Count the documents that vanished from the source; return the paths to remove, if any.

        By default they are removed, unless they may still exist: if the source is empty or standard input, or holds
        records too broken to tell their ids.
        """
        if self.source_number is None:
            return []
        vanished = [path for path in self._sources.paths(self.source_number) if _key(path) not in self._seen]
        if prune is None:
            is_certain = all(failure.identified for failure in self.failures)
            prune = is_certain and bool(self._seen) and self.source.kind != "stdin"
        self.counts["removed" if prune else "kept"] += len(vanished)
        return vanished if prune else []


class Sync(Plan):
    """Compares a source with an index, and writes the changes in batches."""

    def __init__(
        self,
        writer: Writer,
        source: SourceName,
        encoder: Callable[[], Encoder],
        *,
        batch: int,
        keep_repeated: bool = False,
    ) -> None:
        """Compare a source with what an index holds.

        Args:
            writer: Of the index.
            source: What is read.
            encoder: Returns that of the live generation; called only if there is something to encode.
            batch: Characters that are encoded and committed together; see ``Index.batch``.
            keep_repeated: Keep in passages what most pages of the source repeat.
        """
        super().__init__(writer, source)
        self._writer = writer
        self._encoder = encoder
        self._batch = batch
        self._keeps_repeated = keep_repeated
        self._is_closed = False

    def run(
        self,
        items: Iterable[Item],
        *,
        prune: bool | None = None,
        sample: Iterable[str] = (),
        progress: Progress = SILENT,
    ) -> SyncReport:
        """Read, encode and commit what has changed; see ``Index.sync``."""
        with self._writer.transaction():
            self.source_number = self._writer.open_source(self.source_number, self.source)
        self._repetition = Repetition(self._writer, self.source_number, sample=sample, keep=self._keeps_repeated)
        batches = pipeline.batched(
            itertools.chain(self.changes(items, progress), [_END]), _characters, size=self._batch
        )
        pipeline.run(batches, encode=self._encode, commit=functools.partial(self._commit, prune=prune))
        if not self._is_closed:
            self._split_again()
        return self.report()

    def _encode(self, batch: Sequence[_Change], is_stopped: pipeline.IsStopped) -> list[Embedded | None]:
        """Split and encode the documents of a batch."""
        documents = [(one.path, one.document) for one in batch if one.document]
        spans = self._repetition.passages([(path, document.text) for path, document in documents])
        items = [(one, its) for (_, one), its in zip(documents, spans, strict=True)]
        embedded = iter(self._embedded(items, is_stopped))
        return [next(embedded) if one.document else None for one in batch]

    def _embedded(
        self, items: Sequence[tuple[Document, tuple[Passage, ...]]], is_stopped: pipeline.IsStopped = lambda: False
    ) -> Iterator[Embedded]:
        rows = kept_embeddings(self._encoder(), items, is_stopped=is_stopped) if items else ()
        for (document, spans), vectors in zip(items, rows, strict=True):
            yield Embedded(document, spans, vectors)

    def _commit(
        self, batch: Sequence[_Change], embedded: Sequence[Embedded | None], *, prune: bool | None = None
    ) -> None:
        with self._writer.transaction():
            self._repetition.note(change.path for change in batch if change is not _END)
            for change, content in zip(batch, embedded, strict=True):
                if change is _END:
                    self._finish(prune)
                else:
                    self._write(change, content)

    def _write(self, change: _Change, content: Embedded | None) -> None:
        assert self.source_number is not None
        number = change.document_number
        if content:
            number = self._writer.put(content, number=number)
        assert number is not None
        if change.document_number is not None:  # no other path stands for a new document
            self._writer.claim(self.source_number, change.path, document_number=number, digest=change.digest)
        self._writer.link(self.source_number, change.path, document_number=number, digest=change.digest)

    def _finish(self, prune: bool | None) -> None:
        """Remove what vanished, and record that the source was read completely, unless documents are split again."""
        assert self.source_number is not None
        for path in self._prune(prune):
            self._writer.unlink(self.source_number, path)
        if next(self._repetition.settle(), None) is None:
            self._close()

    def _split_again(self) -> None:
        """Split the documents again that hold what the source repeats, now that all of it is known."""
        for batch in pipeline.batched(self._repetition.settle(), _length, size=self._batch):
            embedded = list(self._embedded([(one.stored.document, one.passages) for one in batch]))
            with self._writer.transaction():
                self._repetition.note()
                for one, content in zip(batch, embedded, strict=True):
                    self._writer.put(content, number=one.stored.number)
        with self._writer.transaction():
            self._close()

    def _close(self) -> None:
        """Record that the source was read completely."""
        assert self.source_number is not None
        self._repetition.close()
        self._writer.close_source(self.source_number, self.failures)
        self._is_closed = True


def removed(writer: Writer, ids: Iterable[str]) -> int:
    """Remove documents by id, in one transaction; return how many were removed."""
    with writer.transaction():
        found = [number for id in dict.fromkeys(ids) if (number := writer.number(id)) is not None]
        for number in found:
            writer.remove(number)
    writer.optimize()
    return len(found)


def _length(one: Resplit) -> int:
    return len(one.stored.document.text)


def _characters(change: _Change) -> int:
    return len(change.document.text) if change.document else 0


@functools.lru_cache(maxsize=256)  # so that the key of a path and that of its id are one object
def _key(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=12).digest()
