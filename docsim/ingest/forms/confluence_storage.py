"""Confluence's storage format: XHTML with elements for macros and links, as Markdown."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from lxml import etree

from docsim.ingest.content import FileContent, tidy
from docsim.ingest.readers.html_markdown import Element, to_markdown

__all__ = ["Stored", "parsed", "stored"]

_AC, _RI = "{urn:ac}", "{urn:ri}"
_ROOT = '<div xmlns:ac="urn:ac" xmlns:ri="urn:ri">{}</div>'
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)([A-Za-z][A-Za-z0-9]{1,31});")
_LONE = re.compile(r"&(?![A-Za-z#])")
_CDATA = re.compile(r"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_WRAPPED = re.compile(r"\]\] >(?=\s*</ac:)")  # the end of a CDATA section within that of the export
_CODE = {"code", "noformat", "code-block"}
_SHOWN = {"title", "text", "label", "jql", "key", "url", "status"}
"""The parameters of macros that a reader of the page sees."""
_SILENT = {
    "toc",
    "children",
    "pagetree",
    "recently-updated",
    "contentbylabel",
    "livesearch",
    "anchor",
    "attachments",
    "gallery",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in a body.

    Attributes:
        text: Markdown.
        pages: The titles of the pages that it links to, each once.
    """

    text: str
    pages: tuple[str, ...] = ()


def parsed(data: bytes) -> FileContent:
    """Read a body in UTF-8, as ``stored`` does; the ``pages`` that it links to are a list in its metadata."""
    found = stored(data.decode("utf-8", "surrogatepass"))
    return FileContent(found.text, metadata={"pages": list(found.pages)})


def stored(body: str) -> Stored:
    """Read a body. What is no XML, such as the markup of before 2011, stays as it is."""
    parts = _CDATA.split(_WRAPPED.sub("]]>", body))
    source = "".join(part if part.startswith("<![CDATA[") else _escaped(part) for part in parts)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, huge_tree=True, remove_comments=True
    )
    root = etree.fromstring(_ROOT.format(source).encode("utf-8", "replace"), parser) if "<" in body else None
    if root is None:
        return Stored(tidy(body))
    titles = [one.get(f"{_RI}content-title", "") for one in root.iter(f"{_RI}page", f"{_RI}blog-post")]
    for element in reversed(list(root.iter())):  # inner ones first: what they are depends on what is around them
        if isinstance(element.tag, str) and element.tag.startswith((_AC, _RI)):
            _plain(element)
    return Stored(
        tidy(to_markdown(root, skipped=lambda one: one.tag == "template")), tuple(dict.fromkeys(filter(None, titles)))
    )


def _escaped(text: str) -> str:
    """Return XML without the entities of HTML, which XML does not know."""
    text = _ENTITY.sub(
        lambda match: (
            html.escape(html.unescape(match[0]), quote=False)
            if match[0] != html.unescape(match[0])
            else f"&amp;{match[1]};"
        ),
        text,
    )
    return _LONE.sub("&amp;", text)


def _plain(element: Element) -> None:
    """Turn an element of Confluence into one of HTML that reads the same."""
    tag = element.tag.partition("}")[2]
    if element.tag.startswith(_RI):
        _resource(element, tag)
    elif tag in ("structured-macro", "macro"):
        name = element.get(f"{_AC}name", "")
        element.tag = "template" if name in _SILENT else "span" if name == "status" else "div"
    elif tag == "parameter":
        is_shown = element.get(f"{_AC}name", "") in _SHOWN and _macro(element) not in ("code", "noformat", "jira")
        element.tag = ("span" if _macro(element) == "status" else "p") if is_shown else "template"
    elif tag == "plain-text-body":
        element.tag = "pre" if _macro(element) in _CODE else "div"
    elif tag == "task":
        element.tag = "li"
    elif tag == "task-list":
        element.tag = "ul"
    elif tag == "task-status":
        element.text, element.tag = ("[x] " if element.text == "complete" else "[ ] "), "span"
    elif tag in ("task-id", "task-uuid", "placeholder", "adf-attribute", "adf-mark", "adf-fallback"):
        element.tag = "template"
    else:  # links, images, layouts, bodies with rich text
        element.tag = (
            "span"
            if tag
            in ("link", "link-body", "plain-text-link-body", "emoticon", "inline-comment-marker", "task-body", "image")
            else "div"
        )


def _resource(element: Element, tag: str) -> None:
    """Turn what a link points to into its name, where the link has no text of its own."""
    link = element.getparent()
    has_text = link is not None and any("".join(one.itertext()).strip() for one in link if one is not element)
    name = element.get(f"{_RI}content-title") or element.get(f"{_RI}filename") or element.get(f"{_RI}value") or ""
    is_link = (
        link is not None
        and link.tag == f"{_AC}link"
        and not has_text
        and tag in ("page", "blog-post", "attachment", "url")
    )
    element.tag = "span"
    element.text = name if is_link else ""


def _macro(element: Element) -> str:
    """Return the name of the macro that an element is a part of."""
    parent = element.getparent()
    return str(parent.get(f"{_AC}name", "")) if parent is not None else ""
