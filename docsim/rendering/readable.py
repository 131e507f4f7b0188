"""Readable text: a passage of Markdown as it reads, cut into sentences, each with the heading above it.

A passage may begin and end anywhere, also within a link or a table. So nothing is parsed here: marks are taken out
where they are marks for certain, and everything else stays. Other markup and plain text lose next to nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Sentence", "inline", "sentences"]

_LONGEST = 4_000  # characters of a line that are read; more of it is never shown
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)_{0,2}")
_MARKS = (
    (re.compile(r"<!--.*?(?:-->|$)"), ""),
    (re.compile(r"\{\{[<%].{0,300}?[>%]\}\}"), ""),  # shortcodes of Hugo
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]"), r"\1"),  # links of a wiki
    (re.compile(r"!?\[([^\[\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"!?\[([^\[\]]+)\]\([^()\s]*$"), r"\1"),  # a link that the passage ends in
    (re.compile(r"^[^\[\]()\s]*\]\([^()\s]*\)|^[^\[\]()\s]{12,}\)(?=\W)"), ""),  # or begins in
    (re.compile(r"\[\^[\w-]{1,20}\]:?"), ""),  # footnotes
    (re.compile(r"<((?:https?|mailto):[^<>\s]+)>"), r"\1"),
    (re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>"), ""),
    (re.compile(r"(?<![\w*\\])(\*{1,3})(?=[^\s*])([^*]*[^\s*\\])\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<![\w_\\])(_{1,3})(?=[^\s_])([^_]*[^\s_\\])\1(?![\w_])"), r"\2"),
    (re.compile(r"(~~)(?=\S)([^~]*\S)\1"), r"\2"),
    (re.compile(r"\s*\{[:#.][\w#.:= \"-]*\}\s*$"), ""),  # attributes
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)
_ROLE = re.compile(r":[a-zA-Z][\w:+.-]{0,60}:`([^`<]*?)\s*(?:<[^`]*>)?`")  # of reStructuredText
_ROLE_LINK = re.compile(r"`([^`<]+?)\s*<[^`<>]*>`_{1,2}")

_FENCE = re.compile(r"\s*(`{3,}|~{3,}|:{3,}|\+{3,})")
_HEADING = re.compile(r"\s{0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r"\s{0,3}([=~^*#\"+-])\1{2,}\s*$")
_RULE = re.compile(r"[\s|:+=*_-]*$|\s*\.\. .*::.*$|\s*:[\w-]+:(?:\s.*)?$")  # rules, borders of tables, directives
_ITEM = re.compile(r"\s*(?:[-*+\u2022][ \t]+(?:\[[ xX]\][ \t]+)?)")
_NUMBERED = re.compile(r"\s*\d{1,3}[.)][ \t]+")
_QUOTED = re.compile(r"\s*(?:>[ \t]?)+")
_ROW = re.compile(r"\s*\|.*\|?\s*$|.*\s\|\s.*\s\|\s")
_CELL = re.compile(r"(?<!\\)\|")
_END = re.compile(r"(?<=[.!?])[\"')\]\u201d\u2019]*\s+|(?<=[\u3002\uff01\uff1f])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Mr|Mrs|Dr|No|St|z\.B|bzw|ca|approx|Fig|Sec)|\b[A-Za-z]|^\d+)\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, an item of a list, a row of a table or a line of code, as it reads.

    Attributes:
        text: Without marks, on one line.
        section: The nearest heading above it; empty where there is none.
        is_code: Whether it is a line of code.
    """

    text: str
    section: str
    is_code: bool = False


def inline(text: str) -> str:
    """Return a piece of Markdown as one line without marks: links as their text, code as it is."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[2].strip() or match[2])
        return f"\x00{len(kept) - 1}\x00"

    text = " ".join(text[:_LONGEST].replace("\x00", " ").split())
    text = _ROLE_LINK.sub(r"\1", _ROLE.sub(r"\1", text))
    text = _CODE.sub(keep, text)
    for pattern, instead in _MARKS:
        text = pattern.sub(instead, text)
    text = html.unescape(text) if "&" in text else text
    return " ".join(re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], text).split())


def sentences(text: str, section: str = "") -> list[Sentence]:
    """Return the sentences of a passage, in order.

    Args:
        text: The passage.
        section: The heading that its beginning stands under.
    """
    found: list[Sentence] = []
    for kind, block in _blocks(text.split("\n")):
        if kind == "heading":
            section = inline(block) or section
        elif kind == "code":
            found.append(Sentence(" ".join(block.split()), section, is_code=True))
        elif kind == "row":
            cells = (inline(cell) for cell in _CELL.split(block))
            found.append(Sentence(" \u00b7 ".join(filter(None, cells)), section))
        else:
            found += (Sentence(one, section) for one in _split(inline(block)))
    return [one for one in found if any(map(str.isalnum, one.text))]


def _blocks(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield headings, rows, lines of code, and paragraphs or items of lists with their lines joined, by kind."""
    paragraph: list[str] = []
    fence = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        border = _FENCE.match(line)
        kind, content = ("fence", "") if border else ("code", line) if fence else _kind(line, following)
        if kind != "more" and paragraph:
            yield "text", " ".join(paragraph)
            paragraph = []
        if border:
            fence = _after(border[1], fence)
        elif kind in ("more", "text"):
            paragraph.append(content)
        elif kind:
            yield kind, content
    if paragraph:
        yield "text", " ".join(paragraph)


def _after(border: str, fence: str) -> str:
    """Return the fence of code that is open after a line of marks; other fences hold text."""
    if fence:
        return "" if border.startswith(fence) else fence
    return border if border[0] in "`~" else ""


def _kind(line: str, following: str) -> tuple[str, str]:
    """Return what a line is, and its content: ``text`` begins a paragraph or an item, and ``more`` goes on with it."""
    if heading := _HEADING.match(line):
        return "heading", heading[1]
    if _RULE.match(line):
        return "", ""
    if line.strip() and _UNDERLINE.match(following) and not _ITEM.match(line):
        return "heading", line
    if _ROW.match(line):
        return "row", line
    quoted = _QUOTED.match(line)
    line = line[quoted.end() :] if quoted else line
    if item := _ITEM.match(line):
        return "text", line[item.end() :]
    return ("text" if _NUMBERED.match(line) else "more"), line


def _split(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : match.start()]):
            yield text[start : match.end()].strip()
            start = match.end()
    if text[start:].strip():
        yield text[start:].strip()
