"""Snippets on the command line: the sentence of a hit that answers, the section it stands in, and marked words.

The sentence that answers is the one that shares the most telling words with the question, in its text or in the heading
above it, and that is most similar to it. A word tells more the fewer sentences of all hits hold it. Words count as
shared when their stems are equal. Those of the page are made by ``docsim.serving.page_snippets``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.models import PassageHit
from docsim.rendering.readable import Sentence, sentences
from docsim.text.matching import Matcher, united

__all__ = ["Part", "Snippet", "snippets"]

Part = tuple[str, bool]
"""A piece of a text, and whether it is marked."""

_OF_CODE = 0.5  # what a word of a line of code counts
_ABOVE = 0.6  # what a word of the heading counts, where one of the sentence itself counts 1
_SIMILAR = 5.0  # what a similarity of 1 counts, where a word that one sentence in twenty holds counts 3


@dataclass(frozen=True, slots=True)
class Snippet:
    """What a hit shows.

    Attributes:
        section: The heading that the text stands under; empty where there is none, or it is the document's title.
        parts: The text on one line, in parts of which those that the question asks for are marked.
    """

    section: str
    parts: tuple[Part, ...]


def snippets(
    asked: Matcher,
    hits: Sequence[tuple[str, Sequence[PassageHit]]],
    *,
    similar: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    length: int = 240,
) -> list[Snippet]:
    """Return what to show of each hit.

    Args:
        asked: Finds what was asked for.
        hits: The title of each hit, and its passages, best first.
        similar: Tells how similar texts are to the question, ``float32 (texts,)`` in [-1, 1]; without it, the words
            that a sentence shares with the question decide.
        length: Characters to show of each at most.
    """
    read = [[_read(passage) for passage in passages] for _, passages in hits]
    every = [one for each in read for passage in each for one in passage]
    held = Counter(word for one in every for word in _asked_in(asked, one.text))
    weights = {word: math.log1p((len(every) + 0.5) / (held[word] + 0.5)) for word in asked.asked}
    worth = [_worth(asked, one, weights, length) for one in every]
    if similar and every:
        near = similar([f"{one.section}\n{one.text[:length]}" for one in every]).tolist()
        worth = [one + _SIMILAR * similarity for one, similarity in zip(worth, near, strict=True)]
    worths = iter(worth)
    shown = []
    for (title, _), each in zip(hits, read, strict=True):
        judged = [(next(worths), passage, place) for passage in each for place in range(len(passage))]
        best = max(judged, key=lambda one: one[0], default=None)
        shown.append(_snippet(asked, title, best[1], best[2], length) if best else Snippet("", ()))
    return shown


def _asked_in(asked: Matcher, text: str) -> set[str]:
    """Return what of a question a text holds."""
    return {one.asked for one in asked.matches(text)}


def _read(passage: PassageHit) -> list[Sentence]:
    return sentences(passage.text, passage.heading.rpartition(" > ")[2])


def _snippet(asked: Matcher, title: str, found: Sequence[Sentence], place: int, length: int) -> Snippet:
    """Return what to show of a passage whose sentence at a place answers."""
    place = _introduced(found, place)
    text, is_cut = _text(asked, found, place, length)
    parts = (("\u2026 ", False),) * is_cut + _marked(text, asked)
    section = found[place].section
    return Snippet("" if section.casefold() == title.casefold() else section, parts)


def _introduced(found: Sequence[Sentence], place: int) -> int:
    """Return where to begin: with the sentence that introduces a line of code, if one stands near above it."""
    for before in range(place, max(place - 3, -1), -1):
        if found[before].section != found[place].section:
            break
        if not found[before].is_code:
            return before
    return place


def _worth(asked: Matcher, one: Sentence, weights: dict[str, float], length: int) -> float:
    """Return how much a sentence tells about the question."""
    inside = _asked_in(asked, one.text[:length])
    above = _asked_in(asked, one.section) - inside
    share = _OF_CODE if one.is_code else 1.0
    return share * sum(weights[word] for word in inside) + _ABOVE * sum(weights[word] for word in above)


def _text(asked: Matcher, found: Sequence[Sentence], place: int, length: int) -> tuple[str, bool]:
    """Return a sentence and those that follow it in its section, and whether it begins within a sentence."""
    one = found[place]
    start = _begin(asked, one.text, length)
    text = one.text[start:]
    for following in found[place + 1 :]:
        if following.section != one.section or len(text) + 1 + len(following.text) > length:
            break
        text += f" {following.text}" if text[-1:] in ".!?;:\u3002" else f" \u00b7 {following.text}"
    if len(text) > length:
        text = (text[: length - 1].rsplit(" ", 1)[0] or text[: length - 1]) + " \u2026"
    return text, bool(start)


def _begin(asked: Matcher, text: str, length: int) -> int:
    """Return where to begin in a sentence that is too long: a little before the first word that is asked for."""
    first = next((one.start for one in asked.matches(text)), 0)
    if len(text) <= length or first < length * 2 // 3:
        return 0
    return text.rfind(" ", 0, max(first - length // 3, 0)) + 1


def _marked(text: str, asked: Matcher) -> tuple[Part, ...]:
    parts, at = list[Part](), 0
    for start, end in united(asked.matches(text)):
        parts += [(text[at:start], False), (text[start:end], True)]
        at = end
    return tuple(part for part in [*parts, (text[at:], False)] if part[0])
