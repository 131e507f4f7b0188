"""Synchronising an index with folders, files and records."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from docsim.encoding.encoder import Encoder
from docsim.engine import opening
from docsim.engine.records import Holder, Origin, RecordedFailure, RecordedSource, SourceName
from docsim.errors import StoreError
from docsim.index import Index
from docsim.indexing import origins, source_notes
from docsim.indexing.sync import Plan
from docsim.ingest import sampling
from docsim.ingest.file_digests import FileDigests
from docsim.ingest.sources import ReadingOptions, Source, open_source
from docsim.jobs import first_encoder
from docsim.jobs.first_encoder import Wanted
from docsim.maintenance import verify, vocabulary_advice
from docsim.models import Failure, LeftOut, SyncReport
from docsim.progress import SILENT, Progress

__all__ = ["SyncOptions", "Synced", "holds", "sync", "sync_source"]


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How to synchronise.

    Attributes:
        prune: Whether to remove what the sources no longer have; by default where that is safe, see ``Index.sync``.
        dry_run: Only count what would be done; write nothing.
        index_type: How passages are searched from now on, see ``Index.create``.
        recall: The recall to tune an approximate index to, see ``Index.create``.
        wait: Wait for another process that is writing.
        read_all: Read every file, those too whose size and times say that they have not changed.
    """

    prune: bool | None = None
    dry_run: bool = False
    index_type: str | None = None
    recall: float | None = None
    wait: bool = False
    read_all: bool = False


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done, or would be done.

    Attributes:
        index: The index's directory.
        dry_run: Whether nothing was written.
        reports: What was done for each source, in the order given.
        warnings: Why searching the index may be slow or miss much, a sentence each; none after a dry run.
    """

    index: Path
    dry_run: bool
    reports: tuple[SyncReport, ...]
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> SyncReport:
        """The reports of all sources, added up."""
        failures = tuple(failure for one in self.reports for failure in one.failures)
        left_out = tuple(one for report in self.reports for one in report.left_out)
        names = ("added", "changed", "unchanged", "removed", "kept")
        sums = {name: sum(getattr(one, name) for one in self.reports) for name in names}
        return SyncReport(**sums, failures=failures, left_out=left_out)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The documents of all sources that could not be read."""
        return self.total.failures

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What is left out of all sources."""
        return self.total.left_out


def sync(
    path: Path,
    sources: Sequence[Source],
    options: SyncOptions = SyncOptions(),
    *,
    encoder: Encoder | None = None,
    dim: int | None = None,
    among: Sequence[Source] = (),
    progress: Progress = SILENT,
) -> Synced:
    """Bring the index at ``path`` up to date with some sources, one after the other.

    Only documents that are new or have changed are encoded. What was committed before an error stays.

    Args:
        path: The index's directory. When there is no index, it is made first, unless this is a dry run.
        sources: What to read.
        options: How to do it.
        encoder: The encoder of a new index, or the one that an existing index is expected to have. By default that of a
            new one is chosen, see ``first_encoder.wanted``, and so is that of an index without documents whose encoder
            was chosen, too.
        dim: How many components are kept of an encoder that is chosen.
        among: All that the index is to hold, by whose size its encoder is chosen; by default ``sources``.
        progress: Told what is being done.

    Raises:
        UsageError: There is no such index type or recall, or a file of records cannot be read.
        EncoderError: The encoder that is chosen is missing or damaged, or was not trained for ``dim`` components.
        FingerprintMismatch: The index has another encoder.
        IndexLocked: Another process is writing and ``wait`` is off.
        SourceError: A source as a whole has become unreadable.
        StoreError: The directory holds something else, or the index cannot be written to.
    """
    want = partial(first_encoder.wanted, among or sources, encoder=encoder, dim=dim)
    if opening.exists(path):
        with contextlib.suppress(StoreError), Index.open(path) as index:  # else finished below
            if not first_encoder.is_free(index):
                _check(index, encoder or (Encoder.default(dim=dim) if dim else None))
            sources = [_as_before(index, source) for source in sources]
    for source in sources:
        source.check()
    if options.dry_run and not opening.exists(path):
        first_encoder.tell(want(), progress)
        return Synced(path, True, tuple(_planned(source, options, progress) for source in sources))
    with Index.open(path) if options.dry_run else _made(path, want, options, progress) as index:
        reports = tuple(_synced(index, source, options, progress) for source in sources)
        return Synced(path, options.dry_run, reports, () if options.dry_run else tuple(_warnings(index, reports)))


def _check(index: Index, encoder: Encoder | None) -> None:
    """Raise ``FingerprintMismatch`` if an index has another encoder than it is expected to have."""
    if encoder is not None:
        opening.check_encoder(encoder, index.generation(), index.path)


def _made(path: Path, want: Callable[[], Wanted], options: SyncOptions, progress: Progress) -> Index:
    """Open an index, and make it first if there is none; let one that holds nothing yet have the encoder it wants."""
    is_new = not _is_made(path)
    found = want() if is_new else None
    if found:
        first_encoder.tell(found, progress)
    index = Index.create(
        path,
        encoder=found.encoder if found else None,
        index_type=options.index_type,
        recall=options.recall,
        wait=options.wait,
    )
    try:
        if found:
            first_encoder.note(index, found)
        else:
            _settle(index, want, options, progress)
    except BaseException:
        index.close()
        raise
    return index


def _is_made(path: Path) -> bool:
    """Return whether there is an index at a path that has an encoder already."""
    try:
        with Index.open(path) as index:
            index.generation()
        return True
    except StoreError:
        return False


def _settle(index: Index, want: Callable[[], Wanted], options: SyncOptions, progress: Progress) -> None:
    """Let an index that holds nothing yet have the encoder that a new one would get."""
    if first_encoder.is_free(index):
        first_encoder.give(index, want(), wait=options.wait, progress=progress)


def _warnings(index: Index, reports: Sequence[SyncReport]) -> Iterator[str]:
    """Yield what the user should know about the index; what texts tell, only when some are new."""
    yield from verify.warnings(index)
    if not any(one.added or one.changed for one in reports):
        return
    if advice := vocabulary_advice.advice(vocabulary_advice.read_vocabulary(index)):
        yield advice


def sync_source(
    index: Index, source: Source, options: SyncOptions = SyncOptions(), *, among: Sequence[Source] = ()
) -> SyncReport:
    """Bring an open index up to date with one source, read as it was the last time; see ``sync``."""
    found = _as_before(index, source)
    found.check()
    if not options.dry_run:
        _settle(index, partial(first_encoder.wanted, among or [source]), options, SILENT)
    return _synced(index, found, options, SILENT)


def holds(path: Path, sources: Sequence[Source]) -> bool:
    """Return whether the index at a path holds one of some sources, or nothing yet; a broken one, if it is named so."""
    try:
        with Index.open(path) as index:
            known = index.engine.sources()
            return not known.sources() or any(origins.found(known, _name(one))[0] is not None for one in sources)
    except StoreError:
        return path.name == sources[0].name


def _as_before(index: Index, source: Source) -> Source:
    """Return a source that is read as it was the last time, unless it says how."""
    number, _ = origins.found(index.engine.sources(), _name(source))
    given = {name: getattr(source.reading, name) for name in ("convert_timeout", "keep_repeated", "hidden")}
    if number is None or source.reading != ReadingOptions(**given):
        return source
    before = ReadingOptions.of(source_notes.note(index.engine, number).reading)
    reading = replace(before, **{name: value for name, value in given.items() if value is not None})
    if source.kind == "stdin" or (
        (reading.form or "") == source.form and replace(reading, form=None) == source.reading
    ):
        return replace(source, reading=reading)
    return open_source(source.location, reading=reading)  # as what is recognised by itself may be something else


def _synced(index: Index, source: Source, options: SyncOptions, progress: Progress) -> SyncReport:
    progress.begin(source.name, source.total)
    number, _ = origins.found(index.engine.sources(), _name(source))
    digests = FileDigests(source_notes.files(index.engine, number) if number and not options.read_all else "")
    report = index.sync(
        source.entries(digests),
        source=_name(source),
        prune=options.prune,
        sample=sampling.pages(source),
        keep_repeated=bool(source.reading.keep_repeated),
        dry_run=options.dry_run,
        wait=options.wait,
        progress=progress,
    )
    number, _ = origins.found(index.engine.sources(), _name(source))
    if number is not None and not options.dry_run:
        source_notes.keep(index.engine, number, reading=source.written(), left_out=report.left_out)
        source_notes.keep_files(index.engine, number, digests.written())
    return report


def _planned(source: Source, options: SyncOptions, progress: Progress) -> SyncReport:
    """Count what would go into an index that does not exist yet."""
    progress.begin(source.name, source.total)
    return Plan(_NoSources(), _name(source)).run(source.entries(), prune=options.prune, progress=progress)


def _name(source: Source) -> SourceName:
    return SourceName(source.kind, source.location, source.name)


class _NoSources:
    """What is known about the sources of an index that does not exist: nothing."""

    def sources(self) -> list[RecordedSource]:
        return []

    def failures(self) -> list[RecordedFailure]:
        return []

    def paths(self, source_number: int, *, most: int | None = None) -> list[str]:
        return []

    def origin(self, source_number: int, path: str) -> Origin | None:
        return None

    def holders(self, number: int) -> list[Holder]:
        return []

    def disputed(self) -> list[int]:
        return []

    def number(self, id: str) -> int | None:
        return None

    def id(self, number: int) -> str | None:
        return None

    def digest(self, number: int) -> str | None:
        return None

    def read_from(self, file: Path) -> int | None:
        return None
