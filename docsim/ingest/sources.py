"""Sources: from a path that a user names to the documents in it.

    folder     every document below it; ``docsim.ingest.folders`` says which files are documents
    file       one document, with any suffix
    records    one document per line of JSONL or row of CSV, perhaps gzipped; see ``docsim.ingest.record_files``
    export     an archive, or a file that a tool made, in one of the forms of ``docsim.ingest.forms``
    stdin      ``-``: one document per line of JSONL

A folder may have a form, too: an unpacked export, a vault, a site.

A source is read as a stream. Each file is hashed when its turn comes, unless it has not changed. It is converted only
when its entry is loaded.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from docsim.errors import SourceError, UsageError
from docsim.ingest import conversion_pool, file_names, folders, forms, record_files, trees
from docsim.ingest.conversion_pool import USUAL, Conversion
from docsim.ingest.file_digests import FileDigests
from docsim.ingest.forms.since import checked
from docsim.ingest.trees.tree import FILE_LIMIT, id_of
from docsim.models import Document, Entry, Failure, Item, LeftOut

__all__ = ["FILE_LIMIT", "ReadingOptions", "Source", "open_source", "read_document"]

logger = logging.getLogger(__name__)

_VERSION = re.compile(  # what tools put into the names of exports: ids, dates, numbers
    r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9]+(?:[-_.T:]*[0-9]+)*"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b",
    re.IGNORECASE,
)
_UNREAD_ARCHIVE = re.compile(r"\.(?:7z|rar|cab|iso|dmg|lha|(?:t|tar\.)(?:zst|lz|lz4|lzma|z))\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a source is read.

    Attributes:
        include: Patterns, such as ``*.json``, of files in a folder that are read whatever their suffix.
        text_column: The field of a record that is its text; by default ``text``.
        title_column: The field that is its title; by default ``title``.
        id_column: The field that is its id; by default ``id``.
        convert_timeout: Seconds that converting one file may take; see ``docsim.ingest.conversion_pool``.
        form: The form that it is read in, one of ``forms.names()``; by default the one that is recognised.
        since: A date in ISO 8601: documents of an export that were last changed before are left out.
        keep_repeated: Whether passages keep what most pages repeat; see ``docsim.ingest.repeated``.
        hidden: Whether hidden sheets and slides are read; by default they are.
    """

    include: tuple[str, ...] = ()
    text_column: str | None = None
    title_column: str | None = None
    id_column: str | None = None
    convert_timeout: float | None = None
    form: str | None = None
    since: str | None = None
    keep_repeated: bool | None = None
    hidden: bool | None = None

    def conversion(self) -> Conversion:
        """Return how files are converted."""
        return Conversion(self.convert_timeout, self.hidden is not False)

    def columns(self) -> record_files.Columns:
        """Return which fields of a record make the document."""
        return record_files.Columns(self.text_column or "text", self.title_column or "title", self.id_column or "id")

    def written(self) -> str:
        """Return what is not as usual, as JSON; nothing where all is."""
        given = {name: value for name, value in asdict(self).items() if value or (name == "hidden" and value is False)}
        return json.dumps(given, ensure_ascii=False, sort_keys=True) if given else ""

    @classmethod
    def of(cls, written: str) -> ReadingOptions:
        """Return what ``written`` gave."""
        given = json.loads(written or "{}")
        return cls(**given | {"include": tuple(given.get("include", ()))})


