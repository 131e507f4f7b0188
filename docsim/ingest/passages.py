"""Passages: contiguous spans of a document, cut along its structure; the unit that is embedded.

A passage ends before a heading when it can, between paragraphs, list items or table rows otherwise, between sentences
when a paragraph is too long, between words when a sentence is, and inside a word only when nothing else is left. A
fenced code block is not cut at its blank lines. Neighbours within one section overlap, so that a sentence near a
border keeps its context on one side at least. Nothing here depends on an encoder: generations share passages.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from docsim.models import Document, Passage

__all__ = ["OVERLAP", "TARGET", "inputs", "split"]

TARGET = 900
"""Characters a passage may have: some 200 tokens of English."""

OVERLAP = 90
"""Characters that a passage may repeat of the one before it in the same section."""

# One pass finds all borders. ``over`` is reStructuredText's boxed title; ``under`` its underlined one, and Markdown's
# Setext heading. Every alternative is linear in the length of the text, whatever the text.
_BORDER = re.compile(
    r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$"
    r"|^(?P<hashes>\#{1,6})[ \t]+(?P<atx>[^\n]*)$"
    r"|^(?P<over>[=~^*\#\"+-])(?P=over){2,}[ \t]*\n[ \t]*(?P<boxed>\S[^\n]*)\n(?P=over){3,}[ \t]*$"
    r"|^(?P<underlined>\w[^\n]*)\n(?P<under>[=~^*\#\"+-])(?P=under){2,}[ \t]*$"
    r"|\n[ \t]*\n(?P<blank>\s*)",
    re.MULTILINE,
)
_SENTENCE = re.compile(r"[.!?;:][\"')\]]*\s+|[。！？]|\n")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Outline:
    """Where a text may be cut: offsets of headings and of paragraphs, each ascending."""

    headings: list[int]
    paths: list[tuple[str, ...]]  # the headings above heading i, outermost first, and the heading itself last
    paragraphs: list[int]


def split(text: str, *, target: int = TARGET, overlap: int = OVERLAP) -> list[Passage]:
    """Cut ``text`` into passages.

    Every character that is not white space lies in at least one passage, passages come in order of ``start``, and
    ``text[p.start : p.end]`` is exactly the passage.

    Args:
        text: Any text.
        target: Characters a passage may have, at least 2; the last one may have a quarter more.
        overlap: Characters, at most, that a passage repeats of the one before it; at most half of ``target``.

    Returns:
        At least one passage; for a text without content one empty passage, so that its title can be found.

    Raises:
        ValueError: ``target`` or ``overlap`` is out of range.
    """
    if target < 2 or not 0 <= overlap <= target // 2:
        raise ValueError(f"expected target >= 2 and 0 <= overlap <= target / 2, got {target} and {overlap}")
    outline = _outline(text)
    passages: list[Passage] = []
    start, stop = _skip_space(text, 0), len(text.rstrip())
    while start < stop:
        end = stop if stop - start <= target * 5 // 4 else _end(text, outline, start=start, limit=start + target)
        if passage := _passage(text, outline, start=start, end=end):
            passages.append(passage)
        start = _next_start(text, outline, end=end, overlap=overlap if end < stop else 0)
    return passages or [Passage(0, 0)]


def inputs(document: Document, passages: Sequence[Passage]) -> list[str]:
    """Return what is embedded for each passage: the document's title and the passage.

    The title measures better than the passage alone; the headings above it add nothing (docs/ranking.md).
    """
    head = f"{document.title}\n" if document.title else ""
    return [head + document.text[passage.start : passage.end] for passage in passages]


def _outline(text: str) -> _Outline:
    """Find every heading and paragraph border of ``text`` in one pass; what a code fence encloses holds neither."""
    outline = _Outline([], [], [])
    path: list[tuple[int, str]] = []
    styles: dict[str, int] = {}
    fence = ""
    for border in _BORDER.finditer(text):
        if border["fence"]:
            fence = _fence_after(border, fence)
        elif fence:
            continue
        elif border["blank"] is not None:
            outline.paragraphs.append(border.end())
        else:
            level, title = _heading(border, styles)
            path = [*(step for step in path if step[0] < level), (level, title)]
            outline.headings.append(border.start())
            outline.paths.append(tuple(title for _, title in path))
    return outline


def _fence_after(border: re.Match[str], fence: str) -> str:
    """Return the fence that is open after a fence line; a fence is closed by its own kind, as long or longer."""
    if not fence:
        return border["fence"]
    return "" if border["fence"].startswith(fence) and not border["info"].strip() else fence


def _heading(border: re.Match[str], styles: dict[str, int]) -> tuple[int, str]:
    """Return level (1 the highest) and title; underline styles rank in their order of appearance."""
    if border["hashes"]:
        return len(border["hashes"]), border["atx"].rstrip().rstrip("#").rstrip()
    style = border["over"] * 2 if border["over"] else border["under"]
    title = border["boxed"] or border["underlined"]
    return styles.setdefault(style, len(styles) + 1), title.strip()


def _end(text: str, outline: _Outline, *, start: int, limit: int) -> int:
    """Return where the passage from ``start`` ends: the best border in the second half of what it may hold."""
    earliest = start + (limit - start) // 2
    for borders in (outline.headings, outline.paragraphs):
        index = bisect_left(borders, limit + 1) - 1
        if index >= 0 and borders[index] > earliest:
            return borders[index]
    for pattern in (_SENTENCE, _SPACE):
        ends = [match.end() for match in pattern.finditer(text, earliest, limit)]
        if ends:
            return ends[-1]
    return limit


def _next_start(text: str, outline: _Outline, *, end: int, overlap: int) -> int:
    """Return where the passage after one that ended at ``end`` starts: up to ``overlap`` characters before it."""
    index = bisect_left(outline.headings, end)
    at_heading = index < len(outline.headings) and outline.headings[index] == end
    if overlap and not at_heading:
        since = max(end - overlap, outline.headings[index - 1] if index else 0)
        for pattern in (_SENTENCE, _SPACE):
            match = pattern.search(text, since, end)
            if match and match.end() < end:
                return _skip_space(text, match.end())
    return _skip_space(text, end)


def _passage(text: str, outline: _Outline, *, start: int, end: int) -> Passage | None:
    """Return the passage of ``text[start:end]`` without white space at its ends, or None when nothing is left."""
    end = start + len(text[start:end].rstrip())
    index = bisect_left(outline.headings, start)
    if index < len(outline.headings) and outline.headings[index] == start:
        above = outline.paths[index][:-1]
    else:
        above = outline.paths[index - 1] if index else ()
    return Passage(start, end, " > ".join(above)) if end > start else None


def _skip_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start
