"""Files of records: one document per line of JSON or row of CSV.

The fields ``id``, ``title`` and ``text`` of a record make the document, or those that ``Columns`` names; all other
fields become its metadata. The id of a record without one is its place, ``<file>:<line>``. Files may be gzipped and in
any encoding. One record at a time is held in memory.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import itertools
import json
import shlex
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

from docsim.errors import SourceError, UsageError
from docsim.ingest import encodings, formats, separated
from docsim.ingest.content import legible
from docsim.models import Document, Entry, Failure

__all__ = ["Columns", "check", "count", "entries", "is_table", "stem", "stream_entries"]

RECORD_LIMIT = 1 << 26
"""The largest length of one record, in characters."""

MOST_FIELDS = 10_000
"""The most fields of one record: each of them is kept, shown and looked through for every document."""

RATIO_LIMIT = 200
"""How many times larger than the file its unpacked content may be, if that is more than ``RATIO_EXEMPT`` bytes."""

RATIO_EXEMPT = 50_000_000
"""The unpacked size, in bytes, up to which the ratio does not matter."""

_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv")
_PIECE = 1 << 20
_UNREADABLE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which fields of a record make the document. In CSV, upper and lower case of their names are the same."""

    text: str = "text"
    title: str = "title"
    id: str = "id"


@dataclass(frozen=True, slots=True)
class _Record:
    """One record of a file.

    Attributes:
        line: The line that it begins on, from 1.
        fields: Its values by name; None if it cannot be read.
        reason: Why it cannot be read, in one clause for people.
    """

    line: int
    fields: Mapping[str, Any] | None
    reason: str = ""


def is_table(name: str) -> bool:
    """Return whether a file with this name contains records."""
    return name.lower().removesuffix(".gz").endswith(_SUFFIXES)


def stem(name: str) -> str:
    """Return the name of a file of records without its suffixes."""
    return Path(name[:-3] if name.lower().endswith(".gz") else name).stem


def check(path: Path, columns: Columns = Columns()) -> None:
    """Raise an error unless records can be read from a file.

    Raises:
        UsageError: The file cannot be opened, is binary, or is CSV without a column for the text.
    """
    try:
        next(_rows(path, columns), None)
    except (*_UNREADABLE, SourceError) as error:
        raise UsageError(f"could not read {path}: {_reason(error)}") from error


def count(path: Path) -> int | None:
    """Return the number of records in a file, blank lines of JSON lines included, or None when it cannot be read."""
    try:
        if not _is_csv(path):
            return _surveyed(path).lines
        with _open(path) as lines:
            return max(0, sum(1 for _ in _separated(lines, path)) - 1)
    except (*_UNREADABLE, SourceError, UsageError):
        return None


def entries(path: Path, columns: Columns = Columns()) -> Iterator[Entry | Failure]:
    """Yield an entry for every record of a file, in order, and a ``Failure`` for each that cannot be read.

    Raises:
        SourceError: The file is binary, or unpacks to far more than it weighs.
        UsageError: The file is CSV without a column for the text.
    """
    yield from _entries(_rows(path, columns), path.name, columns)


