"""Excel: a table for each sheet, without its empty rows and columns; text boxes and comments follow the tables."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from docsim.ingest.content import FileContent, titled
from docsim.ingest.readers import archives
from docsim.ingest.readers.office import counted, paragraphs, property_title, unread

__all__ = ["read"]

_BESIDE = re.compile(
    r"xl/(?:drawings/drawing|comments|comments/comment|threadedComments/|charts/chart|diagrams/data)[^/]*\.xml\Z"
)
_IN_WORKBOOK = re.compile(r"xl/(?:worksheets/[^/]*\.xml|sharedStrings\.xml)\Z")
_UNVALUED = re.compile(
    rb"<(?:\w+:)?f\b[^<>]*(?:/>|>[^<]*</(?:\w+:)?f>)\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


def read(data: bytes, *, hidden: bool = True) -> FileContent:
    """Read an Excel file as Markdown. Hidden sheets are read, too, and say that they are; unless ``hidden`` is off."""
    parts = archives.unpacked(data)
    archives.name_once(parts, archives.main_part(parts, "xl/workbook.xml"), "sheet")
    stream = archives.packed(parts)
    unvalued = sum(len(_UNVALUED.findall(part)) for name, part in parts.items() if "/worksheets/" in name)
    parts = {name: b"" if _IN_WORKBOOK.match(name) else part for name, part in parts.items()}  # large, and packed now
    values, formulas = _workbook(stream, values=True), _workbook(stream, values=False) if unvalued else None
    sheets = []
    for number, sheet in enumerate(values.worksheets):
        if sheet.sheet_state != "visible" and not hidden:
            continue
        rows = _rows(sheet, formulas.worksheets[number] if formulas else None)
        if table := _table(rows):
            state = "" if sheet.sheet_state == "visible" else " (hidden)"
            sheets.append(f"## {sheet.title}{state}\n\n{table}")
    text = "\n\n".join(sheets)
    beside = [
        line
        for name, part in sorted(parts.items())
        if _BESIDE.match(name)
        for line in paragraphs(archives.parsed(part))
    ]
    text = "\n\n".join(one for one in [text, *archives.missing(beside, text)] if one)
    lost = [f"the values of {counted(unvalued, 'formula')}, which were never computed"] if unvalued else []
    return titled(FileContent(text, lost=(*lost, *unread(parts))), property_title(parts))


def _workbook(stream: io.BytesIO, *, values: bool) -> Any:
    import openpyxl

    stream.seek(0)
    return openpyxl.load_workbook(io.BytesIO(stream.getvalue()), read_only=True, data_only=values)


def _rows(sheet: Any, formulas: Any) -> Iterator[list[str]]:
    """Yield the cells of each row without empty ones at its end; a formula stands for a value that was not computed."""
    sheet.reset_dimensions()  # the size that the file states is often wrong
    if formulas:
        formulas.reset_dimensions()
    pairs: Iterable[Any] = (
        zip_longest(sheet.values, formulas.values, fillvalue=()) if formulas else ((row, ()) for row in sheet.values)
    )
    for row, other in pairs:
        cells = (
            [_cell(value if value is not None else instead) for value, instead in zip_longest(row, other)]
            if other
            else list(map(_cell, row))
        )
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    return " ".join(str(value).split()).replace("|", "\\|")


def _table(rows: Iterable[list[str]]) -> str:
    """Return rows as a Markdown table without the columns that are empty in all of them."""
    seen, kept = set[int](), list[str]()
    for row in rows:
        seen.update(column for column, cell in enumerate(row) if cell)
        kept.append("\t".join(row))  # a list of cells takes three times as much memory, and no cell holds a tab
    used = sorted(seen)
    lines = [_line(row.split("\t"), used) for row in kept]
    if lines:
        lines.insert(1, "|" + " --- |" * len(used))
    return "\n".join(lines)


def _line(row: list[str], used: list[int]) -> str:
    return f"| {' | '.join(row[column] for column in used if column < len(row))} |"
