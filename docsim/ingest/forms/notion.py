"""Notion: the export of pages as Markdown and CSV, or as HTML.

Names end with the id of the page, 32 hexadecimal digits, which is taken off: ``Handbook/Leave 0123...ef.md`` becomes
``Handbook/Leave.md``. Each row of a database is a document, whose properties are metadata, too. Where a row has a page
of its own, that page is the document.
"""

from __future__ import annotations

import csv
import functools
import io
import re
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import folders
from docsim.ingest.content import FileContent, one_line
from docsim.ingest.encodings import decode
from docsim.ingest.forms import apart, page
from docsim.ingest.forms.prose import joined
from docsim.ingest.readers import html
from docsim.ingest.readers.html_markdown import Element, to_markdown
from docsim.ingest.trees.tree import Tree
from docsim.models import Document, Failure, Item

__all__ = ["documents", "parsed", "recognise"]

_ID = re.compile(r"[ _-]([0-9a-f]{32})(?=(?:_all)?(?:\.\w+)?\Z)")
_DASHED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROPERTY = re.compile(r"([^\n:]{1,100}): ?([^\n]*)\Z")
_LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)*)\)")
_RELATED = re.compile(r" \((?:https?://www\.notion\.so/[^()\s]*|[^()\n]*?[0-9a-f]{32}\.(?:md|html))\)")
_FACTS = {
    **{"created": "created", "created time": "created", "date created": "created", "created at": "created"},
    **{"last edited time": "updated", "last edited": "updated", "updated": "updated", "last updated": "updated"},
    **{"created by": "author", "author": "author", "tags": "labels", "labels": "labels"},
}
_DATES = {"created", "updated"}


@dataclass(frozen=True, slots=True)
class _Names:
    """Under which id each file of an export becomes a document: by path, by Notion's id, by the folder of a page."""

    ids: Mapping[str, str]
    numbers: Mapping[str, str]
    folders: Mapping[str, str]

    @classmethod
    def of(cls, paths: list[str]) -> _Names:
        """Return the names for the files at some paths."""
        ids = _ids(paths)
        pages = [path for path in paths if path.endswith((".md", ".html"))]
        numbers = {match[1]: ids[path] for path in pages if (match := _ID.search(path))}
        folders = {_clean(path).rpartition(".")[0]: ids[path] for path in pages}
        return cls(ids, numbers, folders | {path.rpartition(".")[0]: ids[path] for path in pages})

    def page_of(self, path: str) -> str:
        """Return the page in whose folder a file lies; empty where there is none."""
        folder = path.rpartition("/")[0]
        return self.folders.get(folder) or self.folders.get(_clean(folder), "")

    def linked(self, path: str, href: str) -> str:
        """Return the id of the document that a page links to; empty where it is none of the export."""
        target = urllib.parse.unquote(href.partition("#")[0])
        if match := re.search(r"([0-9a-f]{32})(?:[?#]|\Z)", target if "notion.so" in target else ""):
            return self.numbers.get(match[1], "")
        if "://" in target or not target:
            return ""
        return self.ids.get(joined(path.rpartition("/")[0], target), "")


def recognise(tree: Tree) -> bool:
    """Return whether most pages of a tree have the ids of Notion in their names."""
    pages = [one for one in tree.glance() if one.endswith((".md", ".html", ".csv")) and not one.endswith("index.html")]
    return bool(pages) and 2 * sum(bool(_ID.search(one)) for one in pages) > len(pages)


def documents(tree: Tree) -> Iterator[Item]:
    """Yield pages, rows of databases that have no page, and attached files."""
    names = _Names.of([one for one in tree.files if not one.endswith(".csv")])
    rows: dict[str, set[str]] = {}
    for path, found in apart.in_order(_works(tree, names)):
        if _is_page(path):
            titles = rows.setdefault(_clean(path.rpartition("/")[0]), set())
            titles.add(_row_name(_stem(path.rpartition("/")[2])))
            if isinstance(found, Document):
                titles.add(_row_name(found.title))
        yield Failure(names.ids[path], str(found)) if isinstance(found, SourceError) else found
    yield from _databases(tree, rows)


