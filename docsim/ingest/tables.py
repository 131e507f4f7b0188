"""Tables of records: one document per line of JSON or row of CSV.

The fields ``id``, ``title`` and ``text`` of a record make the document; all other fields become its metadata. The id of
a record without one is its place, ``<file>:<line>``. Files may be gzipped and in any encoding. CSV may be separated by
commas, semicolons or, with the suffix ``.tsv``, tabs. One record at a time is held in memory.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import hashlib
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO

from docsim.errors import SourceError, UsageError
from docsim.ingest import formats
from docsim.models import Document, Entry, Failure

__all__ = ["check", "count", "entries", "is_table", "stem", "stream_entries"]

RECORD_LIMIT = 1 << 29
"""The largest length of one record, in characters."""

_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv")
_HEAD = 1 << 16
_UNREADABLE = (OSError, EOFError, zlib.error)


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


def check(path: Path) -> None:
    """Raise an error unless records can be read from a file.

    Raises:
        UsageError: The file cannot be opened, is binary, or is CSV without a column ``text``.
    """
    try:
        next(_rows(path), None)
    except (*_UNREADABLE, SourceError) as error:
        raise UsageError(f"could not read {path}: {_reason(error)}") from error


def count(path: Path) -> int | None:
    """Return the number of records in a file, or None when it cannot be read."""
    try:
        with _open(path) as lines:
            return sum(1 for _ in _csv_rows(lines, path)) if _is_csv(path) else sum(not x.isspace() for x in lines)
    except (*_UNREADABLE, SourceError, UsageError):
        return None


def entries(path: Path) -> Iterator[Entry | Failure]:
    """Yield an entry for every record of a file, in order, and a ``Failure`` for each that cannot be read.

    Raises:
        SourceError: The file is binary.
        UsageError: The file is CSV without a column ``text``.
    """
    yield from _entries(_rows(path), path.name)


def stream_entries(stream: IO[bytes]) -> Iterator[Entry | Failure]:
    """Yield an entry or a ``Failure`` for every record of a stream of JSON lines in UTF-8, which is not closed."""
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="\n")
    try:
        yield from _entries(_json_rows(lines), "stdin")
    finally:
        lines.detach()


def _entries(rows: Iterable[_Record], name: str) -> Iterator[Entry | Failure]:
    seen = set[str]()
    line = 0
    try:
        for row in rows:
            line = row.line
            entry = _entry(row, f"{name}:{line}")
            if entry.path in seen:
                yield Failure(
                    f"{name}:{line}", f"an earlier record has the same id {entry.path!r}; give each record its own"
                )
            else:
                seen.add(entry.path)
                yield entry
    except _UNREADABLE as error:
        yield Failure(f"{name}:{line + 1}", f"could not be read from here on: {_reason(error)}", identified=False)


def _entry(row: _Record, place: str) -> Entry | Failure:
    if row.fields is None:
        return Failure(place, row.reason, identified=False)
    fields = dict(row.fields)
    id, title, text = (fields.pop(name, None) for name in ("id", "title", "text"))
    if not isinstance(id, str | int | float | None) or isinstance(id, bool):
        return Failure(place, f"expected a string or a number as id, got {_kind(id)}", identified=False)
    path = place if id is None or not str(id).strip() else str(id)
    if not isinstance(text, str) or not isinstance(title, str | int | float | None):
        wrong = ("title", title) if isinstance(text, str) else ("text", text)
        return Failure(path, f"expected a string as {wrong[0]} in line {row.line}, got {_kind(wrong[1])}")
    try:
        content = json.dumps([formats.FORMATS_VERSION, row.fields], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(content.encode()).hexdigest()
    except RecursionError:
        return Failure(path, f"line {row.line} is nested too deeply")
    title = "" if title is None else str(title)
    return Entry(path, digest, functools.partial(Document, id=path, text=text, title=title, metadata=fields))


def _rows(path: Path) -> Iterator[_Record]:
    with _open(path) as lines:
        yield from _csv_rows(lines, path) if _is_csv(path) else _json_rows(lines)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """Open a file of records as text, in the encoding that is detected from its first 64 kB."""
    with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as raw:
        head = raw.read(_HEAD)
        if formats.is_binary(head):
            raise SourceError("the file contains binary data, not records")
        raw.seek(0)
        # Only \n ends a line of JSON, because strings may contain other line separators. Quoted cells of CSV keep \r\n.
        newline = "" if _is_csv(path) else "\n"
        yield io.TextIOWrapper(
            raw, encoding=formats.encoding(head, whole=len(head) < _HEAD), errors="replace", newline=newline
        )


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
    return _Record(number, fields)


def _csv_rows(lines: TextIO, path: Path) -> Iterator[_Record]:
    csv.field_size_limit(RECORD_LIMIT)
    first = lines.readline()
    tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
    separator = "\t" if tabs else ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(itertools.chain([first], lines), delimiter=separator)
    columns = _columns(next(reader, []), path)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Record(line, None, f"the row is not valid CSV: {error}")
            continue
        if any(cells):
            yield _csv_row(cells, columns, line)


def _columns(header: list[str], path: Path) -> list[str]:
    """Return the names of the columns. ``id``, ``title`` and ``text`` may be in upper or lower case."""
    names = [name.strip() for name in header]
    columns = [name.lower() if name.lower() in {"id", "title", "text"} else name for name in names]
    if "text" not in columns:
        found = ", ".join(name[:50] for name in names[:20]) or "none"
        raise UsageError(f"expected a column named text in {path}, found: {found}; rename the column to search to text")
    return columns


def _csv_row(cells: list[str], columns: list[str], line: int) -> _Record:
    if any(cells[len(columns) :]):
        return _Record(line, None, f"the row has {len(cells)} cells, but the header has {len(columns)} columns")
    named = zip(columns, cells, strict=False)
    return _Record(line, {name: cell for name, cell in named if name and (cell or name == "text")})


def _is_csv(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def _kind(value: object) -> str:
    """Return what a JSON value is, for people."""
    kinds = {type(None): "nothing", bool: "true or false", dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), "a number")


def _reason(error: Exception) -> str:
    """Return the message of an error, without the path that the system adds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
