"""Snippets: of the passages that made a hit, the sentence that answers, the section it stands in, and marked words.

The sentence that answers is the one that shares the most telling words with the question, in its text or in the heading
above it, and that is most similar to it. A word tells more the fewer sentences of all hits hold it. Words count as
shared when their stems are equal.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.models import PassageHit
from docsim.rendering.readable import Sentence, sentences
from docsim.text.folding import folded, normalized
from docsim.text.languages import DEFAULT, LANGUAGES, evidence, language_of, language_of_script
from docsim.text.stemming import stems
from docsim.text.tokens import is_unspaced, tokens

__all__ = ["Part", "Snippet", "snippets"]

Part = tuple[str, bool]
"""A piece of a text, and whether it is marked."""

_ASKED = 2_000  # characters of a question that count
_OF_CODE = 0.5  # what a word of a line of code counts
_ABOVE = 0.6  # what a word of the heading counts, where one of the sentence itself counts 1
_SIMILAR = 5.0  # what a similarity of 1 counts, where a word that one sentence in twenty holds counts 3
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")


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
    question: str,
    hits: Sequence[tuple[str, Sequence[PassageHit]]],
    *,
    similar: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
    length: int = 240,
) -> list[Snippet]:
    """Return what to show of each hit.

    Args:
        question: What was asked; of a long text, its beginning.
        hits: The title of each hit, and its passages, best first.
        similar: Tells how similar texts are to the question, ``float32 (texts,)`` in [-1, 1]; without it, the words
            that a sentence shares with the question decide.
        length: Characters to show of each at most.
    """
    asked = _Asked(question)
    read = [[_read(passage) for passage in passages] for _, passages in hits]
    every = [one for each in read for passage in each for one in passage]
    held = Counter(stem for one in every for stem in {stem for *_, stem in asked.stretches(one.text)})
    weights = {stem: math.log1p((len(every) + 0.5) / (held[stem] + 0.5)) for stem in asked.stems | asked.pairs}
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


class _Asked:
    """The words of a question that tell something, as stems, and its pairs of characters in unspaced scripts."""

    def __init__(self, question: str) -> None:
        found = tokens(question[:_ASKED])
        self.language = language_of(found) or DEFAULT
        self.pairs = {folded(one) for one in found if is_unspaced(one) and len(one) > 1}
        words = [folded(normalized(match[0])) for match in _WORD.finditer(question[:_ASKED])]
        words = [word for word in words if not is_unspaced(word)]
        place = LANGUAGES.index(self.language) if self.language in LANGUAGES else -1
        telling = [word for word in words if place not in evidence(word, [word])]
        self.stems = set(map(self.stem, telling or words))

    def stem(self, word: str) -> str:
        return stems([word], language_of_script(word) or self.language)[0]

    def stretches(self, text: str) -> list[tuple[int, int, str]]:
        """Return where a text holds what is asked for: start, end, and the stem or pair, in order."""
        found = [
            (match.start(), match.end(), stem)
            for match in _WORD.finditer(text)
            if (stem := self.stem(folded(normalized(match[0])))) in self.stems
        ]
        for pair in self.pairs:
            found += ((match.start(), match.end(), pair) for match in re.finditer(re.escape(pair), text))
        return sorted(found)


def _read(passage: PassageHit) -> list[Sentence]:
    return sentences(passage.text, passage.heading.rpartition(" > ")[2])


def _snippet(asked: _Asked, title: str, found: Sequence[Sentence], place: int, length: int) -> Snippet:
    """Return what to show of a passage whose sentence at a place answers."""
    place = _introduced(found, place)
    text, is_cut = _text(asked, found, place, length)
    parts = (("\u2026 ", False),) * is_cut + _marked(text, asked.stretches(text))
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


def _worth(asked: _Asked, one: Sentence, weights: dict[str, float], length: int) -> float:
    """Return how much a sentence tells about the question."""
    inside = {stem for *_, stem in asked.stretches(one.text[:length])}
    above = {stem for *_, stem in asked.stretches(one.section)} - inside
    share = _OF_CODE if one.is_code else 1.0
    return share * sum(weights[stem] for stem in inside) + _ABOVE * sum(weights[stem] for stem in above)


def _text(asked: _Asked, found: Sequence[Sentence], place: int, length: int) -> tuple[str, bool]:
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


def _begin(asked: _Asked, text: str, length: int) -> int:
    """Return where to begin in a sentence that is too long: a little before the first word that is asked for."""
    first = next((start for start, *_ in asked.stretches(text)), 0)
    if len(text) <= length or first < length * 2 // 3:
        return 0
    return text.rfind(" ", 0, max(first - length // 3, 0)) + 1


def _marked(text: str, stretches: Sequence[tuple[int, int, str]]) -> tuple[Part, ...]:
    joined: list[list[int]] = []
    for start, end, _ in stretches:
        if joined and start <= joined[-1][1]:  # pairs of characters overlap
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    parts, at = list[Part](), 0
    for start, end in joined:
        parts += [(text[at:start], False), (text[start:end], True)]
        at = end
    return tuple(part for part in [*parts, (text[at:], False)] if part[0])