def _works(tree: Tree, names: _Names) -> Iterator[tuple[str, Callable[[], Item]]]:
    """Yield the path of each page and attached file, and what makes it a document."""
    for path in tree.files:
        if path.endswith(".md"):
            yield path, _made(tree, path, names)
        elif _is_page(path):
            yield path, functools.partial(_html, apart.parsing("notion", tree, path), path, names)
        elif not path.endswith((".csv", "index.html")) and not folders.unread(path, tree.include):
            yield path, apart.Done(page.attachment(tree, path, names.ids[path], parent=names.page_of(path)))


def _made(tree: Tree, path: str, names: _Names) -> Callable[[], Item]:
    """Return a page in Markdown, which no parser of others reads."""
    try:
        return apart.Done(_markdown(tree.text(path), path, names))
    except SourceError as error:
        return apart.Done(Failure(names.ids[path], str(error)))


def _is_page(path: str) -> bool:
    return path.endswith((".md", ".html")) and path.rpartition("/")[2] != "index.html"


def _ids(paths: list[str]) -> dict[str, str]:
    """Return the id of each file: its path without Notion's ids, save where two would be the same."""
    counts = Counter(map(_clean, paths))
    return {path: _clean(path) if counts[_clean(path)] == 1 else _told_apart(path) for path in paths}


def _told_apart(path: str) -> str:
    """Return a path whose last part keeps its id."""
    folder, slash, name = path.rpartition("/")
    return f"{_clean(folder)}{slash}{name}"


def _clean(path: str) -> str:
    return "/".join(_ID.sub("", step) for step in path.split("/"))


def _stem(name: str) -> str:
    return _clean(name).rpartition(".")[0]


def _facts(path: str, properties: Mapping[str, str], id: str) -> dict[str, Any]:
    """Return the metadata of a page: its properties, those that all forms have by their names there."""
    match = _ID.search(path.rpartition("/")[2]) if path else None
    number = id or (match[1] if match else "")
    facts: dict[str, Any] = {"url": f"https://www.notion.so/{number}" if number else ""}
    for name, value in properties.items():
        fact = _FACTS.get(name.lower(), name)
        plain = _RELATED.sub("", _LINK.sub(r"\1", value)).strip()
        given = page.iso(plain) if fact in _DATES else plain
        facts[fact] = [one.strip() for one in plain.split(",")] if fact == "labels" else given
    return facts | {"breadcrumb": [_clean(one) for one in path.split("/")[:-1]]}


def _markdown(text: str, path: str, names: _Names) -> Document:
    heading, _, rest = text.lstrip().partition("\n")
    title = heading[2:].strip() if heading.startswith("# ") else ""
    properties = _properties(rest.lstrip("\n").partition("\n\n")[0]) if title else {}
    related = (match[0][2:-1] for match in _RELATED.finditer(text))
    links = [names.linked(path, href) for href in (*(match[2] for match in _LINK.finditer(text)), *related)]
    plain = _LINK.sub(lambda match: match[1] if names.linked(path, match[2]) else match[0], text)
    facts = _facts(path, properties, "")
    return page.page(names.ids[path], plain, title or _stem(path.rpartition("/")[2]), **facts, links=_each(links))


def _properties(block: str) -> dict[str, str]:
    """Return the properties at the beginning of the page of a row; nothing if a line is none."""
    found: dict[str, str] = {}
    for line in block.split("\n"):
        match = _PROPERTY.match(line)
        if match is None or line.startswith(("#", "-", "*", ">", "|", "http", "!")):
            return {}
        found[match[1].strip()] = match[2].strip()
    return found


