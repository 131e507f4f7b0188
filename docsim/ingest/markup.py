r"""Text formats: front matter, headers and titles of Markdown, reStructuredText and their kin.

Every function takes text with ``\n`` line ends and returns it as it came, less the header that it read into metadata.
Nothing here fails: a header that cannot be parsed stays in the text, and a title that cannot be found is empty. Every
pattern is linear in the length of the text, whatever the text.
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
    "Text",
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
"""Where a title stands in formats that are otherwise read as they come; the first pattern that matches wins."""

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
class Text:
    """What a file holds: its text, its title (empty when it names none) and its metadata."""

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def markdown(text: str) -> Text:
    """Read Markdown: the title is the front matter's, else the first heading outside a code fence."""
    read = front_matter(text)
    return read if read.title else titled(read, _first_heading(read.text))


def restructured(text: str) -> Text:
    """Read reStructuredText: the title is that of the header fields (as in a PEP), else the first section title."""
    if header := _FIELDS.match(text):
        fields = {name: " ".join(value.split()) for name, value in email.message_from_string(header[0]).items()}
        title = clean(fields.pop("Title", ""))
        return Text(text[header.end() :], title, {name: value for name, value in fields.items() if value})
    for match in _RESTRUCTURED.finditer(text):
        if title := clean(match["title"]):
            return Text(text, title)
    return Text(text)


def front_matter(text: str) -> Text:
    """Split YAML (``---``) or TOML (``+++``) front matter off a text; its ``title`` is the title."""
    for pattern, parse in ((_YAML, _yaml), (_TOML, tomllib.loads)):
        if not (block := pattern.match(text)):
            continue
        try:
            fields = parse(block[1])
        except (ValueError, RecursionError):
            break
        metadata = {str(name): _plain(value) for name, value in fields.items()}
        title = metadata.pop("title") if isinstance(metadata.get("title"), str | int | float) else ""
        return Text(text[block.end() :], clean(str(title)), metadata)
    return Text(text)


def titled(text: Text, title: str) -> Text:
    """Return ``text`` with another title."""
    return Text(text.text, title, text.metadata)


def first_line(text: str) -> str:
    """Return the first line of ``text`` that has three letters, or nothing when it is longer than a title would be."""
    for line in text[:10_000].splitlines():
        if sum(map(str.isalpha, line)) >= 3:
            return clean(line) if len(line.strip()) <= _LONGEST_LINE else ""
    return ""


def readable(name: str) -> str:
    """Return a file name for people: ``guide/pod-security_index.md`` becomes ``Pod security index``."""
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
    """Return text without trailing blanks and runs of empty lines."""
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
    """Parse YAML that is one mapping.

    Aliases are refused, for a few lines of them can stand for gigabytes. The loader is the one in Python: libyaml's
    crashes the process on deep nesting.
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
    """Return ``value`` as JSON can hold it: keys and dates become ``str``, and so do infinity and NaN."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and abs(value) < float("inf")):
        return value
    return str(value)
