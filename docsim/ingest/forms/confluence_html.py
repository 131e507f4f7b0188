"""Confluence as HTML: a file for each page, ``Title_123456.html``, whose number is that of the page.

A page is read with its comments, without the list of its attachments and what stands on every page. Attachments are
documents of their own, under the page that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import FileContent, one_line
from docsim.ingest.encodings import decode
from docsim.ingest.forms import apart, page
from docsim.ingest.readers import html
from docsim.ingest.readers.html_markdown import Element, to_markdown
from docsim.ingest.trees.archive import Archive
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Document, Failure, Item

__all__ = ["documents", "parsed", "recognise"]

_PAGE = re.compile(r"(?:.*_)?(\d+)\.html\Z")
_EDITED = re.compile(
    r"(?:last (?:modified|updated)(?: by .{1,200}?)? on|zuletzt geändert.{0,200}? am) (.{6,40}?)\s*\Z", re.DOTALL
)
_CREATED = re.compile(r"Created by (?:(?!last ).){1,200}? on ([A-Z]\w+ \d+, \d{4})", re.DOTALL)
_SKIPPED = {"script", "style", "head", "template"}
_CHROME = re.compile(r"\b(?:toc-macro|page-metadata|footer|breadcrumb-section|plugin_pagetree|hidden)\b")


def recognise(tree: Tree) -> bool:
    """Return whether a tree has an index and pages as Confluence writes them."""
    names = tree.glance()
    pages = [one for one in names if _PAGE.match(one.rpartition("/")[2])]
    if not pages or not any(one.rpartition("/")[2] == "index.html" for one in names):
        return False
    beginning = tree.read(pages[0], most=8000)
    return b'id="title-text"' in beginning or b'id="breadcrumb-section"' in beginning


def documents(tree: Tree) -> Iterator[Item]:
    """Yield every page, followed by its attachments."""
    space = tree.root.strip("/") if isinstance(tree, Archive) else tree.name
    for path, found in apart.in_order(_works(tree)):
        if isinstance(found, SourceError):
            yield Failure(id_of(path), str(found))
            continue
        folder = path.rpartition("/")[0]
        attached = dict(_attachments(found.metadata["attached"], folder, tree))
        named = [f"{id_of(path)}/{one}" for one in attached.values()]
        yield _document(path, found, folder.rpartition("/")[2] or space, named)
        for (file, _), id in zip(attached.items(), named, strict=True):
            yield page.attachment(tree, file, id, parent=id_of(path), space=space)


def _works(tree: Tree) -> Iterator[tuple[str, Callable[[], FileContent]]]:
    """Yield the path of each page, and what parses it."""
    for path in tree.files:
        name = path.rpartition("/")[2]
        if name.endswith(".html") and name != "index.html" and "attachments" not in path.split("/")[:-1]:
            yield path, apart.parsing("confluence_html", tree, path)


def _attachments(links: Sequence[Sequence[str]], folder: str, tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each attached file, given what links to them."""
    before = f"{folder}/" if folder else ""
    for href, shown in links:
        path = before + href
        if path in tree:
            yield path, shown.replace("/", "_") or path.rpartition("/")[2]


def _document(path: str, found: FileContent, space: str, attachments: list[str]) -> Document:
    facts = found.metadata
    folder = path.rpartition("/")[0]
    before = f"{folder}/" if folder else ""
    linked = [before + href for href in facts["hrefs"] if href.endswith(".html") and "/" not in href]
    number = _PAGE.match(path.rpartition("/")[2])
    is_told = facts["base"] and number  # the export says only in embedded files which server it came from
    return page.page(
        id_of(path),
        found.text,
        found.title,
        **facts["written"],
        space=space,
        labels=facts["labels"],
        url=f"{facts['base']}/pages/viewpage.action?pageId={number[1]}" if is_told and number else "",
        attachments=attachments,
        breadcrumb=facts["breadcrumb"],
        parent=before + facts["above"] if facts["above"] != "index.html" else "",
        links=list(dict.fromkeys(id_of(one) for one in linked if one != path)),
    )


def parsed(data: bytes) -> FileContent:
    """Read a page. Its metadata are what it says of itself, and the addresses of what it links to.

    Raises:
        SourceError: It is nested too deeply, or an element has too many attributes.
    """
    root = html.tree(decode(data, declared=html.declared_encoding(data)))
    if root is None:
        raise SourceError("the page is nested too deeply, or an element has too many attributes")
    title, trail = _title(root), [one for one in _by_id(root, "breadcrumbs") for one in one.iter("a")]
    main = next(_by_id(root, "main-content"), next(root.iter("body"), root))
    comments = "\n\n".join(to_markdown(one, skipped=_is_left_out) for one in _with_heading(root, "comments"))
    attached = (link for section in _with_heading(root, "attachments") for link in section.iter("a"))
    facts = {
        "written": _written(root),
        "labels": _labels(root),
        "base": next((one.get("data-base-url", "") for one in root.iter() if one.get("data-base-url")), ""),
        "breadcrumb": [_said(one) for one in trail],
        "above": trail[-1].get("href", "") if len(trail) > 1 else "",
        "hrefs": [one.get("href", "").partition("#")[0] for one in main.iter("a")],
        "attached": [[one.get("href") or "", _said(one)] for one in attached],
    }
    text = "\n\n".join(filter(None, [f"# {title}", to_markdown(main, skipped=_is_left_out), comments]))
    return FileContent(text, title, facts)


def _said(element: Element) -> str:
    return one_line("".join(element.itertext()))


def _with_heading(root: Element, id: str) -> Iterator[Element]:
    """Yield the sections of a page whose heading has an id."""
    for section in root.iter("div"):
        is_section = "pageSection" in (section.get("class") or "").split()
        if is_section and any(one.get("id") == id for one in section.iter("h2", "h3")):
            yield section


def _by_id(root: Element, id: str) -> Iterator[Element]:
    return (one for one in root.iter() if one.get("id") == id)


def _title(root: Element) -> str:
    """Return the title of a page without the name of the space before it."""
    shown = next((_said(one) for one in _by_id(root, "title-text")), "")
    whole = shown or next((_said(one) for one in root.iter("title")), "")
    return whole.partition(" : ")[2].strip() or whole


def _written(root: Element) -> dict[str, Any]:
    """Return who wrote a page and when, as far as it says so."""
    line = next((one for one in root.iter("div") if "page-metadata" in (one.get("class") or "").split()), None)
    if line is None:
        return {}
    text = _said(line)
    author, editor = (
        next((_said(one) for one in line.iter("span") if name in (one.get("class") or "").split()), "")
        for name in ("author", "editor")
    )
    updated, created = _EDITED.search(text), _CREATED.search(text)
    facts = {"author": author, "editor": editor if editor != author else ""}
    created_on = page.iso(created[1]) if created else ""
    return facts | {"created": created_on, "updated": page.iso(updated[1]) if updated else created_on}


def _labels(root: Element) -> list[str]:
    found = [one for one in root.iter("a") if one.get("rel") == "tag" or "/label/" in (one.get("href") or "")]
    return list(dict.fromkeys(_said(one) for one in found))


def _is_left_out(element: Element) -> bool:
    if element.tag in _SKIPPED:
        return True
    return bool(_CHROME.search(f"{element.get('class') or ''} {element.get('id') or ''}"))
