"""The content of a file: its text, title and metadata, and what all readers do to text and titles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

__all__ = ["FileContent", "first_line", "legible", "one_line", "readable", "tidy", "titled"]

_LONGEST_LINE = 100
_LONGEST_TITLE = 300

_ANSI = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\n]{0,4096}(?:\x07|\x1b\\)"  # OSC and other strings: window titles, links
    r"|\x1b[ -/]{0,8}[0-~]"
)
_OVERSTRUCK = re.compile(r"[^\n]\x08(?=[^\n])")  # bold and underlined, as typewriters do it
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f]")
_ASCII_CONTROLS = bytes(code for code in range(128) if _CONTROLS.match(chr(code)))
_DATA_URI = re.compile(r"(data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w=.-]{1,60}){0,4};base64,)[A-Za-z0-9+/=%_-]{40,}")
_BASE64 = re.compile(
    r"(?:^[ \t>]{0,8}[A-Za-z0-9+/]{60,100}[ \t]*\n){4,}(?:[ \t>]{0,8}[A-Za-z0-9+/]{0,100}={0,2}[ \t]*$)?", re.M
)
_GAP = re.compile(r"\n{3,}")
_NEXT_LINE = re.compile(r"\n(?=\S)")
_LEAST_BASE64 = 60  # characters of its lines
_SHORT = 1_000_000  # characters of a text that is looked through before; of a longer one, that would take much memory


@dataclass(frozen=True, slots=True)
class FileContent:
    """The content of a file.

    Attributes:
        text: The text, as plain text or Markdown.
        title: The title that the file gives itself; empty when there is none.
        metadata: JSON values by name.
        lost: What the file holds that is not in the text, a phrase each, such as ``2 embedded files``.
    """

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def titled(content: FileContent, title: str) -> FileContent:
    """Return ``content`` with another title."""
    return replace(content, title=title)


def legible(text: str) -> str:
    """Return a text without what nobody reads: escape sequences of terminals, control characters, base64."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\x08" in text:
        text = _OVERSTRUCK.sub("", text)
    if _may_have_controls(text):
        text = _CONTROLS.sub("", text)
    if ";base64," in text:
        text = _DATA_URI.sub(r"\1...", text)
    return _BASE64.sub("...\n", text) if _may_have_base64(text) else text


def _may_have_controls(text: str) -> bool:
    """Return False if a text certainly has no control characters; finding that out is quicker than looking for them."""
    if len(text) > _SHORT or not text.isascii():
        return True
    data = text.encode("ascii")
    return len(data.translate(None, _ASCII_CONTROLS)) < len(data)


def _may_have_base64(text: str) -> bool:
    """Return False if a text certainly has no lines of base64, likewise."""
    if len(text) > _SHORT:
        return True
    return bool([1 for line in text.split("\n") if len(line) >= _LEAST_BASE64 and " " not in line.strip(" \t>")])


def one_line(title: str) -> str:
    """Return a title as it is written, as one line of at most 300 characters."""
    return " ".join(legible(title[: 4 * _LONGEST_TITLE]).split())[:_LONGEST_TITLE].strip()


def first_line(text: str) -> str:
    """Return the first line with at least three letters; empty when it is longer than 100 characters."""
    for line in text[:10_000].splitlines():
        if sum(map(str.isalpha, line)) >= 3:
            return one_line(line) if len(line.strip()) <= _LONGEST_LINE else ""
    return ""


def readable(name: str) -> str:
    """Return a title made from a file's path: ``guide/pod-security_index.md`` becomes ``Pod security index``."""
    path = PurePosixPath(name)
    stem = path.stem.strip("_") or path.name
    if stem.lower() in {"index", "readme"} and path.parent.name:
        stem = path.parent.name
    words = re.sub(r"[\s_-]+", " ", stem).strip() or path.name
    return words[:1].upper() + words[1:] if words.islower() else words


def tidy(text: str) -> str:
    """Return text without white space at the end of lines, and with at most one empty line in a row."""
    tidied = ""
    for some in _tidied(text):
        tidied += some if tidied else some.lstrip()  # grows in place, as a list of all would be there twice
    return tidied.strip()


def _tidied(text: str) -> Iterator[str]:
    """Yield a text without both, some lines at a time, as a list of all lines takes twice as much memory."""
    start = 0
    while start < len(text):
        found = _NEXT_LINE.search(text, start + _SHORT)
        end = found.end() if found else len(text)
        lines = text[start:end].split("\n")
        some = _GAP.sub("\n\n", "\n".join(line.rstrip() for line in lines))
        yield some.rstrip() if end == len(text) else some
        start = end