@dataclass(frozen=True, slots=True)
class Source:
    """Something that documents are read from.

    Attributes:
        kind: What it is.
        location: The absolute path, or ``-``. A symbolic link stays one: it may point to another folder tomorrow.
        name: A short name: that of the folder, of the folder that contains a single file, of the file of records
            without its suffixes, or ``stdin``.
        stdin: What is read when ``kind`` is ``stdin``; None for the standard input of the process.
        reading: How it is read.
        form: The form that it is read in; empty for a plain folder, file, or file of records.
    """

    kind: Literal["folder", "file", "records", "export", "stdin"]
    location: str
    name: str
    stdin: IO[bytes] | None = field(default=None, repr=False, compare=False)
    reading: ReadingOptions = ReadingOptions()
    form: str = ""

    def written(self) -> str:
        """Return how the source is read, as it is remembered: an export stays in its form."""
        return replace(self.reading, form=self.form or self.reading.form).written()

    def check(self) -> None:
        """Raise an error unless records can be read from a file of records.

        Raises:
            UsageError: It cannot be opened, is binary, or is CSV without a column for the text.
        """
        if self.kind == "records" and not self.form:
            record_files.check(Path(self.location), self.reading.columns())

    def entries(self, digests: FileDigests | None = None) -> Iterator[Item]:
        """Yield every document or an entry for it, a ``Failure`` for each that cannot be read, and what is left out.

        Entries of an archive are to be loaded, or started, before the next one is asked for: it is closed at the end.
        Standard input can be read only once.

        Args:
            digests: Those of the last time, by which files of a plain folder that have not changed are not read again;
                takes up those of this time.

        Raises:
            SourceError: The source as a whole can no longer be read.
            UsageError: A CSV file has no column for the text.
        """
        path, reading = Path(self.location), self.reading
        if self.form:
            yield from forms.documents(path, self.form, forms.How(reading.include, reading.since, reading.conversion()))
        elif self.kind == "stdin":
            yield from record_files.stream_entries(self.stdin or sys.stdin.buffer, self.reading.columns())
        elif self.kind == "records":
            yield from record_files.entries(path, self.reading.columns())
        elif self.kind == "file":
            yield _entry(path, id_of(path.name), self.reading, digests or FileDigests())
        else:
            yield from _folder_entries(path, self.reading, digests or FileDigests())

    def total(self) -> int | None:
        """Return the number of entries and failures that there will be, or None when it cannot be known in advance."""
        path = Path(self.location)
        if self.form:
            return None
        if self.kind == "folder":
            return sum(not isinstance(one, LeftOut) for one in folders.files(path, include=self.reading.include))
        if self.kind == "records":
            return record_files.count(path)
        return 1 if self.kind == "file" else None

    def size(self) -> int | None:
        """Return the bytes of all files that are read, unpacked, or None when that cannot be known in advance."""
        path = Path(self.location)
        if self.kind == "stdin":
            return None
        if self.kind != "folder":
            return _unpacked(path)
        if self.form:
            return sum(_size(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
        found = folders.files(path, include=self.reading.include)
        return sum(_size(path / one) for one in found if isinstance(one, str))


def open_source(argument: str, *, stdin: IO[bytes] | None = None, reading: ReadingOptions = ReadingOptions()) -> Source:
    """Return the source at a path.

    Args:
        argument: The path of a folder or file, or ``-`` for standard input.
        stdin: What ``-`` reads; by default the standard input of the process.
        reading: How to read it.

    Raises:
        UsageError: There is no such folder or file, or it cannot be read.
    """
    if argument == "-":
        return Source("stdin", "-", "stdin", stdin, reading)
    path, mode = _located(argument)
    form = _form(path, mode, reading)
    if stat.S_ISDIR(mode) and os.access(path, os.R_OK | os.X_OK):
        return Source("folder", str(path), path.name or "root", reading=reading, form=form)
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        raise UsageError(f"expected a folder or a file, got {argument!r}, which is neither or cannot be read")
    if _UNREAD_ARCHIVE.search(path.name):
        raise UsageError(
            f"expected an archive that is .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, got {argument!r}; unpack it, and "
            "index the folder"
        )
    if form:
        return Source("export", str(path), _export_name(path), reading=reading, form=form)
    if record_files.is_table(path.name):
        return Source("records", str(path), record_files.stem(path.name), reading=reading)
    return Source("file", str(path), path.parent.name or "root", reading=reading)


def read_document(path: Path, *, id: str | None = None, how: Conversion = USUAL, data: bytes | None = None) -> Document:
    """Read one file of any format as a document.

    Args:
        path: The file.
        id: The document's id; by default the file's name.
        how: How it is converted.
        data: Its content, if that has been read already.

    Raises:
        SourceError: The file cannot be read or converted. The message is one clause for people, without the path.
    """
    if data is None:
        data = _content(path)
    name = id_of("/".join(path.absolute().parts[-2:]))
    try:
        content = conversion_pool.read(data, file_names.suffix(path.name), name, how=how)
    except SourceError:
        raise
    except MemoryError as error:
        raise SourceError("there is not enough memory to read it") from error
    except Exception as error:  # whatever a file makes a reader do, the others go on
        logger.debug("%s could not be read", path, exc_info=True)
        raise SourceError(f"could not be read: {type(error).__name__}") from error
    metadata = {**content.metadata, "incomplete": list(content.lost)} if content.lost else content.metadata
    return Document(id=id or id_of(path.name), text=content.text, title=content.title, metadata=metadata)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise SourceError(f"the file is larger than {FILE_LIMIT >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"could not be read: {error.strerror}") from error


def _unpacked(path: Path) -> int | None:
    """Return the size of a file, or of what a zip file holds; None for other compressed files."""
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return sum(one.file_size for one in archive.infolist())
        except (OSError, zipfile.BadZipFile):
            return None
    return None if trees.is_archive(path) or path.suffix == ".gz" else _size(path)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # it is reported when its turn comes
        return 0


def _located(argument: str) -> tuple[Path, int]:
    """Return the absolute path that an argument names, and its mode. Symbolic links stay, unless ``..`` follows one."""
    try:
        path = Path(os.path.normpath(_here() / argument))
        named = Path(argument).stat()
        if not path.exists() or not os.path.samestat(path.stat(), named):
            path = Path(argument).resolve()
        return path, named.st_mode
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"expected a folder or a file, got {argument!r}: {reason}") from error


def _form(path: Path, mode: int, reading: ReadingOptions) -> str:
    """Return the form that a folder or file is read in; empty if it is a plain one.

    Raises:
        UsageError: There is no such form or date, or the archive cannot be read.
    """
    checked(reading.since or "")
    is_readable = (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) and os.access(path, os.R_OK)
    if reading.form and reading.form not in forms.names():
        raise UsageError(f"expected a form of {', '.join(forms.names())}, got {reading.form!r}", hint="--as FORM")
    if not is_readable or reading.columns() != record_files.Columns():
        return ""
    if reading.form:
        return "" if reading.form == forms.FILES and not trees.is_archive(path) else reading.form
    try:
        return forms.recognised(path)
    except (SourceError, OSError) as error:
        raise UsageError(f"could not read {path}: {getattr(error, 'strerror', None) or error}") from error


def _export_name(path: Path) -> str:
    """Return a name that an export and a later one of the same share: without ids, dates and numbers."""
    stem = file_names.stem(path.name)
    return " ".join(re.sub(r"[\s_-]+", " ", _VERSION.sub(" ", stem)).split()) or stem


def _here() -> Path:
    """Return the folder that the user is in, as the shell names it, in which symbolic links are kept."""
    real = Path.cwd()
    named = Path(os.environ.get("PWD", ""))
    return named if named.is_absolute() and named.exists() and named.samefile(real) else real


def _folder_entries(root: Path, reading: ReadingOptions, digests: FileDigests) -> Iterator[Entry | Failure | LeftOut]:
    counts = Counter[str]()
    for found in folders.files(root, include=reading.include):
        if isinstance(found, LeftOut):
            yield LeftOut(id_of(found.path), found.reason)
        elif isinstance(found, Failure):
            yield found
        else:
            id = id_of(found)
            if not id.isascii():  # names that differ only in how their accents are written
                counts[id] += 1
                id = _numbered(id, counts[id])
            if record_files.is_table(found):
                yield from _table_entries(root / found, id, reading)
            else:
                yield _entry(root / found, id, reading, digests)
    conversion_pool.rest()


def _numbered(id: str, number: int) -> str:
    """Return the id of the second and further files of one name: ``notes (2).md``."""
    suffix = file_names.suffix(id)
    return id if number == 1 else f"{id[: len(id) - len(suffix)]} ({number}){suffix}"


def _table_entries(path: Path, name: str, reading: ReadingOptions) -> Iterator[Entry | Failure | LeftOut]:
    """Yield the records of a table in a folder; their ids begin with its path."""
    try:
        for one in record_files.entries(path, reading.columns()):
            yield replace(one, path=f"{name}/{one.path}")
    except UsageError:
        yield LeftOut(name, f"table without a column {reading.columns().text}")
    except (SourceError, OSError) as error:
        yield Failure(f"{name}/", str(error), identified=False)


def _entry(path: Path, id: str, reading: ReadingOptions, digests: FileDigests) -> Entry | Failure:
    """Return the entry of a file, which may be read already but is not converted yet."""
    how = reading.conversion()
    try:
        file = digests.read(path)
    except OSError as error:
        return Failure(id, f"could not be read: {error.strerror}")

    def load() -> Document:
        return read_document(path, id=id, how=how, data=file.data)

    digest = file.digest + ("" if how.hidden else " without what is hidden")
    if not conversion_pool.is_apart(file_names.suffix(path.name)):
        return Entry(id, digest, load)
    conversion = conversion_pool.Ahead(load)
    return Entry(id, digest, conversion.result, conversion.start)
