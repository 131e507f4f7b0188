"""XML of exports, read as a stream: an element at a time in memory, and no entity that the file defines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, cast

from lxml import etree

from docsim.errors import SourceError

__all__ = ["elements"]

_BEFORE_ROOT = 1 << 20  # bytes


class _Checked:
    """A stream that ends with an error where entities are defined, or where it gives more than is allowed.

    libxml2 expands entities in attributes whatever it is told, and exports define none.
    """

    def __init__(self, stream: IO[bytes], root: bytes, most: int | None) -> None:
        self._stream = stream
        self._root = root
        self._most = most
        self._head: bytes | None = b""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        if self._most is not None:
            self._most -= len(data)
            if self._most < 0:
                raise SourceError("the file unpacks to more than is safe to read")
        if self._head is not None:
            self._head += data
            before, found, _ = self._head.partition(b"<" + self._root)
            if b"<!DOCTYPE" in before or b"<!ENTITY" in before or len(before) > _BEFORE_ROOT:
                raise SourceError(
                    f"expected XML that begins with <{self._root.decode()}>, got entities or something else"
                )
            self._head = None if found else self._head
        return data


def elements(stream: IO[bytes], root: str, *tags: str, most: int | None = None) -> Iterator[Any]:
    """Yield elements when they end, in any namespace; each is emptied when the next one is asked for.

    Args:
        stream: The file.
        root: The name of its outermost element.
        tags: The names of the elements; none of them may be within another.
        most: The most bytes that may be read.

    Raises:
        SourceError: It is no such XML, is damaged or cut short, defines entities, or is too long.
    """
    checked = cast("IO[bytes]", _Checked(stream, root.encode(), most))
    wanted = tuple(f"{{*}}{tag}" for tag in tags)
    try:
        events = etree.iterparse(checked, tag=wanted, resolve_entities=False, no_network=True, huge_tree=True)
        for _, element in events:
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
    except (etree.XMLSyntaxError, EOFError, OSError) as error:
        raise SourceError(f"the file is damaged or cut short: {error}") from error
