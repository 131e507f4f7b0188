"""Origins: which source holds which document under which path, as far as both engines find it alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from docsim.engine.records import Origin, RecordedSource, SourceName

__all__ = ["SOURCES", "notes_of", "read_from", "recorded_sources"]

SOURCES = (
    "SELECT number, kind, location, name, count(document), started, finished"
    " FROM sources LEFT JOIN origins ON source = number GROUP BY number ORDER BY number"
)
"""The SQL that selects every source, in the order in which they were first read."""


def recorded_sources(rows: Iterable[tuple[Any, ...]]) -> list[RecordedSource]:
    """Return the sources that ``SOURCES`` has selected."""
    return [
        RecordedSource(number, SourceName(kind, location, name), *rest) for number, kind, location, name, *rest in rows
    ]


def read_from(file: Path, sources: Iterable[RecordedSource], origin: Callable[[int, str], Origin | None]) -> int | None:
    """Return the number of the document that was read from a file, or None.

    Args:
        file: Its absolute path.
        sources: Every source of the index.
        origin: Returns the document that a path of a source stands for, by the source's number and the path.
    """
    for one in sources:
        path = one.source.path_of(file)
        found = origin(one.number, path) if path is not None else None
        if found is not None:
            return found.document_number
    return None


def notes_of(source: int) -> list[str]:
    """Return the names of the notes about how a source was read, which are forgotten with it.

    A copy of an index gives its number to the next source if it was the highest. What the source repeats stays: pages
    that other sources have, too, are split without it.
    """
    return [f"source {source}", f"files of source {source}"]
