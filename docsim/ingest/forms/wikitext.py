"""The markup of MediaWiki as Markdown, with the links and categories in it; parsed by mwparserfromhell."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import FileContent, tidy

__all__ = ["Wikitext", "parsed", "read"]

_CATEGORY = re.compile(
    r"(?:Category|Kategorie|Catégorie|Categoría|Categoria|Categorie|Kategoria|Категория|分类|カテゴリ)\Z", re.I
)
_FILE = re.compile(
    r"(?:File|Image|Datei|Bild|Fichier|Archivo|Immagine|Bestand|Plik|Файл|文件|ファイル|Media)\Z", re.IGNORECASE
)
_DROPPED = {"ref", "references", "gallery", "timeline", "math", "style", "script", "templatestyles", "imagemap"}
_VERBATIM = {"pre", "source", "syntaxhighlight", "code", "nowiki"}
_MAGIC = re.compile(r"__[A-Z]{3,20}__")
_BULLET = re.compile(r"^((?:\* ?)*\*|1\.)[ \t]+", re.MULTILINE)
_MARKS = {"b": "**", "i": "*", "strong": "**", "em": "*"}
_BLOCKS = {"p", "div", "br", "tr", "hr", "blockquote", "center"}


@dataclass(slots=True)
class Wikitext:
    """A page.

    Attributes:
        text: Markdown.
        links: The titles of the pages that it links to.
        categories: The names of its categories.
    """

    text: str = ""
    links: dict[str, None] = field(default_factory=dict)
    categories: dict[str, None] = field(default_factory=dict)


def parsed(data: bytes) -> FileContent:
    """Read a page in UTF-8, as ``read`` does; its ``links`` and ``categories`` are lists in its metadata.

    Raises:
        SourceError: It is nested too deeply.
    """
    try:
        found = read(data.decode("utf-8", "surrogatepass"))
    except RecursionError as error:
        raise SourceError("the markup is nested too deeply") from error
    return FileContent(found.text, metadata={"links": list(found.links), "categories": list(found.categories)})


def read(markup: str) -> Wikitext:
    """Read a page. Of templates, what their parameters say is kept; footnotes, pictures and formulas are not.

    Args:
        markup: The page.

    Raises:
        RecursionError: It is nested too deeply.
    """
    import mwparserfromhell

    found = Wikitext()
    parts = "".join(_written(mwparserfromhell.parse(_MAGIC.sub("", markup)), found))
    found.text = tidy(_BULLET.sub(r"\1 ", re.sub(r"^[ \t]+(?=\S)(?!\*|\d)", "", parts, flags=re.MULTILINE)))
    return found


def _written(code: Any, found: Wikitext) -> Iterator[str]:
    """Yield the Markdown of each node."""
    for node in code.nodes:
        kind = type(node).__name__
        if kind == "Text":
            yield str(node)
        elif kind == "Heading":
            yield f"{'#' * node.level} {''.join(_written(node.title, found)).strip()}"
        elif kind == "Wikilink":
            yield _link(node, found)
        elif kind == "ExternalLink":
            yield "".join(_written(node.title, found)) if node.title else str(node.url)
        elif kind == "Template":
            yield _template(node, found)
        elif kind == "Tag":
            yield _tag(node, found)
        elif kind == "HTMLEntity":
            yield str(node.normalize())


def _link(node: Any, found: Wikitext) -> str:
    title = str(node.title).strip()
    space = title.partition(":")[0].strip() if ":" in title else ""
    if _CATEGORY.match(space):
        found.categories[title.partition(":")[2].strip()] = None
        return ""
    shown = "".join(_written(node.text, found)) if node.text is not None else ""
    if _FILE.match(space):
        return shown.rpartition("|")[2] if "|" in shown else ""
    target = title.partition("#")[0].lstrip(":").strip().replace("_", " ")
    if target:
        found.links[target[:1].upper() + target[1:]] = None
    return shown or title.lstrip(":")


def _template(node: Any, found: Wikitext) -> str:
    """Return what the parameters of a template say, a line each where they have names."""
    said: list[str] = []
    for one in node.params:
        value = "".join(_written(one.value, found)).strip()
        if value and re.search(r"[^\W\d_]", value):
            said.append(f"{str(one.name).strip()}: {value}" if one.showkey else value)
    if not any(one.showkey for one in node.params):
        return " ".join(said)
    return "\n".join(said) + ("\n\n" if "\n" in str(node) else "")


def _tag(node: Any, found: Wikitext) -> str:
    tag, markup = str(node.tag).strip().lower(), str(node.wiki_markup or "")
    if tag in _DROPPED:
        return ""
    if markup and tag in ("li", "dd", "dt"):
        return {"*": "* ", "#": "1. ", ":": "", ";": ""}.get(markup, "* ")
    if tag in _VERBATIM:
        return _verbatim(tag, html.unescape(str(node.contents).strip("\n")))
    inner = "".join(_written(node.contents, found)) if node.contents is not None else ""
    if tag in ("td", "th"):
        return f" {' '.join(inner.split())} |"
    if tag == "table":
        return _table([line.strip() for line in inner.split("\n") if line.strip()])
    mark = _MARKS.get(tag, "") if inner.strip() == inner and inner else ""
    return f"\n{inner}\n" if tag in _BLOCKS else f"{mark}{inner}{mark}"


def _verbatim(tag: str, inner: str) -> str:
    if tag == "nowiki":
        return inner
    return f"\n```\n{inner}\n```\n" if "\n" in inner and tag != "code" else f"`{inner}`"


def _table(rows: list[str]) -> str:
    """Return a table in Markdown; what stands in it outside of cells, such as its title, comes first."""
    cells = [f"| {row}" if not row.startswith("|") else row for row in rows if row.endswith("|")]
    titles = [row for row in rows if not row.endswith("|")]
    if cells:
        cells.insert(1, "|" + " --- |" * (cells[0].count("|") - 1))
    return "\n\n" + "\n".join([*titles, *([""] if titles else []), *cells]) + "\n\n"