def texts(path: Path, columns: Columns = Columns()) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every record of a file that can be read.

    Raises:
        SourceError: The file is binary, or unpacks to far more than it weighs.
        UsageError: The file is CSV without a column for the text.
    """
    with contextlib.suppress(*_UNREADABLE):
        for row in _rows(path, columns):
            fields = row.fields or {}
            if isinstance(text := fields.get(columns.text), str):
                yield _path(fields.get(columns.id), f"{path.name}:{row.line}"), text


def stream_entries(stream: IO[bytes], columns: Columns = Columns()) -> Iterator[Entry | Failure]:
    """Yield an entry or a ``Failure`` for every record of a stream of JSON lines in UTF-8, which is not closed."""
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="\n")
    try:
        yield from _entries(_json_rows(lines), "stdin", columns)
    finally:
        lines.detach()


def _entries(rows: Iterable[_Record], name: str, columns: Columns) -> Iterator[Entry | Failure]:
    seen = set[str]()
    line = 0
    try:
        for row in rows:
            line = row.line
            entry = _entry(row, f"{name}:{line}", columns)
            if entry.path in seen:
                yield Failure(
                    f"{name}:{line}", f"an earlier record has the same id {entry.path!r}; give each record its own"
                )
            else:
                seen.add(entry.path)
                yield entry
    except _UNREADABLE as error:
        yield Failure(f"{name}:{line + 1}", f"could not be read from here on: {_reason(error)}", identified=False)


def _entry(row: _Record, place: str, columns: Columns) -> Entry | Failure:
    if row.fields is None:
        return Failure(place, row.reason, identified=False)
    fields = dict(row.fields)
    id, title, text = (fields.pop(name, None) for name in (columns.id, columns.title, columns.text))
    if not isinstance(id, str | int | float | None) or isinstance(id, bool):
        return Failure(place, f"expected a string or a number as id, got {_kind(id)}", identified=False)
    path = _path(id, place)
    if not isinstance(text, str) or not isinstance(title, str | int | float | None):
        wrong = (columns.title, title) if isinstance(text, str) else (columns.text, text)
        return Failure(path, f"expected a string as {wrong[0]} in line {row.line}, got {_kind(wrong[1])}")
    try:
        read_as = [astuple(columns)] if columns != Columns() else []
        content = json.dumps([formats.FORMATS_VERSION, row.fields, *read_as], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(content.encode()).hexdigest()
    except RecursionError:
        return Failure(path, f"line {row.line} is nested too deeply")
    title = "" if title is None else str(title)
    return Entry(path, digest, lambda: Document(path, legible(text), title, fields))


def _path(id: object, place: str) -> str:
    return place if id is None or not str(id).strip() else str(id)


def _rows(path: Path, columns: Columns) -> Iterator[_Record]:
    with _open(path) as lines:
        yield from _csv_rows(lines, path, columns) if _is_csv(path) else _json_rows(lines)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """Open a file of records as text, in the encoding that the whole of it is in."""
    encoding = _surveyed(path).encoding
    with _unpacked(path) as raw:
        # Only \n ends a line of JSON, because strings may contain other line separators. Quoted cells of CSV keep \r\n.
        newline = "" if _is_csv(path) else "\n"
        yield io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=newline)


def _unpacked(path: Path) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(path, "rb") if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


class _Survey(NamedTuple):
    """What the whole of a file has to tell before it is read: its encoding, and how many lines there are."""

    encoding: str
    lines: int


def _surveyed(path: Path) -> _Survey:
    """Return what a file has to tell; looked for once as long as its size and its time of change stay the same.

    Raises:
        SourceError: The file is binary, or unpacks to far more than it weighs.
    """
    found = path.stat()
    return _survey_of(path, found.st_size, found.st_mtime_ns)


@functools.lru_cache(8)
def _survey_of(path: Path, size: int, changed: int) -> _Survey:
    with _unpacked(path) as raw:
        return _survey(raw, size if _is_packed(path) else None)


def _survey(raw: io.BufferedReader | gzip.GzipFile, packed_size: int | None) -> _Survey:
    """Return what a file has to tell. A packed one that ends early is read as far as it goes.

    Raises:
        SourceError: The file is binary, or unpacks to far more than it weighs.
    """
    undecided, size, lines, last = encodings.Undecided(), 0, 0, b"\n"
    try:
        while piece := raw.read1(_PIECE):
            if not size and encodings.is_binary(piece):
                raise SourceError("the file contains binary data, not records")
            undecided.feed(piece)
            size, lines, last = size + len(piece), lines + piece.count(b"\n"), piece[-1:]
            if packed_size is not None and size > max(RATIO_EXEMPT, RATIO_LIMIT * packed_size):
                raise SourceError(f"the file unpacks to more than {size // 1_000_000} MB, more than is safe to read")
    except (EOFError, zlib.error):
        if not size:
            raise
    return _Survey(undecided.decided(), lines + (last != b"\n"))


def _json_rows(lines: TextIO) -> Iterator[_Record]:
    for number in itertools.count(1):
        line = lines.readline(RECORD_LIMIT)
        if not line:
            return
        if len(line) == RECORD_LIMIT and not line.endswith("\n"):
            while (rest := lines.readline(1 << 20)) and not rest.endswith("\n"):
                pass
            yield _Record(number, None, f"the line is longer than {RECORD_LIMIT:,} characters")
        elif not line.isspace():
            yield _json_row(line, number)


def _json_row(line: str, number: int) -> _Record:
    try:
        fields = json.loads(line, parse_constant=lambda _: None)  # NaN and infinity, which JSON does not have
    except json.JSONDecodeError as error:
        return _Record(number, None, f"the line is not valid JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError):
        return _Record(number, None, "the line has a number that is too long, or is nested too deeply")
    if not isinstance(fields, dict):
        return _Record(number, None, f"expected a JSON object, got {_kind(fields)}")
    if len(fields) > MOST_FIELDS:
        return _Record(number, None, f"expected at most {MOST_FIELDS:,} fields, got {len(fields):,}")
    return _Record(number, fields)


def _csv_rows(lines: TextIO, path: Path, columns: Columns) -> Iterator[_Record]:
    rows = _separated(lines, path)
    header = next(rows, None)
    names = _columns(header.cells if header else [], path, columns)
    for row in rows:
        yield _Record(row.line, None, row.reason) if row.reason else _csv_row(row, names, columns.text)


def _separated(lines: TextIO, path: Path) -> Iterator[separated.Row]:
    tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
    return separated.rows(lines, tabs=tabs, longest=RECORD_LIMIT)


def _columns(header: list[str], path: Path, columns: Columns) -> list[str]:
    """Return the names of the columns, with those that make the document as ``columns`` spells them."""
    if len(header) > MOST_FIELDS:
        raise UsageError(f"expected at most {MOST_FIELDS:,} columns in {path}, found {len(header):,}")
    names = [name.strip() for name in header]
    for wanted in astuple(columns):
        if wanted not in names:
            names = [wanted if name.lower() == wanted.lower() else name for name in names]
    if columns.text not in names:
        found = ", ".join(name[:50] for name in names[:20]) or "none"
        raise UsageError(
            f"expected a column named {columns.text} in {path}, found: {found}; name the column to search",
            hint=f"docsim index {shlex.quote(path.name)} --text-column {shlex.quote(next(iter(names), '') or 'NAME')}",
        )
    return names


def _csv_row(row: separated.Row, names: list[str], text: str) -> _Record:
    if any(row.cells[len(names) :]):
        reason = f"the row has {len(row.cells)} cells, but the header has {len(names)} columns"
        return _Record(row.line, None, reason)
    found: dict[str, list[str]] = {}
    for name, cell in zip(names, row.cells, strict=False):
        if name and (cell or name == text):
            found.setdefault(name, []).append(cell)
    fields = {name: cells[0] if len(cells) == 1 else cells for name, cells in found.items()}
    if text in found:
        fields[text] = "\n\n".join(filter(None, found[text]))
    return _Record(row.line, fields)


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def _kind(value: object) -> str:
    """Return what a JSON value is, for people."""
    kinds = {type(None): "nothing", bool: "true or false", dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), "a number")


def _reason(error: Exception) -> str:
    """Return the message of an error, without the path that the system adds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
