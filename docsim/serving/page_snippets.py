"""Snippets on the page: texts in parts, of which some are marked. What is marked is told by position, never by HTML.

A snippet is shown as people read a page, not as it was written: without the marks of Markdown, in which most texts are
kept. Where a text is no Markdown, hardly anything in it looks like it. Those of the command line are made by
``docsim.rendering.terminal_snippets``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from docsim.text.matching import Matcher, united

__all__ = ["Part", "cut", "readable", "snippet", "telling"]

Part = tuple[str, bool]
"""A piece of a text, and whether it is marked."""

_SHOWN = 320
"""Characters of a passage that a hit shows."""

_BEFORE = 80
_BETWEEN = " · "
_WORD = re.compile(r"\w")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3}|_|~~)(?=[^\s*_])(.+?)(?<=[^\s*_])\1(?![\w*])")
_ROW = re.compile(r"\s*\|(.*)\|\s*")
_RULE = re.compile(r"[\s|:-]*-[\s|:-]*\|[\s|:-]*|\s*\|[\s|:-]*-[\s|:-]*")
"""The line below the head of a table."""

_SHARE = 0.5
"""The words that make up this share of all that speaks for a match are marked."""


def cut(text: str, start: int, end: int) -> list[Part]:
    """Return a text with one stretch marked; without any where the stretch does not lie in it."""
    if not 0 <= start < end <= len(text):
        return [(text, False)]
    return [part for part in ((text[:start], False), (text[start:end], True), (text[end:], False)) if part[0]]


def snippet(text: str, asked: Matcher, *, title: str = "") -> list[Part]:
    """Return the piece of a passage around the first word that was asked for, with such words marked.

    Args:
        text: The passage, maybe Markdown.
        asked: Finds what was asked for.
        title: The title that is shown above it, which need not be said again.
    """
    text = readable(text, title=title)
    found = list(united(asked.matches(text)))
    first = max(0, found[0][0] - _BEFORE) if found and found[0][0] > _SHOWN - _BEFORE else 0
    first = text.find(" ", first) + 1 if first else 0
    last = len(text) if len(text) <= first + _SHOWN else max(text.rfind(" ", first, first + _SHOWN), first + 1)
    inside = [(start, end) for start, end in found if start >= first and end <= last]
    parts = _marked(text, inside, first, last)
    return [("… ", False)] * bool(first) + parts + [(" …", False)] * (last < len(text))


def readable(text: str, *, title: str = "") -> str:
    """Return a text on one line, as it reads without the marks of Markdown; pieces are set apart by a dot.

    Args:
        text: Any text, or a stretch of one.
        title: A title; a first piece that says the same is left out.
    """
    rows = (_ROW.sub(_cells, line) for line in text.splitlines() if not _RULE.fullmatch(line))
    pieces = [" ".join(piece.split()) for piece in _pieces("\n".join(rows))]
    pieces = [piece for piece in pieces if _WORD.search(piece)]
    if len(pieces) > 1 and pieces[0].casefold() == " ".join(title.split()).casefold():
        del pieces[0]
    shown = ""
    for piece in pieces:
        shown += (" " if shown[-1:] in ".!?:;,…" else _BETWEEN) * bool(shown) + piece
    return shown


@functools.cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).disable("emphasis")  # which takes 2*3*4 for one


def _pieces(text: str) -> Iterator[str]:
    """Yield the text of each block."""
    for token in _markdown().parse(text):
        if token.type == "inline":
            yield _EMPHASIS.sub(r"\2", "".join(map(_said, token.children or ())))
        elif token.content:  # code
            yield token.content


def _said(token: Token) -> str:
    if token.type == "image":
        return "".join(map(_said, token.children or ()))
    return " " if token.type in ("softbreak", "hardbreak") else token.content


def _cells(row: re.Match[str]) -> str:
    """Return a row of a table as a block of its own, with a dot between its cells."""
    return "\n" + _BETWEEN.join(cell.strip() for cell in row[1].split("|") if _WORD.search(cell)) + "\n"


def telling(span: Mapping[str, Any]) -> list[Part]:
    """Return a passage of an explanation with the words marked that contribute most."""
    words = [one for one in span["words"] if one["start"] is not None and one["contribution"] > 0]
    needed, held, chosen = _SHARE * sum(one["contribution"] for one in words), 0.0, []
    for one in sorted(words, key=lambda one: -one["contribution"]):
        if held >= needed:
            break
        held += one["contribution"]
        chosen.append((one["start"] - span["start"], one["end"] - span["start"]))
    return _marked(span["text"], sorted(chosen), 0, len(span["text"]))


def _marked(text: str, stretches: list[tuple[int, int]], first: int, last: int) -> list[Part]:
    """Return ``text[first:last]`` with some stretches marked, which are in order and do not overlap."""
    parts, at = list[Part](), first
    for start, end in stretches:
        if start >= at:
            parts += [(text[at:start], False), (text[start:end], True)]
            at = end
    return [part for part in [*parts, (text[at:last], False)] if part[0]]
