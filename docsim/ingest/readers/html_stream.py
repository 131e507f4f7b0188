"""The elements of a large HTML page as they are parsed, each of which is freed once it has been seen.

The tree of a page takes six times as much memory as the page. So a large page is parsed as often as something has to be
known of all of it, and never as a whole: once for what there is, and once for the part that is written. Elements are
told by their numbers in the order in which they begin, which are the same each time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from docsim.ingest.content import one_line
from docsim.ingest.readers.html_markdown import Element, Events, to_markdown

__all__ = ["Facts", "Unusual", "facts", "is_crowded", "options", "part"]

_PIECE = 1 << 18  # characters that are parsed at a time
_MOST_ATTRIBUTES = 1000  # of an element; the parser takes quadratic time to put them into a tree
_SMALL = 20_000  # characters of a page that cannot have so many that it matters
_KEPT = frozenset({"title", "h1"})  # are read as a whole when they end

Skipped = Callable[[Element], bool]


class Unusual(Exception):
    """A page is not the same when it is read piece by piece; it is to be read as a whole."""


@dataclass(slots=True)
class Facts:
    """What there is in a page.

    Attributes:
        title: That of the first ``<title>`` that has one.
        heading: The first ``<h1>``, as Markdown.
        body: The number of ``<body>``; of the root where there is none.
        mains: The numbers of the elements that say that they are the main part and are not hidden.
        layout: The numbers of tables that hold other tables.
    """

    title: str = ""
    heading: str = ""
    body: int = 0
    mains: list[int] = field(default_factory=list)
    layout: set[int] = field(default_factory=set)


def options() -> dict[str, object]:
    """Return how pages are parsed."""
    return {"encoding": "utf-8", "remove_comments": True, "remove_pis": True, "huge_tree": True}


class _Crowded:
    """What a parser that makes no tree calls: notes whether an element has too many attributes."""

    found = False

    def start(self, _tag: str, attributes: Mapping[str, str]) -> None:
        self.found = self.found or len(attributes) > _MOST_ATTRIBUTES

    def close(self) -> None:
        pass


def is_crowded(text: str) -> bool:
    """Return whether an element of a page has so many attributes that no tree is made of the page."""
    if len(text) <= _SMALL:
        return False
    noted = _Crowded()
    parser = etree.HTMLParser(target=noted, **options())
    with contextlib.suppress(etree.LxmlError):  # the parser that makes a tree meets it, too
        for start in range(0, len(text), _PIECE):
            parser.feed(_encoded(text[start : start + _PIECE]))
            if noted.found:
                break
        parser.close()
    return noted.found


def facts(text: str, *, skipped: Skipped, is_main: Skipped) -> Facts:
    """Return what there is in a page.

    Args:
        text: The page.
        skipped: Says what is left out of the heading.
        is_main: Says which elements are a main part.

    Raises:
        Unusual: It is nested too deeply, or its beginning is changed by what comes later.
    """
    found, number, has_heading, has_body, depth = Facts(), -1, False, False, 0
    tables: list[int] = []
    first: dict[Element, dict[str, str]] = {}
    for event, element in _events(text):
        is_start, tag = event == "start", element.tag
        if is_start:
            number += 1
            depth += bool(depth)
            if tag == "body" and not has_body:
                found.body, found.mains, has_body, depth = number, [], True, 1
            if (depth or not has_body) and is_main(element):
                found.mains.append(number)
        else:
            depth -= bool(depth)
        if tag in ("html", "body"):
            _compare(first, element, is_start=is_start)
        if tag == "table":
            _note_table(tables, found.layout, number, is_start=is_start)
        elif not is_start and tag == "title" and not found.title:
            is_drawn = next(element.iterancestors("svg"), None) is not None
            found.title = "" if is_drawn else one_line("".join(element.itertext()))
        elif not is_start and tag == "h1" and not has_heading:
            found.heading, has_heading = to_markdown(element, skipped=skipped), True
    return found


def part(text: str, number: int, layout: set[int], tables: set[Element]) -> Events:
    """Yield the start and the end of an element, and of all that are in it.

    Args:
        text: The page.
        number: The element's number.
        layout: The numbers of tables that hold other tables.
        tables: Holds those of them that are open.
    """
    root = None
    for current, (event, element) in _numbered(_events(text)):
        if root is None and current == number:
            root = element
        if event == "start" and current in layout:
            tables.add(element)
        if root is not None:
            yield event, element
        if event == "end":
            tables.discard(element)
            if element is root:
                return


def _numbered(events: Events) -> Iterator[tuple[int, tuple[str, Element]]]:
    """Yield events with the number of the last element that has begun."""
    number = -1
    for one in events:
        number += one[0] == "start"
        yield number, one


def _note_table(open_ones: list[int], layout: set[int], number: int, *, is_start: bool) -> None:
    """Note that a table begins or ends; one around it is there for the layout."""
    if not is_start:
        open_ones.pop()
        return
    layout.update(open_ones[-1:])
    open_ones.append(number)


def _compare(first: dict[Element, dict[str, str]], element: Element, *, is_start: bool) -> None:
    """Raise ``Unusual`` if a second tag has given attributes to an element that had begun."""
    attributes = {str(name): str(value) for name, value in element.attrib.items()}
    if is_start:
        first[element] = attributes
    elif first[element] != attributes:
        raise Unusual


def _events(text: str) -> Events:
    """Yield the start and the end of every element, when its text and what follows it are known.

    Raises:
        Unusual: The page is nested too deeply, or cannot be parsed.
    """
    waiting: tuple[str, Element] | None = None
    kept = 0
    root: Element | None = None
    for event, element in _parsed(text):
        if waiting is not None:
            yield waiting
            before, one = waiting
            if before == "end" and not kept:
                _free(one)
            if one is root and before == "end":
                return  # what comes later is in no tree either
        if root is None:
            root = element
        kept += (element.tag in _KEPT) * (1 if event == "start" else -1)
        waiting = event, element
    if waiting is not None:
        yield waiting


def _free(element: Element) -> None:
    around = element.getparent()
    if around is not None:
        around.remove(element)


def _encoded(text: str) -> bytes:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace")


def _parsed(text: str) -> Iterable[tuple[str, Element]]:
    parser = etree.HTMLPullParser(("start", "end"), **options())
    try:
        for start in range(0, len(text), _PIECE):
            parser.feed(_encoded(text[start : start + _PIECE]))
            yield from parser.read_events()
        parser.close()
    except etree.LxmlError as error:
        raise Unusual from error
    yield from parser.read_events()
    if any(one.type_name == "ERR_RESOURCE_LIMIT" or "depth" in one.message for one in parser.feed_error_log):
        raise Unusual
