"""Origins: which source of an index a path in the file system is, though it may have been moved or renamed.

A source is known by its location. A symbolic link is a location of its own, so that it stays one source when it points
to another folder. Where a source is gone, its documents go over to one that has taken its place:

- records of the same name, and a file of the same name;
- an export of the same name, without dates and numbers, that has at least half of its pages;
- a folder of the same name that has at least half of its files, of which 1,000 are looked at;
- a folder of another name that has at least half of its files, with the same content.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from docsim.engine.base import Sources
from docsim.engine.records import RecordedSource, SourceName
from docsim.errors import SourceError, UsageError
from docsim.ingest import sources as files
from docsim.ingest.file_digests import digest
from docsim.models import Document, LeftOut

__all__ = ["found"]

_LOOKED_AT = 1000


def found(sources: Sources, source: SourceName) -> tuple[int | None, SourceName]:
    """Return the number of a source in an index, None if it is new there, and what it is called from now on."""
    known = sources.sources()
    for one in known:
        if one.source.location == source.location:
            return one.number, source
    for one in known:
        if one.source.kind == source.kind and _is_same_place(one.source, source):
            is_link = os.path.realpath(one.source.location) != one.source.location
            return one.number, replace(source, location=one.source.location) if is_link else source
    for one in sorted(known, key=lambda one: one.source.name != source.name):
        if one.source.kind == source.kind and one.source.is_gone and _is_moved(sources, one, source):
            return one.number, source
    return None, source


def _is_same_place(one: SourceName, other: SourceName) -> bool:
    is_file = one.kind in ("folder", "file", "records", "export") and not one.is_gone and not other.is_gone
    return is_file and os.path.realpath(one.location) == os.path.realpath(other.location)


def _is_moved(sources: Sources, one: RecordedSource, source: SourceName) -> bool:
    """Return whether a source that is gone has become another one of its kind."""
    if source.kind == "export":
        return one.source.name == source.name and _has_half(sources, one, source)
    if source.kind != "folder":
        return one.source.name == source.name and (source.kind == "records" or _has_its_file(sources, one, source))
    paths = sources.paths(one.number, most=_LOOKED_AT)
    here = [path for path in paths if Path(source.location, path).exists()]
    if one.source.name != source.name:
        here = [path for path in here if _is_unchanged(sources, one, path, Path(source.location, path))]
    is_half = 2 * len(here) >= len(paths) and (bool(here) or one.source.name == source.name)
    return is_half or (not here and _has_half(sources, one, source))


def _has_its_file(sources: Sources, one: RecordedSource, source: SourceName) -> bool:
    return all(path == Path(source.location).name for path in sources.paths(one.number, most=_LOOKED_AT))


def _has_half(sources: Sources, one: RecordedSource, source: SourceName) -> bool:
    """Return whether an export has at least half of the pages of one that is gone, of which 1,000 are looked for."""
    wanted = set(sources.paths(one.number, most=_LOOKED_AT))
    try:
        opened = files.open_source(source.location)
        entries = opened.entries() if opened.form else ()
        found = {
            item.id if isinstance(item, Document) else item.path for item in entries if not isinstance(item, LeftOut)
        }
    except (SourceError, UsageError, OSError):
        return False
    return bool(wanted & found) and 2 * len(wanted & found) >= len(wanted)


def _is_unchanged(sources: Sources, one: RecordedSource, path: str, file: Path) -> bool:
    origin = sources.origin(one.number, path)
    try:
        return origin is not None and origin.digest == digest(file)
    except OSError:
        return False
