"""Separated values: the rows of CSV, with the line that each begins on.

A quote that is never closed would swallow every row below it. Such a row is a failure, and reading goes on at the line
after the one that it begins on. So is a row in which something stands between a closing quote and the next separator,
unless all of it is on one line.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

__all__ = ["Row", "rows"]

_SEPARATORS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        line: The line that it begins on, from 1.
        cells: Its cells; empty if it cannot be read.
        reason: Why it cannot be read, in one clause for people.
    """

    line: int
    cells: list[str]
    reason: str = ""


class _TooLong(Exception):
    """A record has more characters than may be held in memory."""


class _Lines:
    """The lines of a file, which can be given back as long as the record is open that they may belong to."""

    def __init__(self, stream: TextIO, longest: int) -> None:
        self._stream = stream
        self._longest = longest
        self._ahead: deque[str] = deque()
        self._length = 0
        self.taken: list[str] = []
        self.before = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._stream.readline(self._longest)
        if not line:
            raise StopIteration
        self.taken.append(line)
        self._length += len(line)
        if self._length >= self._longest:
            while not line.endswith("\n") and (line := self._stream.readline(1 << 20)):
                pass
            raise _TooLong
        return line

    def begin(self) -> int:
        """Let a record begin with the next line; return its number."""
        self.before += len(self.taken)
        self.taken, self._length = [], 0
        return self.before + 1

    def give_back(self) -> str:
        """Keep the first line of the record only, and return it."""
        self._ahead.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]
        return self.taken[0] if self.taken else ""


def rows(stream: TextIO, *, tabs: bool, longest: int) -> Iterator[Row]:
    """Yield the rows of a file, the header among them, in order; empty ones are left out.

    Args:
        stream: The file, opened with ``newline=""``.
        tabs: Whether tabs separate the cells; otherwise what the first line has most of: ``,``, ``;``, ``|`` or tabs.
        longest: The most characters of a record.
    """
    lines = _Lines(stream, longest)
    csv.field_size_limit(max(longest, 1))
    reader, width, failed = csv.reader(lines, delimiter=_separator(lines, tabs), strict=True), 0, False
    while True:
        line = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            line_alone = lines.give_back()
            is_cut = isinstance(error, _TooLong)
            cells = [] if is_cut else _on_one_line(line_alone, reader.dialect.delimiter, width)
            if not cells:
                failed = True
                yield Row(line, [], _told(error, longest))
                continue
        if failed and len(cells) < width:
            yield Row(line, [], "the row seems to belong to the one before, which could not be read")
        elif any(cells):
            failed, width = False, width or len(cells)
            yield Row(line, cells)


def _separator(lines: _Lines, tabs: bool) -> str:
    """Return what separates cells; ``sep=;`` in the first line, which Excel writes, says so and is no row."""
    try:
        first = next(lines)
    except (StopIteration, _TooLong):
        return ","
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[4]
    lines.taken.insert(0, first)  # given back below, as if it were the second line
    lines.give_back()
    lines.taken = []
    return "\t" if tabs else max(_SEPARATORS, key=first.count)


def _on_one_line(line: str, delimiter: str, width: int) -> list[str]:
    """Return the cells of a line whose quotes are all closed, though not as they should be; else nothing."""
    reader = csv.reader([line, "\n"], delimiter=delimiter)
    try:
        cells = next(reader)
    except csv.Error:
        return []
    is_whole = reader.line_num == 1 and line.count('"') % 2 == 0
    return cells if is_whole and len(cells) == width else []


def _told(error: Exception, longest: int) -> str:
    if isinstance(error, _TooLong) or "field limit" in str(error):
        return f"the row is longer than {longest:,} characters"
    if "end of data" in str(error):
        return "a quote in the row is never closed"
    return f"the row is not valid CSV: {error}"
