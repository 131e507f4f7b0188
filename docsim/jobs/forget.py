"""Forgetting a source that is gone for good, with the documents that no other source has."""

from __future__ import annotations

import os
from pathlib import Path

from docsim.engine.records import RecordedSource
from docsim.errors import UsageError
from docsim.index import Index

__all__ = ["forget", "sources_named"]


def sources_named(index: Index, given: str) -> list[RecordedSource]:
    """Return the sources of an index that are meant by a location, a path or a short name.

    Args:
        index: The index.
        given: An absolute location as the index has it, a path from here, or the name of a source.
    """
    known = index.engine.sources().sources()
    places = {given, os.path.normpath(Path.cwd() / given), os.path.realpath(given)}
    return [one for one in known if one.source.location in places] or [
        one for one in known if one.source.name == given.rstrip("/")
    ]


def forget(index: Index, given: str, *, wait: bool = False) -> tuple[RecordedSource, int]:
    """Forget a source; return it, and how many documents were removed because no other source has them.

    Args:
        index: The index.
        given: What names the source, see ``sources_named``.
        wait: Wait for another process that is writing.

    Raises:
        UsageError: No source is named so, or several are.
        IndexLocked: Another process is writing and ``wait`` is off.
    """
    meant = sources_named(index, given)
    if len(meant) != 1:
        listed = ", ".join(one.source.location for one in meant or index.engine.sources().sources()) or "none"
        wrong = "is the name of several" if meant else "is none"
        raise UsageError(f"expected a source of the index, got {given!r}, which {wrong}: {listed}")
    with index.engine.writer(wait=wait) as writer:
        with writer.transaction():
            removed = writer.forget_source(meant[0].number)
        writer.optimize()
    return meant[0], removed
