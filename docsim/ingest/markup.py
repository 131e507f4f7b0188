r"""Titles and metadata in the markup of Markdown, reStructuredText and similar formats, and what is no text in it.

Every function takes text with ``\n`` line ends. Nothing here raises an error: a header that cannot be parsed stays in
the text, and a title that cannot be found is empty. Every pattern takes linear time, whatever the text.

Headings are not found by a Markdown parser, because that takes 40 times as long.
"""

from __future__ import annotations

import email
import html
import re
from collections.abc import Mapping
from dataclasses import replace

from docsim.ingest import front_matter, markdown_code
from docsim.ingest.content import FileContent, one_line, titled

__all__ = ["TITLES", "markdown", "plain", "restructured"]

_FIELDS = re.compile(r"\A(?=(?:[^\n]+\n)*?Title:)(?:[A-Z][\w-]*:[^\n]*\n(?:[ \t]+[^\n]*\n)*)+(?=\n|\Z)")

_MARKDOWN = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*$"
    r"|^ {0,3}\#[ \t]+(?P<atx>[^\n]*)$"
    r"|^<h1\b[^>\n]*>(?P<html>[^\n]*)</h1>"
    r"|^(?P<setext>[^\s>|\#*+-][^\n]*)\n=+[ \t]*$",
    re.MULTILINE,
)
_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_RESTRUCTURED = re.compile(
    rf"^(?:(?P<over>{_PUNCTUATION})(?P=over){{2,}}[ \t]*\n[ \t]*)?(?!\.\. )(?P<title>\S[^\n]*)\n"
    rf"(?P<under>{_PUNCTUATION})(?P=under){{2,}}[ \t]*$",
    re.MULTILINE,
)
TITLES: Mapping[str, tuple[re.Pattern[str], ...]] = {
    ".adoc": (re.compile(r"^=[ \t]+([^\n]+)$", re.MULTILINE),),
    ".org": (
        re.compile(r"^\#\+title:[ \t]*([^\n]+)$", re.MULTILINE | re.IGNORECASE),
        re.compile(r"^\*[ \t]+([^\n]+)$", re.MULTILINE),
    ),
    ".tex": (re.compile(r"\\title\{([^{}]+)\}"), re.compile(r"\\(?:chapter|section)\*?\{([^{}]+)\}")),
}
"""Where to find the title in formats that are otherwise read as plain text. The first pattern that matches is used."""

_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_INLINE = (
    (re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])"), r"\1"),  # links and images
    (re.compile(r"(?<!\*)(\*{1,3})(?=[^\s*])([^*]*[^\s*])\1(?!\*)"), r"\2"),
    (re.compile(r"(?<![\w_])(__?)(?=[^\s_])([^_]*[^\s_])\1(?![\w_])"), r"\2"),
    (re.compile(r"</?(?:a|abbr|b|br|code|em|i|img|kbd|span|strong|sub|sup)\b[^<>]*>"), ""),
    (re.compile(r"\s*\{[:#.][^{}]*\}\s*$"), ""),  # heading attributes
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)
_MARKED = re.compile(r"[`\[*_<{\\&]")  # what all of these patterns begin with
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ROLE = re.compile(r":[\w:+.-]{1,60}:`([^`<]*)(?:<[^`]*)?`")  # reStructuredText's
_LITERAL = re.compile(r"(`+)([^`]+)\1_{0,2}")


def markdown(text: str, *, jsx: bool = False) -> FileContent:
    """Read Markdown. The title is that of the front matter, or else the first heading of level 1.

    Args:
        text: The content of a file.
        jsx: Whether the text is MDX, so that tags of components are no text.
    """
    read = front_matter.read(text)
    read = replace(read, text=markdown_code.removed(read.text, jsx=jsx))
    return read if read.title else titled(read, _first_heading(read.text))


def restructured(text: str) -> FileContent:
    """Read reStructuredText. The title is that of the header fields (as in a PEP), or else the first section title."""
    if header := _FIELDS.match(text):
        fields = {name: " ".join(value.split()) for name, value in email.message_from_string(header[0]).items()}
        title = _restructured_title(fields.pop("Title", ""))
        return FileContent(text[header.end() :], title, {name: value for name, value in fields.items() if value})
    for match in _RESTRUCTURED.finditer(text):
        if title := _restructured_title(match["title"]):
            return FileContent(text, title)
    return FileContent(text)


def plain(title: str) -> str:
    """Return a title in Markdown as it reads: without the marks of emphasis, links and tags; what is code stays."""
    if not _MARKED.search(title):
        return one_line(title)
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[2].strip() or match[2])
        return f"\x00{len(kept) - 1}\x00"

    title = _CODE.sub(keep, one_line(title))
    title = _ENTITY.sub(lambda match: html.unescape(match[0]), title)
    for pattern, replacement in _INLINE:
        title = pattern.sub(replacement, title)
    return one_line(re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], title))


def _restructured_title(title: str) -> str:
    title = _LITERAL.sub(r"\2", _ROLE.sub(r"\1", one_line(title)))
    return one_line(re.sub(r"(?<!\*)(\*{1,2})(?=[^\s*])([^*]*[^\s*])\1(?!\*)", r"\2", title).replace("\\*", "*"))


def _first_heading(text: str) -> str:
    fence = ""
    for match in _MARKDOWN.finditer(text):
        if match["fence"]:
            fence = ("" if match["fence"].startswith(fence) else fence) if fence else match["fence"]
        elif not fence and (title := plain(_closed(match[match.lastgroup or 0]))):
            return title
    return ""


def _closed(heading: str) -> str:
    """Return a heading without the number signs that close it, which a blank sets apart: ``C#`` stays."""
    return re.sub(r"(?:^|[ \t])#+[ \t]*$", "", heading)
