"""Confluence as HTML: a file for each page, ``Title_123456.html``, whose number is that of the page.

A page is read with its comments, without the list of its attachments and what stands on every page. Attachments are
documents of their own, under the page that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import one_line
from docsim.ingest.encodings import decode
from docsim.ingest.forms import page
from docsim.ingest.readers import html
from docsim.ingest.readers.html_markdown import Element, to_markdown
from docsim.ingest.trees.archive import Archive
from docsim.ingest.trees.tree import Tree, id_of
from docsim.models import Document, Failure, Item

__all__ = ["documents", "recognise"]

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
    for path in tree.files:
        folder, _, name = path.rpartition("/")
        if not name.endswith(".html") or name == "index.html" or "attachments" in path.split("/")[:-1]:
            continue
        try:
            root = _parsed(tree, path)
        except SourceError as error:
            yield Failure(id_of(path), str(error))
            continue
        attached = dict(_attachments(root, folder, tree))
        yield _document(
            path, root, folder.rpartition("/")[2] or space, [f"{id_of(path)}/{one}" for one in attached.values()]
        )
        for file, named in attached.items():
            yield page.attachment(tree, file, f"{id_of(path)}/{named}", parent=id_of(path), space=space)


def _parsed(tree: Tree, path: str) -> Element:
    data = tree.read(path)
    root = html.tree(decode(data, declared=html.declared_encoding(data)))
    if root is None:
        raise SourceError("the page is nested too deeply")
    return root


def _attachments(root: Element, folder: str, tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each attached file."""
    before = f"{folder}/" if folder else ""
    for section in _with_heading(root, "attachments"):
        for link in section.iter("a"):
            path = before + (link.get("href") or "")
            if path in tree:
                yield path, one_line("".join(link.itertext())).replace("/", "_") or path.rpartition("/")[2]


def _with_heading(root: Element, id: str) -> Iterator[Element]:
    """Yield the sections of a page whose heading has an id."""
    for section in root.iter("div"):
        is_section = "pageSection" in (section.get("class") or "").split()
        if is_section and any(one.get("id") == id for one in section.iter("h2", "h3")):
            yield section


def _document(path: str, root: Element, space: str, attachments: list[str]) -> Document:
    title, trail = _title(root), [one for one in _by_id(root, "breadcrumbs") for one in one.iter("a")]
    main = next(_by_id(root, "main-content"), next(root.iter("body"), root))
    comments = "\n\n".join(to_markdown(one, skipped=_is_left_out) for one in _with_heading(root, "comments"))
    text = "\n\n".join(filter(None, [f"# {title}", to_markdown(main, skipped=_is_left_out), comments]))
    hrefs = (one.get("href", "").partition("#")[0] for one in main.iter("a"))
    folder = path.rpartition("/")[0]
    linked = [f"{folder}/{href}" if folder else href for href in hrefs if href.endswith(".html") and "/" not in href]
    facts = {"space": space, "labels": _labels(root), "url": _url(path, root), "attachments": attachments}
    breadcrumb = [one_line("".join(one.itertext())) for one in trail]
    above = trail[-1].get("href", "") if len(trail) > 1 else ""
    parent = (f"{folder}/{above}" if folder else above) if above != "index.html" else ""
    return page.page(
        id_of(path),
        text,
        title,
        **_written(root),
        **facts,
        breadcrumb=breadcrumb,
        parent=parent,
        links=list(dict.fromkeys(id_of(one) for one in linked if one != path)),
    )


def _by_id(root: Element, id: str) -> Iterator[Element]:
    return (one for one in root.iter() if one.get("id") == id)


def _title(root: Element) -> str:
    """Return the title of a page without the name of the space before it."""
    shown = next((one_line("".join(one.itertext())) for one in _by_id(root, "title-text")), "")
    whole = shown or next((one_line("".join(one.itertext())) for one in root.iter("title")), "")
    return whole.partition(" : ")[2].strip() or whole


def _written(root: Element) -> dict[str, Any]:
    """Return who wrote a page and when, as far as it says so."""
    line = next((one for one in root.iter("div") if "page-metadata" in (one.get("class") or "").split()), None)
    if line is None:
        return {}
    text = one_line("".join(line.itertext()))
    author, editor = (
        next(
            (
                one_line("".join(one.itertext()))
                for one in line.iter("span")
                if name in (one.get("class") or "").split()
            ),
            "",
        )
        for name in ("author", "editor")
    )
    updated, created = _EDITED.search(text), _CREATED.search(text)
    facts = {"author": author, "editor": editor if editor != author else ""}
    created_on = page.iso(created[1]) if created else ""
    return facts | {"created": created_on, "updated": page.iso(updated[1]) if updated else created_on}


def _labels(root: Element) -> list[str]:
    found = [one for one in root.iter("a") if one.get("rel") == "tag" or "/label/" in (one.get("href") or "")]
    return list(dict.fromkeys(one_line("".join(one.itertext())) for one in found))


def _url(path: str, root: Element) -> str:
    """Return the address of a page; the export says only in embedded files which server it came from."""
    base = next((one.get("data-base-url", "") for one in root.iter() if one.get("data-base-url")), "")
    number = _PAGE.match(path.rpartition("/")[2])
    return f"{base}/pages/viewpage.action?pageId={number[1]}" if base and number else ""


def _is_left_out(element: Element) -> bool:
    if element.tag in _SKIPPED:
        return True
    return bool(_CHROME.search(f"{element.get('class') or ''} {element.get('id') or ''}"))
