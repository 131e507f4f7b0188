"""Addresses of documents: where a person opens a document, as a file or at an address."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docsim.engine.records import Holder
from docsim.errors import UsageError
from docsim.index import Index

__all__ = ["Place", "file_in", "line_of", "place", "source_file"]

_ADDRESSES = ("url", "link", "source_url", "permalink")
"""Fields of metadata that may hold a document's address, the first one first."""

_LINES = 10  # of a passage, one of which is looked for in the file
_SPELLED_OUT = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document is.

    Attributes:
        id: The document's id.
        target: The path of the file that it was read from, or its address on the web.
        is_file: Whether it is a file.
    """

    id: str
    target: str
    is_file: bool


def place(index: Index, id: str) -> Place:
    """Return where a document is: the file that holds it, or else the address in its metadata.

    Raises:
        UsageError: There is no such document, it has neither, or its file is gone.
    """
    from urllib.parse import urlsplit  # here, because searching does not need it

    stored = index.document(id)
    if file := source_file(index, id):
        return Place(id, str(file), True)
    for name in _ADDRESSES:
        address = stored.document.metadata.get(name)
        if isinstance(address, str) and urlsplit(address).scheme in ("http", "https"):
            return Place(id, address, False)
    raise UsageError(
        f"expected a document with a file or with a url among its metadata; {id} has neither any longer. "
        f"Read what was indexed: docsim show {shlex.quote(id)}"
    )


def line_of(place: Place, index: Index, start: int) -> int | None:
    """Return the line of a file, from 1, in which a place in its document's text stands; None if it is not found there.

    Args:
        place: Where the document is.
        index: The index that holds it.
        start: An offset in the document's text.
    """
    from docsim.ingest.encodings import decode  # here, because searching does not need it

    text = index.document(place.id).document.text
    lines = [_squeezed(line) for line in text[start:].split("\n")[:_LINES]]
    before = [_squeezed(line) for line in text[:start].split("\n")[:-1]]
    try:
        held = [_squeezed(line) for line in decode(Path(place.target).read_bytes()).split("\n")]
    except OSError:
        return None
    for line in filter(None, lines):
        found = [number for number, one in enumerate(held, 1) if one == line]
        if found:
            return found[min(before.count(line), len(found) - 1)]
    return None


def _squeezed(line: str) -> str:
    return " ".join(line.split())


def source_file(index: Index, id: str) -> Path | None:
    """Return the file that a document was read from, a table or an archive for one that lies in it; None if none is."""
    sources = index.engine.sources()
    number = sources.number(id)
    holders = [] if number is None else sources.holders(number)
    return next((file for one in holders if (file := _file(one))), None)


def _file(holder: Holder) -> Path | None:
    location = Path(holder.source.location)
    if holder.source.kind == "folder":
        return file_in(holder)
    return location if holder.source.kind in ("file", "records") and location.is_file() else None


def file_in(holder: Holder) -> Path | None:
    """Return the file at a path in a folder, or the table or archive that it leads into; None if there is none."""
    location = Path(holder.source.location)
    for spelled in _spellings(holder.path):
        path = location / spelled
        while path != location and location in path.parents:
            if path.is_file():
                return path
            path = path.parent
    return None


def _spellings(path: str) -> Iterator[str]:
    """Yield how a file system may spell a path: as it is, with accents apart, with bytes that are not UTF-8."""
    yield path
    yield unicodedata.normalize("NFD", path)
    if "\\x" in path:
        yield os.fsdecode(_SPELLED_OUT.sub(lambda match: bytes([int(match[1], 16)]), path.encode()))
