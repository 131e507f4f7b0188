"""The markup that builders of sites add to Markdown and reStructuredText: includes, admonitions, tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docsim.errors import SourceError
from docsim.ingest.forms.prose import joined
from docsim.ingest.forms.site_config import Site
from docsim.ingest.trees.tree import Tree

__all__ = ["included", "links", "plain"]

_INCLUDE = re.compile(
    r"^(?P<indent>[ \t]*)(?:--8<--[ \t]+[\"'](?P<snippet>[^\"'\n]+)[\"']"  # MkDocs: snippets
    r"|\{%-?[ \t]*include(?:-markdown)?[ \t]+[\"'](?P<plugin>[^\"'\n]+)[\"'][^\n]*?%\}"
    r"|\{![ \t]*(?P<bang>[^!\n]+?)[ \t]*!\}"
    r"|\.\.[ \t]+include::[ \t]+(?P<rst>\S+)|`{3,}\{include\}[ \t]+(?P<myst>\S+)[ \t]*\n(?:[^`\n]*\n)*?`{3,})[ \t]*$",
    re.MULTILINE,
)
_MOST = 1 << 20  # characters of what one page includes
_EACH = 100  # characters that including something counts for
_DEEPEST = 5
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")

_ADMONITION = re.compile(
    r"^([ \t]*)(?:!!!|\?\?\?\+?)[ \t]+([\w -]*?)[ \t]*(?:inline(?: end)?)?(?:\"([^\"\n]*)\")?[ \t]*$"
)
_TAB = re.compile(r"^([ \t]*)===!?\+?[ \t]+\"([^\"\n]+)\"[ \t]*$")
_CONTAINER = re.compile(r"^[ \t]*:{3,}[ \t]*\{?([\w-]*)\}?[ \t]*(?:\[([^\]\n]*)\]|([^\n]*))$")
_DIRECTIVE = re.compile(r"^([ \t]*)\.\.[ \t]+([\w:-]+)::[ \t]*([^\n]*)$")
_SILENT = {
    "toctree",
    "contents",
    "image",
    "figure",
    "index",
    "highlight",
    "currentmodule",
    "module",
    "meta",
    "raw",
    "sectnum",
}
_CODE = {"code-block", "code", "sourcecode", "literalinclude", "prompt", "parsed-literal", "doctest", "testcode"}
_ROLE = re.compile(r":[\w:+.-]{1,60}:`(?:!|~)?([^`<\n]*?)(?:[ \t]*<[^`\n]*>)?`")
_LINK = re.compile(r"\[[^\[\]\n]*\]\(<?([^()<>\s#]+?\.(?:mdx?|rst))(?:#[^()\s]*)?>?[^()\n]*\)")
_DOC = re.compile(r":doc:`(?:[^`<\n]*<)?([^`<>\n]+)>?`")


def included(text: str, path: str, site: Site, tree: Tree) -> str:
    """Return a page with what it includes; what cannot be found, goes round or is too much stays as it is written."""
    return _Including(site, tree).whole(text, path)


class _Including:
    """Includes as much as one page may."""

    def __init__(self, site: Site, tree: Tree) -> None:
        self._site, self._tree, self._left = site, tree, _MOST

    def whole(self, text: str, path: str, depth: int = 0) -> str:
        """Return a text of a file with what it includes."""
        if "include" not in text and "--8<--" not in text and "{!" not in text:
            return text
        return _INCLUDE.sub(lambda match: self._found(match, path, depth), text)

    def _found(self, match: re.Match[str], path: str, depth: int) -> str:
        site = self._site
        target = next(match[kind] for kind in ("snippet", "plugin", "bang", "rst", "myst") if match[kind])
        target = target.partition(":")[0].strip()
        folder = site.folder.rstrip("/") if target.startswith("/") else path.rpartition("/")[0]
        for above in (folder, site.folder.rstrip("/"), site.root.rstrip("/")):
            place = joined(above, target.lstrip("/"))
            if place and place != path and depth < _DEEPEST and self._left > 0:
                try:
                    inner = self._tree.text(place)
                except SourceError:
                    continue
                size = len(inner) + len(match["indent"]) * inner.count("\n") + _EACH
                if size <= self._left:
                    self._left -= size
                    inner = re.sub(r"\A---\n.*?\n---\n", "", inner, flags=re.DOTALL)
                    lines = self.whole(inner, place, depth + 1).rstrip("\n").split("\n")
                    return "\n".join(match["indent"] + line for line in lines)
        return match[0]


def plain(text: str, *, restructured: bool) -> str:
    """Return a page whose admonitions are quotations with a title, without directives for the builder."""
    if restructured:
        return _ROLE.sub(r"\1", "\n".join(_undirected(text.split("\n"))))
    return "\n".join(_unframed(text.split("\n")))


def links(text: str, path: str, folder: str) -> list[str]:
    """Return the paths of the pages that a page links to, each once."""
    here = path.rpartition("/")[0]
    found = [
        joined(folder.rstrip("/") if one.startswith("/") else here, one.lstrip("/")) for one in _LINK.findall(text)
    ]
    suffix = path[path.rfind(".") :]
    found += [
        joined(folder.rstrip("/") if one.startswith("/") else here, one.lstrip("/")) + suffix
        for one in _DOC.findall(text)
    ]
    return [one for one in dict.fromkeys(found) if one and one != path]


def _unframed(lines: list[str]) -> Iterator[str]:
    """Yield the lines of Markdown: frames become quotations, tabs their titles, and what is in them is not indented."""
    inside: list[tuple[int, bool]] = []  # the indentation of each frame around, and whether it is quoted
    blank, fence = 0, ""
    for line in lines:
        if not line.strip():
            blank += 1
            continue
        indent = len(line) - len(line.lstrip())
        before = sum(quoted for _, quoted in inside)
        while inside and indent <= inside[-1][0]:
            inside.pop()
            fence = ""
        quotes = sum(quoted for _, quoted in inside)
        yield from [("> " * min(before, quotes)).rstrip()] * blank
        blank = 0
        body = _outdented(line, 4 * len(inside))
        match = _FENCE.match(body)
        is_code = bool(fence)
        if match:
            fence = match[1] if not fence else "" if match[1].startswith(fence) else fence
        if is_code or match:
            yield "> " * quotes + body
        elif frame := _ADMONITION.match(line):
            title = frame[3] if frame[3] is not None else frame[2].partition(" ")[0].capitalize()
            yield "> " * (quotes + 1) + (f"**{title}**" if title else "")
            inside.append((indent, True))
        elif tab := _TAB.match(line):
            yield "> " * quotes + f"**{tab[2]}**"
            inside.append((indent, False))
        else:
            yield "> " * quotes + _contained(body)
    yield from [""] * blank


def _outdented(line: str, count: int) -> str:
    return line[count:] if not line[:count].strip() else line.lstrip()


def _contained(line: str) -> str:
    """Return a line; that which begins or ends a container of Docusaurus or MyST becomes its title."""
    container = _CONTAINER.match(line)
    if container is None:
        return line
    title = (container[2] or container[3] or container[1].capitalize()).strip()
    return f"**{title}**" if title else ""


def _undirected(lines: list[str]) -> Iterator[str]:
    """Yield the lines of reStructuredText without directives; what stands in them stays."""
    silent: int | None = None
    options = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if silent is not None and (not line.strip() or indent > silent):
            continue
        silent = None
        if options and re.match(r"[ \t]+:[\w-]+:", line):
            continue
        options = False
        match = _DIRECTIVE.match(line)
        if match is None:
            yield line
        elif match[2] in _SILENT:
            silent = indent
        else:
            options = True
            name = match[2].rpartition(":")[2].replace("-", " ").capitalize()
            yield match[1] + ("" if match[2] in _CODE else f"**{name}** {match[3]}".rstrip())
