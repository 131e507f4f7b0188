"""What Word, PowerPoint and Excel files have in common: paragraphs of text in XML, a title, and what is not read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from docsim.ingest.content import one_line
from docsim.ingest.readers import archives
from docsim.ingest.readers.archives import Element

__all__ = ["UNTITLED", "counted", "paragraphs", "property_title", "unread"]

UNTITLED = re.compile(
    r"untitled.*|document ?\d*|presentation ?\d*|powerpoint presentation|book ?\d*|slide \d+|title"
    r"|microsoft (?:word|powerpoint).*|scan(?:ned)?[ _-]?\w*|\W*\d*\W*"
    r"|.*\.(?:docx?|dvi|html?|indd|odt|pages|pdf|pptx?|qxd|rtf|tex|xlsx?)",
    re.IGNORECASE,
)
"""Titles in properties that say nothing."""

_CONTAINERS = ("{*}p", "{*}pt", "{*}text")  # a paragraph, a value of a chart, a comment in a sheet
_TEXT = frozenset({"t", "v", "tab", "br"})
_APART = frozenset({"footnoteReference", "endnoteReference", "oMath"})
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def paragraphs(tree: Element) -> Iterator[str]:
    """Yield the text of each paragraph in a part, in order: of Word, of drawings, and the values that a chart shows.

    Where a note or a formula stands in a paragraph, the text before and behind it is yielded apart.
    """
    for element in tree.iter(*_CONTAINERS):
        if any(element.iterancestors(_FALLBACK)):
            continue
        pieces: list[list[str]] = [[]]
        for one in element.iter():
            name = _name(one)
            if name in _APART:
                pieces.append([])
            elif name in _TEXT and _nearest(one) is element:
                pieces[-1].append((one.text or "") if name in ("t", "v") else " ")
        yield from filter(None, (" ".join("".join(piece).split()) for piece in pieces))


def property_title(parts: Mapping[str, bytes]) -> str:
    """Return the title in the properties of a file; empty when there is none, or none that says anything."""
    core = parts.get("docProps/core.xml")
    found = archives.parsed(core).find("{*}title") if core else None
    title = one_line(found.text or "") if found is not None else ""
    return "" if UNTITLED.fullmatch(title) else title


def unread(parts: Mapping[str, bytes]) -> list[str]:
    """Return what a file holds that is not read, a phrase each."""
    charts = any("/charts/" in name for name in parts)  # which have their numbers in workbooks, and show them
    embedded = sum("/embeddings/" in name and not (charts and name.endswith((".xlsx", ".xlsb"))) for name in parts)
    return [counted(embedded, "embedded file")] if embedded else []


def counted(count: int, noun: str) -> str:
    """Return a number of things as a phrase: ``1 sheet``, ``2 sheets``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _nearest(element: Element) -> Element | None:
    """Return the paragraph that an element is in; None within a formula."""
    around = next(element.iterancestors(*_CONTAINERS, "{*}oMath"), None)
    return None if around is not None and _name(around) == "oMath" else around


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
