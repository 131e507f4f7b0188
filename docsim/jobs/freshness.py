"""Freshness: whether the file that a document was read from has changed since, or is gone.

A file's times tell whether anything can have happened since its source was read; only then is its content compared with
what was read. Of a table, an archive or an export, which hold many documents, only the time of the whole file is known.
Nothing is said of a source that cannot be reached, such as a drive that is not mounted, or of documents without files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from docsim.engine.records import Holder
from docsim.index import Index
from docsim.indexing import source_notes
from docsim.jobs import document_addresses
from docsim.models import SearchResult, Stale

__all__ = ["FileOrigin", "noted", "origins", "stale"]

_BY_FILE = ("", "files", "obsidian", "site")
"""Forms of folders in which a document's path is that of its file."""

_MOST_READ = 4 << 20
"""A larger file is not read to see whether it has changed; its time alone tells."""


@dataclass(frozen=True, slots=True)
class FileOrigin:
    """A path that a document was read from.

    Attributes:
        holder: The path and its source.
        form: The form that the source is read in; empty for a plain one.
    """

    holder: Holder
    form: str

    @property
    def place(self) -> Path:
        """The folder or the file that the source is."""
        return Path(self.holder.source.location)

    @property
    def is_in_folder(self) -> bool:
        """Whether the source is a folder."""
        return self.holder.source.kind == "folder"


def noted(index: Index, result: SearchResult) -> SearchResult:
    """Return an answer with ``Hit.stale`` of all its hits."""
    found = stale(origins(index, [hit.id for hit in result.hits]))
    return (
        replace(result, hits=tuple(replace(hit, stale=found.get(hit.id)) for hit in result.hits)) if found else result
    )


def origins(index: Index, ids: Sequence[str]) -> dict[str, list[FileOrigin]]:
    """Return the paths in the file system that some documents were read from, by id; no file is looked at."""
    known, forms = index.engine.sources(), dict[int, str]()
    found: dict[str, list[FileOrigin]] = {}
    for id in ids:
        number = known.number(id)
        for one in known.holders(number) if number is not None else ():
            if one.source.kind not in ("folder", "file", "records", "export"):
                continue
            if one.source_number not in forms:
                forms[one.source_number] = source_notes.note(index.engine, one.source_number).form
            found.setdefault(id, []).append(FileOrigin(one, forms[one.source_number]))
    return found


def stale(found: Mapping[str, Sequence[FileOrigin]]) -> dict[str, Stale]:
    """Return which documents have files that are not what was read, and how; those that are, or may be, are left out.

    A document that several files stand for is as it was read while one of them is.

    Args:
        found: Paths by a document's id, as ``origins`` returns them.
    """
    told: dict[str, Stale] = {}
    for id, each in found.items():
        states = {_state(one) for one in each}
        if None not in states:
            told[id] = "changed" if "changed" in states else "gone"
    return told


def _state(one: FileOrigin) -> Stale | None:
    """Return what has become of a file; None if it is as it was read, or if that cannot be told."""
    try:
        file = document_addresses.file_in(one.holder) if one.is_in_folder else one.place if one.place.exists() else None
        if file is not None:
            return "changed" if _has_changed(one, file) else None
        return "gone" if _is_reached(one) else None
    except (OSError, ValueError):  # it cannot be looked at, or has a name that no file has
        return None


def _is_reached(one: FileOrigin) -> bool:
    """Return whether the folder is there that a file is missing in. An empty one may be where a drive is mounted."""
    if one.is_in_folder and one.form not in _BY_FILE:
        return False
    with os.scandir(one.place if one.is_in_folder else one.place.parent) as entries:
        return next(entries, None) is not None


def _has_changed(one: FileOrigin, file: Path) -> bool:
    found = file.stat()
    read = None if one.holder.read is None else datetime.fromisoformat(one.holder.read).timestamp()  # to the second
    if read is not None and max(found.st_mtime, found.st_ctime) < read:
        return False
    if _is_one_document(one, file) and found.st_size <= _MOST_READ:
        from docsim.ingest.file_digests import digest  # which takes longer to import than most queries to answer

        return digest(file) != one.holder.digest
    return read is not None and found.st_mtime >= read + 1


def _is_one_document(one: FileOrigin, file: Path) -> bool:
    """Return whether a file is one document, known by its digest, and no table or archive that a path leads into."""
    from docsim.ingest.record_files import is_table
    from docsim.ingest.trees.tree import id_of

    if one.form or is_table(file.name):
        return False
    return one.holder.source.kind == "file" or id_of(file.name) == one.holder.path.rpartition("/")[2]
