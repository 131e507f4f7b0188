r"""Titles and metadata in the markup of Markdown, reStructuredText and similar formats.

Every function takes text with ``\n`` line ends. The text stays as it is, except that a header which was read into
metadata is cut off. Nothing here raises an error: a header that cannot be parsed stays in the text, and a title that
cannot be found is empty. Every pattern takes linear time, whatever the text.

Front matter is not parsed by a library made for it (python-frontmatter), because that one expands YAML aliases, and
uses libyaml, which crashes on deep nesting. Headings are not found by a Markdown parser, because that takes 40 times
as long.
"""

from __future__ import annotations

import email
import html
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

__all__ = [
    "TITLES",
    "FileContent",
    "clean",
    "first_line",
    "front_matter",
    "markdown",
    "readable",
    "restructured",
    "tidy",
    "titled",
]

_LONGEST_LINE = 100
_LONGEST_TITLE = 300

_YAML = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_FIELDS = re.compile(r"\A(?=(?:[^\n]+\n)*?Title:)(?:[A-Z][\w-]*:[^\n]*\n(?:[ \t]+[^\n]*\n)*)+(?=\n|\Z)")

_MARKDOWN = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*$"
    r"|^ {0,3}\#{1,6}[ \t]+(?P<atx>[^\n]*)$"
    r"|^<h1\b[^>\n]*>(?P<html>[^\n]*)</h1>"
    r"|^(?P<setext>[^\s>|\#*+-][^\n]*)\n(?:=+|-+)[ \t]*$",
    re.MULTILINE,
)
_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_RESTRUCTURED = re.compile(
    rf"^(?:(?P<over>{_PUNCTUATION})(?P=over){{2,}}[ \t]*\n[ \t]*)?(?!\.\. )(?P<title>\S[^\n]*)\n"
    rf"(?P<under>{_PUNCTUATION})(?P=under){{2,}}[ \t]*$",
    re.MULTILINE,
)
TITLES: Mapping[str, tuple[re.Pattern[str], ...]] = {
    ".adoc": (re.compile(r"^={1,6}[ \t]+([^\n]+)$", re.MULTILINE),),
    ".org": (
        re.compile(r"^\#\+title:[ \t]*([^\n]+)$", re.MULTILINE | re.IGNORECASE),
        re.compile(r"^\*+[ \t]+([^\n]+)$", re.MULTILINE),
    ),
    ".tex": (re.compile(r"\\title\{([^{}]+)\}"), re.compile(r"\\(?:chapter|section)\*?\{([^{}]+)\}")),
}
"""Where to find the title in formats that are otherwise read as plain text. The first pattern that matches is used."""

_INLINE = (
    (re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # Markdown's links and images
    (re.compile(r"(\*{1,3})(\S|\S.*?\S)\1"), r"\2"),
    (re.compile(r":[\w:+.-]+:`([^`<]*)(?:<[^`]*)?`"), r"\1"),  # reStructuredText's roles
    (re.compile(r"(`+)([^`]+)\1_{0,2}"), r"\2"),
    (re.compile(r"</?(?:a|abbr|b|br|code|em|i|img|kbd|span|strong|sub|sup)\b[^>]*>"), ""),
    (re.compile(r"\s*\{[:#.][^}]*\}\s*$"), ""),  # heading attributes
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
    (re.compile(r"\s+"), " "),
)


@dataclass(frozen=True, slots=True)
class FileContent:
    """The content of a file.

    Attributes:
        text: The text, as plain text or Markdown.
        title: The title that the file gives itself; empty when there is none.
        metadata: JSON values by name.
    """

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def markdown(text: str) -> FileContent:
    """Read Markdown. The title is that of the front matter, or else the first heading outside a code fence."""
    read = front_matter(text)
    return read if read.title else titled(read, _first_heading(read.text))


def restructured(text: str) -> FileContent:
    """Read reStructuredText. The title is that of the header fields (as in a PEP), or else the first section title."""
    if header := _FIELDS.match(text):
        fields = {name: " ".join(value.split()) for name, value in email.message_from_string(header[0]).items()}
        title = clean(fields.pop("Title", ""))
        return FileContent(text[header.end() :], title, {name: value for name, value in fields.items() if value})
    for match in _RESTRUCTURED.finditer(text):
        if title := clean(match["title"]):
            return FileContent(text, title)
    return FileContent(text)


def front_matter(text: str) -> FileContent:
    """Read YAML (``---``) or TOML (``+++``) front matter into metadata, and its ``title`` into the title."""
    for pattern, parse in ((_YAML, _yaml), (_TOML, tomllib.loads)):
        if not (block := pattern.match(text)):
            continue
        try:
            fields = parse(block[1])
        except (ValueError, RecursionError):
            break
        metadata = {str(name): _plain(value) for name, value in fields.items()}
        title = metadata.pop("title") if isinstance(metadata.get("title"), str | int | float) else ""
        return FileContent(text[block.end() :], clean(str(title)), metadata)
    return FileContent(text)


def titled(text: FileContent, title: str) -> FileContent:
    """Return ``text`` with another title."""
    return FileContent(text.text, title, text.metadata)


def first_line(text: str) -> str:
    """Return the first line with at least three letters; empty when it is longer than 100 characters."""
    for line in text[:10_000].splitlines():
        if sum(map(str.isalpha, line)) >= 3:
            return clean(line) if len(line.strip()) <= _LONGEST_LINE else ""
    return ""


def readable(name: str) -> str:
    """Return a title made from a file's path: ``guide/pod-security_index.md`` becomes ``Pod security index``."""
    path = PurePosixPath(name)
    stem = path.stem.strip("_") or path.name
    if stem.lower() in {"index", "readme"} and path.parent.name:
        stem = path.parent.name
    words = re.sub(r"[\s_-]+", " ", stem).strip() or path.name
    return words[:1].upper() + words[1:] if words.islower() else words


def clean(title: str) -> str:
    """Return a title as one line of at most 300 characters without inline markup."""
    title = html.unescape(title[: 4 * _LONGEST_TITLE])
    for pattern, replacement in _INLINE:
        title = pattern.sub(replacement, title)
    return title.strip()[:_LONGEST_TITLE].strip()


def tidy(text: str) -> str:
    """Return text without white space at the end of lines, and with at most one empty line in a row."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip()


def _first_heading(text: str) -> str:
    fence = ""
    for match in _MARKDOWN.finditer(text):
        if match["fence"]:
            fence = ("" if match["fence"].startswith(fence) else fence) if fence else match["fence"]
        elif not fence and (title := clean((match[match.lastgroup or 0]).rstrip(" \t#"))):
            return title
    return ""


def _yaml(block: str) -> dict[Any, Any]:
    """Parse YAML that must be one mapping.

    Aliases are refused, because a few lines of them can expand to gigabytes. The loader is the one written in Python,
    because libyaml crashes the process on deep nesting.

    Raises:
        ValueError: It is not YAML, has aliases, or is not a mapping.
        RecursionError: It is nested too deeply.
    """
    import yaml

    try:
        if "*" in block and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block, yaml.SafeLoader)):
            raise ValueError("aliases are not read")
        fields = yaml.safe_load(block)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if fields is not None and not isinstance(fields, dict):
        raise ValueError("expected a mapping")
    return fields or {}


def _plain(value: Any) -> Any:
    """Return ``value`` with JSON values only: keys, dates, infinity and NaN become strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and abs(value) < float("inf")):
        return value
    return str(value)
