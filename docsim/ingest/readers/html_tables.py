"""Tables of HTML as Markdown, which has no merged cells: a cell's text stands where it begins, and the rest is empty.

So a cell that spans columns or rows doesn't shift the cells after it into the wrong columns. Pandoc does the same.
"""

from __future__ import annotations

import re

__all__ = ["Table", "span"]

_WIDEST = 64
"""Columns in which merged cells are kept apart: few tables have more, and a hostile one shall not grow much."""

_NUMBER = re.compile(r"\s*\+?([0-9]{1,6})")


class Table:
    """A table that is being read, row by row and cell by cell."""

    def __init__(self) -> None:
        """Begin a table without rows."""
        self._rows: list[list[str]] = []
        self._above: set[int] = set()  # places of the current row that cells of rows above reach down to
        self._below: dict[int, int] = {}  # in how many rows after it each place is taken

    def row(self) -> None:
        """Begin a row."""
        self._end_row()
        self._rows.append([])
        self._above = set(self._below)
        self._below = {place: rows - 1 for place, rows in self._below.items() if rows > 1}

    def cell(self, text: str, *, columns: int = 1, rows: int = 1) -> None:
        """Add a cell to the current row, at the next place that no cell above reaches down to.

        Args:
            text: What is in it, without line feeds.
            columns: How many columns it spans.
            rows: How many rows it spans; 0 for all that follow in its section.
        """
        if not self._rows:
            self.row()
        row = self._rows[-1]
        self._fill(row)
        for number in range(max(1, min(columns, _WIDEST - len(row)))):
            if rows != 1 and len(row) < _WIDEST:
                self._below[len(row)] = rows - 1 if rows else 1 << 30
            row.append("" if number else text.replace("|", "\\|"))

    def section(self) -> None:
        """Begin a section, such as a table's body: no cell reaches into the next one."""
        self._end_row()
        self._above, self._below = set(), {}

    def markdown(self) -> str:
        """Return the table as Markdown, without rows that have no text; empty if none has."""
        self._end_row()
        rows = [row for row in self._rows if any(row)]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        if lines:
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        return "\n".join(lines)

    def _end_row(self) -> None:
        if self._rows:
            self._fill(self._rows[-1])

    def _fill(self, row: list[str]) -> None:
        """Leave places empty that cells above reach down to."""
        while len(row) in self._above:
            row.append("")


def span(value: str | None) -> int:
    """Return how many columns or rows an attribute says; 1 where it says nothing that is a number."""
    found = _NUMBER.match(value or "")
    return int(found[1]) if found else 1
