"""Text of right-to-left scripts, as PDFium gives it: in the order of reading, save for words of the other direction.

PDFium finds one direction for each line, by the number of words of each, and reverses lines that are read from right to
left word by word. So words that run the other way come out in reverse order, such as the three of "Human Resources
Portal" in a line of Hebrew. They are turned round again.
"""

from __future__ import annotations

import re

__all__ = ["reordered"]

_RIGHT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
_IS_RIGHT = re.compile(f"\\W*[{_RIGHT}]")
_IS_LEFT = re.compile(rf"\W*[^\W\d_{_RIGHT}]")
_IS_NUMBER = re.compile(r"\d")
_PIECE = re.compile(r"([()\[\]{}])")


def reordered(text: str) -> str:
    """Return text with the words of each line in the order in which they are read."""
    if not re.search(f"[{_RIGHT}]", text):
        return text
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    words = line.split()
    right, left = (sum(bool(one.match(word)) for word in words) for one in (_IS_RIGHT, _IS_LEFT))
    if not right or not left:
        return line
    turned = _IS_LEFT if right >= left else _IS_RIGHT
    return "".join(_turned(piece, turned) for piece in _PIECE.split(line))


def _turned(piece: str, turned: re.Pattern[str]) -> str:
    """Return what is between two brackets with each run of words of one direction, and numbers among them, reversed."""
    runs: list[list[str]] = []
    was_turned = False
    for word in piece.split(" "):
        is_turned = bool(turned.match(word) or _IS_NUMBER.match(word))
        if is_turned and was_turned:
            runs[-1].append(word)
        else:
            runs.append([word])
        was_turned = is_turned
    return " ".join(" ".join(reversed(run) if any(map(turned.match, run)) else run) for run in runs)
