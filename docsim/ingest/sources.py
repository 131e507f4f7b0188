"""Sources: from a path that a user names to the documents in it.

    folder     every document below it; ``docsim.ingest.folders`` says which files are documents
    file       one document, with any suffix
    records    one document per line of JSONL or row of CSV, perhaps gzipped; see ``docsim.ingest.tables``
    stdin      ``-``: one document per line of JSONL

A source is read as a stream. Each file is hashed when its turn comes, and read and converted only when its entry is
loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from docsim.errors import SourceError, UsageError
from docsim.ingest import folders, formats, tables
from docsim.models import Document, Entry, Failure

__all__ = ["Source", "open_source", "read_document"]

FILE_LIMIT = 1 << 29
"""The largest file that is read as one document, in bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that documents are read from.

    Attributes:
        kind: What it is.
        location: The absolute path, with symbolic links resolved, or ``-``.
        name: A short name: that of the folder, of the folder that contains a single file, of the file of records
            without its suffixes, or ``stdin``.
        stdin: What is read when ``kind`` is ``stdin``; None for the standard input of the process.
    """

    kind: Literal["folder", "file", "records", "stdin"]
    location: str
    name: str
    stdin: IO[bytes] | None = field(default=None, repr=False, compare=False)

    def entries(self) -> Iterator[Entry | Failure]:
        """Yield an entry for every document, and a ``Failure`` for each that cannot be read.

        Standard input can be read only once.

        Raises:
            SourceError: The source as a whole can no longer be read.
            UsageError: A CSV file has no column ``text``.
        """
        path = Path(self.location)
        if self.kind == "stdin":
            yield from tables.stream_entries(self.stdin or sys.stdin.buffer)
        elif self.kind == "records":
            yield from tables.entries(path)
        elif self.kind == "file":
            yield _entry(path, id=_id(path.name))
        else:
            for found in folders.files(path):
                yield found if isinstance(found, Failure) else _entry(path / found, id=_id(found))

    def total(self) -> int | None:
        """Return the number of entries and failures that there will be, or None when it cannot be known in advance."""
        path = Path(self.location)
        if self.kind == "folder":
            return sum(1 for _ in folders.files(path))
        if self.kind == "records":
            return tables.count(path)
        return 1 if self.kind == "file" else None


def open_source(argument: str, *, stdin: IO[bytes] | None = None) -> Source:
    """Return the source at a path.

    Args:
        argument: The path of a folder or file, or ``-`` for standard input.
        stdin: What ``-`` reads; by default the standard input of the process.

    Raises:
        UsageError: There is no such folder or file, it cannot be read, or it is CSV without a column ``text``.
    """
    if argument == "-":
        return Source("stdin", "-", "stdin", stdin)
    path, mode = _located(argument)
    if stat.S_ISDIR(mode) and os.access(path, os.R_OK | os.X_OK):
        return Source("folder", str(path), path.name or "root")
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        raise UsageError(f"expected a folder or a file, got {argument!r}, which is neither or cannot be read")
    if tables.is_table(path.name):
        tables.check(path)
        return Source("records", str(path), tables.stem(path.name))
    return Source("file", str(path), path.parent.name or "root")


def read_document(path: Path, *, id: str | None = None) -> Document:
    """Read one file of any format as a document.

    Args:
        path: The file.
        id: The document's id; by default the file's name.

    Raises:
        SourceError: The file cannot be read or converted. The message is one clause for people, without the path.
    """
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise SourceError(f"the file is larger than {FILE_LIMIT >> 20} MB")
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"could not be read: {error.strerror}") from error
    content = formats.read(data, path.suffix, "/".join(path.absolute().parts[-2:]))
    return Document(id=id or _id(path.name), text=content.text, title=content.title, metadata=content.metadata)


def _located(argument: str) -> tuple[Path, int]:
    """Return the absolute path that an argument names, with symbolic links resolved, and its mode."""
    try:
        path = Path(argument).resolve()
        return path, path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"expected a folder or a file, got {argument!r}: {reason}") from error


def _entry(path: Path, *, id: str) -> Entry | Failure:
    """Return the entry of a file, which is hashed but not read as a document yet."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        return Failure(id, f"could not be read: {error.strerror}")
    digest.update(f"\n{formats.FORMATS_VERSION}".encode())
    return Entry(id, digest.hexdigest(), functools.partial(read_document, path, id=id))


def _id(path: str) -> str:
    r"""Return a path as text. Bytes that are not valid UTF-8 are written as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
