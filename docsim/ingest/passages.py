"""Passages: a text is split along its structure into parts that are short enough to be embedded.

A passage ends before a heading if possible, otherwise between paragraphs, otherwise between sentences or lines,
otherwise between words, and only within a word if there is no other way. A fenced code block is not split at its blank
lines. Passages of the same section overlap a little, so that a sentence near the end of a passage has its context in
one of the two.

The passages of a text do not depend on an encoder, so all generations of an index share them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from docsim.ingest.repeated import Span
from docsim.models import Document, Passage

__all__ = ["OVERLAP", "TARGET", "inputs", "split"]

TARGET = 900
"""The length that passages should not exceed, in characters: about 200 tokens of English."""

OVERLAP = 90
"""The most characters that a passage repeats from the one before it in the same section."""

# One pass finds all places where a text, with a line break in front, may be split. ``over`` is a reStructuredText title
# between two lines; ``under`` is an underlined title, in reStructuredText or as a Setext heading in Markdown. Every
# alternative takes linear time, whatever the text. All begin with a line break, which Python searches for quickly, and
# look ahead, so that most lines match nothing. Most texts underline no title; they are searched for less.
_BLANK = r"[ \t]*\n(?P<blank>\s*)"
_HASHES = r"(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)|(?P<hashes>\#{1,6})[ \t]+(?P<atx>[^\n]*)"
_TITLE = (
    r"|(?P<over>[=~^*\#\"+-])(?P=over){2,}[ \t]*\n[ \t]*(?P<boxed>\S[^\n]*)\n(?P=over){3,}[ \t]*$"
    r"|(?P<underlined>\w[^\n]*)\n(?P<under>[=~^*\#\"+-])(?P=under){2,}[ \t]*$"
)
_BORDER = re.compile(
    rf"\n(?:{_BLANK}|(?=[`~=^*\#\"+-]|\w[^\n]*\n[=~^*\#\"+-]))(?:(?<=\n)(?:{_HASHES}{_TITLE}))?", re.MULTILINE
)
_BORDER_WITHOUT_TITLES = re.compile(rf"\n(?:{_BLANK}|(?=[`~\#]))(?:(?<=\n)(?:{_HASHES}))?")
_UNDERLINE = re.compile(r"\n([=~^*\#\"+-])\1\1+[ \t]*$", re.MULTILINE)
_FIRST = {"atx": "hashes", "boxed": "over", "under": "underlined"}
"""With which group a heading begins, by its last group."""

_SENTENCE = re.compile(r"[.!?;:][\"')\]]*\s+|[。！？]|\n")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Outline:
    """The places where a text may be split.

    Attributes:
        headings: The offsets of headings, ascending.
        paths: For each heading the headings above it, outermost first, and the heading itself.
        paragraphs: The offsets of paragraphs that follow a blank line, ascending.
    """

    headings: list[int]
    paths: list[tuple[str, ...]]
    paragraphs: list[int]


def split(text: str, *, target: int = TARGET, overlap: int = OVERLAP, without: Sequence[Span] = ()) -> list[Passage]:
    """Split a text into passages.

    Every character that is not white space is in at least one passage, except for what is left out.

    Args:
        text: Any text.
        target: The length that passages should not exceed, in characters, at least 2; the last one may be a quarter
            longer.
        overlap: The most characters that a passage repeats from the one before it, from 0 to half of ``target``.
        without: Parts of the text, in order, that no passage holds; see ``docsim.ingest.repeated``.

    Returns:
        At least one passage, in order of ``start``. A text without content has one empty passage, so that its document
        can still be found by its title.

    Raises:
        ValueError: ``target`` or ``overlap`` is out of range.
    """
    if target < 2 or not 0 <= overlap <= target // 2:
        raise ValueError(f"expected target >= 2 and 0 <= overlap <= target / 2, got {target} and {overlap}")
    outline = _outline(text)
    passages: list[Passage] = []
    for begin, stop in _kept(text, without):
        start = _skip_space(text, begin)
        while start < stop:
            end = stop if stop - start <= target * 5 // 4 else _end(text, outline, start=start, limit=start + target)
            if passage := _passage(text, outline, start=start, end=end):
                passages.append(passage)
            start = _next_start(text, outline, end=end, overlap=overlap if end < stop else 0)
    return passages or [Passage(0, 0)]


def _kept(text: str, without: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each part of a text that is not left out, without white space at its end."""
    begins, ends = [0, *(span.end for span in without)], [*(span.start for span in without), len(text)]
    for begin, end in zip(begins, ends, strict=True):
        yield begin, begin + len(text[begin:end].rstrip())


def inputs(document: Document, passages: Sequence[Passage]) -> list[str]:
    """Return the text that is embedded for each passage: the document's title, a line break, and the passage.

    With the title, search results are measurably better; adding the headings above a passage makes no difference
    (docs/research/ranking.md).
    """
    head = f"{document.title}\n" if document.title else ""
    return [head + document.text[passage.start : passage.end] for passage in passages]


def _outline(text: str) -> _Outline:
    """Find the headings and paragraphs of ``text`` in one pass. Fenced code has neither."""
    outline = _Outline([], [], [])
    path: list[tuple[int, str]] = []
    styles: dict[str, int] = {}
    fence = ""
    borders = _BORDER if _UNDERLINE.search(text) else _BORDER_WITHOUT_TITLES
    for border in borders.finditer(f"\n{text}"):
        kind = border.lastgroup  # the last group that took part
        if kind is None:
            continue
        if border["blank"] is not None and not fence:
            outline.paragraphs.append(border.end("blank") - 1)
        if kind == "info":
            fence = _fence_after(border, fence)
        elif kind != "blank" and not fence:
            level, title = _heading(border, styles)
            path = [*(step for step in path if step[0] < level), (level, title)]
            outline.headings.append(border.start(_FIRST[kind]) - 1)
            outline.paths.append(tuple(title for _, title in path))
    return outline


def _fence_after(border: re.Match[str], fence: str) -> str:
    """Return the fence that is open after a fence line, if any. A fence is closed by its kind, as long or longer."""
    if not fence:
        return border["fence"]
    return "" if border["fence"].startswith(fence) and not border["info"].strip() else fence


def _heading(border: re.Match[str], styles: dict[str, int]) -> tuple[int, str]:
    """Return the level, from 1, and the title of a heading. Styles of underlining get their levels as they appear."""
    if border["hashes"]:
        return len(border["hashes"]), border["atx"].rstrip().rstrip("#").rstrip()
    style = border["over"] * 2 if border["over"] else border["under"]
    title = border["boxed"] or border["underlined"]
    return styles.setdefault(style, len(styles) + 1), title.strip()


def _end(text: str, outline: _Outline, *, start: int, limit: int) -> int:
    """Return the end of the passage from ``start``: the best place to split between half its length and ``limit``."""
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
    """Return the start of the passage that follows one ending at ``end``, up to ``overlap`` characters before it."""
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
    """Return the passage ``text[start:end]`` without white space at its end, or None when nothing else is in it."""
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