def _html(parse: Callable[[], FileContent], path: str, names: _Names) -> Document:
    found = parse()
    title, properties = found.title, dict(found.metadata["properties"])
    facts = _facts(path, properties, found.metadata["id"])
    links = _each(names.linked(path, href) for href in found.metadata["hrefs"])
    return page.page(names.ids[path], found.text, title or _stem(path.rpartition("/")[2]), **facts, links=links)


def parsed(data: bytes) -> FileContent:
    """Read a page in HTML. Its metadata are its ``properties``, its ``id`` and the ``hrefs`` in it.

    Raises:
        SourceError: It is nested too deeply, or an element has too many attributes.
    """
    root = html.tree(decode(data, declared=html.declared_encoding(data)))
    if root is None:
        raise SourceError("the page is nested too deeply, or an element has too many attributes")
    article = next(root.iter("article"), root)
    title = next((one_line("".join(one.itertext())) for one in article.iter("h1")), "")
    properties = dict(_rows(article))
    hrefs = [one.get("href", "") for one in article.iter("a")]
    dropped = set(article.iter("header", "style", "script"))
    described = "\n\n".join(one_line("".join(one.itertext())) for one in _of_class(article, "page-description"))
    body = to_markdown(article, skipped=lambda element: element in dropped)
    listed = "\n".join(f"{name}: {value}" for name, value in properties.items())
    text = "\n\n".join(filter(None, [f"# {title}" if title else "", described, listed, body]))
    id = (article.get("id") or "").replace("-", "")
    return FileContent(text, title, {"properties": properties, "id": id, "hrefs": hrefs})


def _of_class(root: Element, name: str) -> Iterator[Element]:
    return (one for one in root.iter() if name in (one.get("class") or "").split())


def _rows(article: Element) -> Iterator[tuple[str, str]]:
    """Yield the properties in the table above a page."""
    for row in _of_class(article, "property-row"):
        name = next((one_line("".join(one.itertext())) for one in row.iter("th")), "")
        cell = next(row.iter("td"), None)
        if not name or cell is None:
            continue
        chosen = [one_line("".join(one.itertext())) for one in _of_class(cell, "selected-value")]
        yield name, ", ".join(chosen) or one_line("".join(cell.itertext())).lstrip("@")


def _databases(tree: Tree, rows: Mapping[str, set[str]]) -> Iterator[Item]:
    """Yield the rows of databases that have no page; of a database and its current view, the whole is read."""
    tables = [one for one in tree.files if one.endswith(".csv")]
    for path in tables:
        whole = f"{path[:-4]}_all.csv"
        if whole in tables:
            tree.used.add(path)
            continue
        database = _clean(path).removesuffix(".csv").removesuffix("_all")
        try:
            records = list(csv.DictReader(io.StringIO(tree.text(path)), restkey="", restval=""))
        except (SourceError, csv.Error) as error:
            yield Failure(f"{database}.csv", str(error), identified=False)
            continue
        counts = Counter[str]()
        for record in records:
            fields = {str(name).lstrip("\ufeff"): str(value) for name, value in record.items() if name and value}
            title = one_line(next(iter(record.values()), "") or "")
            if fields and _row_name(title) not in rows.get(database, ()):
                counts[title] += 1
                number = f" {counts[title]}" if counts[title] > 1 else ""
                yield _row(database, title + number, title, fields)


def _row_name(title: str) -> str:
    """Return a title as it is compared with the name of a file, which lacks some characters and may be cut."""
    return "".join(filter(str.isalnum, title)).casefold()[:40]


def _row(database: str, name: str, title: str, fields: Mapping[str, str]) -> Document:
    facts = _facts("", fields, "") | {"breadcrumb": database.split("/")}
    text = "\n".join(f"{field}: {value}" for field, value in fields.items())
    return page.page(f"{database}/{name or 'Untitled'}", text, title or "Untitled", **facts)


def _each(ids: Any) -> list[str]:
    return list(dict.fromkeys(filter(None, ids)))
