"""Marking: texts in parts, of which some are marked. What is marked is told by position, never by HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Part", "cut", "snippet", "telling"]

Part = tuple[str, bool]
"""A piece of a text, and whether it is marked."""

_SHOWN = 320
"""Characters of a passage that a hit shows."""

_BEFORE = 80
_WORD = re.compile(r"[^\W_]+")
_SHARE = 0.5
"""The words that make up this share of all that speaks for a match are marked."""


def cut(text: str, start: int, end: int) -> list[Part]:
    """Return a text with one stretch marked; without any where the stretch does not lie in it."""
    if not 0 <= start < end <= len(text):
        return [(text, False)]
    return [part for part in ((text[:start], False), (text[start:end], True), (text[end:], False)) if part[0]]


def snippet(text: str, question: str) -> list[Part]:
    """Return the piece of a passage around the first word of a question, with such words marked."""
    text = " ".join(text.split())
    asked = [word.casefold() for word in _WORD.findall(question) if len(word) > 2]
    found = [match.span() for match in _WORD.finditer(text) if _is_asked(match[0].casefold(), asked)]
    first = max(0, found[0][0] - _BEFORE) if found and found[0][0] > _SHOWN - _BEFORE else 0
    first = text.find(" ", first) + 1 if first else 0
    last = len(text) if len(text) <= first + _SHOWN else max(text.rfind(" ", first, first + _SHOWN), first + 1)
    inside = [(start, end) for start, end in found if start >= first and end <= last]
    parts = _marked(text, inside, first, last)
    return [("… ", False)] * bool(first) + parts + [(" …", False)] * (last < len(text))


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


def _is_asked(word: str, asked: list[str]) -> bool:
    """Return whether a word is one of a question's, or differs from it in its ending only."""
    return any(
        word == one or (min(len(word), len(one)) >= 4 and (word.startswith(one[:-1]) or one.startswith(word[:-1])))
        for one in asked
    )
