"""Code of site generators in Markdown, which no reader of the page sees: imports, components, shortcodes, comments.

What a reader does see stays: the text between the tags, and what attributes such as ``title`` and ``text`` say.
Code blocks and code within a line are left as they are.
"""

from __future__ import annotations

import re

__all__ = ["removed"]

_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})", re.MULTILINE)
_HINT = re.compile(r"\{\{[<%]|\{%|<!--|^(?:im|ex)port[ {*]|\{/\*", re.MULTILINE)
_HINTS = ("{{<", "{{%", "{%", "<!--", "{/*", "\nimport", "\nexport")  # found ten times as fast as by a pattern
_SPAN = r"(?P<span>(?<!`)(?P<ticks>`++)[^\n]*?(?<!`)(?P=ticks)(?!`))"
_COMMENTS = (("<!--", "-->"), ("{/*", "*/}"))
_UNSEEN = re.compile(
    _SPAN + r"|\{\{[<%][ \t]*/?(?P<code>[^{}\n]{0,2000}?)/?[ \t]*[>%]\}\}"
    r"|\{%-?[ \t]*(?P<liquid>[a-z]\w*\b[^{}\n]{0,2000}?)-?%\}"
)
_IMPORTS = re.compile(
    r"^import[ \t]+(?:[\w$*{}, \t]+[ \t]+from[ \t]+)?[\"'][^\"'\n]+[\"'];?[ \t]*(?:\n|\Z)"
    r"|^export[ \t]+(?:const|let|var|default|function|async|\{)[^\n]*\n(?:[ \t}\])][^\n]*\n)*",
    re.MULTILINE,
)
_TAG = re.compile(_SPAN + r"|</?[A-Z][\w.]*(?P<code>(?:[^<>`{}]|\{[^{}]*\}){0,2000})>")
_SEEN = re.compile(
    r"\b(?:title|label|alt|caption|summary|content|text|header|name|heading)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')"
    r"|(?<=\s)\"([^\"/.=]+)\""  # a value without a name that is no path
)


def removed(text: str, *, jsx: bool = False) -> str:
    """Return Markdown without the code of site generators.

    Args:
        text: The Markdown.
        jsx: Whether tags whose names begin with a capital letter are components, as in MDX.
    """
    if not (jsx or (_has_hint(text) and _HINT.search(text))):
        return text
    pieces: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if match and not fence:
            pieces += [_without_code("".join(prose), jsx=jsx), line]
            prose, fence = [], match[0].strip()
        elif fence:
            pieces.append(line)
            fence = "" if match and match[0].strip().startswith(fence) else fence
        else:
            prose.append(line)
    return "".join([*pieces, _without_code("".join(prose), jsx=jsx)])


def _has_hint(text: str) -> bool:
    return text.startswith(("import", "export")) or any(hint in text for hint in _HINTS)


def _without_code(prose: str, *, jsx: bool) -> str:
    for opening, closing in _COMMENTS:
        prose = _without_comments(prose, opening, closing)
    prose = _UNSEEN.sub(_seen, _IMPORTS.sub("", prose))
    return _TAG.sub(_seen, prose) if jsx else prose


def _without_comments(prose: str, opening: str, closing: str) -> str:
    """Return a text without comments. One that begins in code within a line, after an odd number of ticks, is none."""
    pieces: list[str] = []
    at = begun = 0
    while (start := prose.find(opening, at)) >= 0 and (end := prose.find(closing, start + len(opening))) >= 0:
        line = prose[max(0, start - 200) : start].rpartition("\n")[2]
        at = start + len(opening)
        if line.count("`") % 2 == 0:
            pieces.append(prose[begun:start])
            at = begun = end + len(closing)
    return "".join([*pieces, prose[begun:]])


def _seen(match: re.Match[str]) -> str:
    """Return what a reader sees of a piece of code."""
    if match["span"]:
        return match[0]
    found = match.groupdict()
    shown = _SEEN.findall(found.get("code") or found.get("liquid") or "")
    return " ".join(filter(None, map("".join, shown)))
