"""Matching: where a text holds what a question asks for, in characters of the text as it is written.

A word of a text matches when it is a word of the question, shares its stem, begins as is asked for, or stands in a row
with the others of a phrase. Words that carry no meaning, such as "the", match in phrases only, unless there are no
others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from docsim.text.folding import folded, normalized
from docsim.text.languages import DEFAULT, LANGUAGES, evidence, is_small, language_of, language_of_script
from docsim.text.stemming import stems
from docsim.text.tokens import JOINTS, is_half, is_unspaced, readings, spaced, token, tokens, without_ends

__all__ = ["MOST_WORDS", "Match", "Matcher", "Stretch", "united"]

Stretch = tuple[int, int]
"""Where a piece of a text begins, and where it ends."""

MOST_WORDS = 300
"""Words of a question that are looked for, those that come first."""

_ALIKE = 3  # letters that words of one stem begin with
_JOINED = str.maketrans("", "", JOINTS)
_ODD = "\0"

_MOST_JOINED = 6  # words of a question whose neighbours may be written as one, as in ``docsim.search.query_terms``


class Match(NamedTuple):
    """A piece of a text, ``text[start:end]``, and what of the question it matches, one of ``Matcher.asked``."""

    start: int
    end: int
    asked: str


class Matcher:
    """Finds in texts what one question asks for.

    Attributes:
        asked: What is looked for: words, of which one stands for all that share its stem, beginnings and phrases.
    """

    def __init__(self, question: str, *, beginnings: Sequence[str] = (), phrases: Iterable[Sequence[str]] = ()) -> None:
        """Prepare to look for what a question asks for.

        Args:
            question: Its words.
            beginnings: Folded words; what begins with one matches.
            phrases: Folded words in a row.
        """
        found = without_ends(tokens(question))[:MOST_WORDS]
        self._languages = _languages(found)
        words = sorted(_meaning(found, self._languages[0]))
        self._stems = {stem: word for word in words for stem in self._stems_of(word)}
        self._words = {word: self._stems[self._stems_of(word)[0]] for word in words}
        self._begins = tuple(beginnings)
        self._phrases = {" ".join(one): _pattern(one) for one in phrases if not any(map(is_unspaced, one))}
        self.asked = frozenset([*self._words.values(), *self._begins, *self._phrases])
        self._alike = {word[:_ALIKE] for word in (*self._words, *self._begins)}
        self._has_short = any(len(one) < _ALIKE for one in beginnings)
        self._seen = set[str]()
        self._known: dict[str, list[Match]] = {}

    def matches(self, text: str) -> list[Match]:
        """Return the matches in a text, in order; they may overlap, as "東京" and "京都" do in "東京都"."""
        plain = spaced(text)
        tokens, found, place, padded = plain.split(), list[Match](), 0, f" {plain} "
        self._look_at(set(tokens))
        known = self._known
        for one in [one for one in tokens if one in known]:
            place = padded.index(f" {one} ", place)
            for start, end, asked in known[one]:
                found.append(Match(place + start, place + end, asked))
            place += len(one)
        if not self._phrases:
            return found
        level = _levelled(plain)
        for phrase, pattern in self._phrases.items():
            found += [Match(*one.span(), phrase) for one in pattern.finditer(level)]
        return sorted(found, key=_order)

    def _look_at(self, tokens: set[str]) -> None:
        """Find the matches within tokens that have not been seen yet."""
        new = tokens - self._seen
        self._seen |= new
        for one in new:
            if self._may_match(one) and (found := self._within(one)):
                self._known[one] = found

    def _may_match(self, token: str) -> bool:
        """Return whether a token holds letters that something asked for begins with: most do not."""
        if token.isascii() and token.isalpha() and token[1:].islower() and not self._has_short:
            return token[:_ALIKE].lower() in self._alike
        level = _levelled(token)
        joined = level.translate(_JOINED)
        return _ODD in level or any(one in level or one in joined for one in self._alike)

    def _within(self, token: str) -> list[Match]:
        """Return the matches within a token, in order."""
        pieces = [(one, self._matched(one.word)) for one in readings(token)]
        found = [Match(one.start, one.end, asked) for one, asked in pieces if asked is not None]
        return sorted(found, key=_order) if len(found) > 1 else found

    def _matched(self, word: str) -> str | None:
        """Return what of the question a folded word matches."""
        if word in self._words:
            return self._words[word]
        if word[:_ALIKE] in self._alike:
            for stem in self._stems_of(word):
                if stem in self._stems:
                    return self._stems[stem]
        return next((one for one in self._begins if word.startswith(one)), None)

    def _stems_of(self, word: str) -> list[tuple[str, str]]:
        """Return the stems that a word may have, each with its language."""
        script = language_of_script(word)
        return [(one, stems([word], one)[0]) for one in ((script,) if script else self._languages)]


def united(matches: Iterable[Match]) -> Iterator[Stretch]:
    """Yield the stretches that matches cover, in order; matches that overlap or touch are one."""
    held: Stretch | None = None
    for one in matches:
        if held is None or one.start > held[1]:
            if held is not None:
                yield held
            held = one.start, one.end
        else:
            held = held[0], max(one.end, held[1])
    if held is not None:
        yield held


def _languages(found: Sequence[str]) -> list[str]:
    """Return the language of a question; where it does not tell, the default and what its letters speak for."""
    told = language_of(found)
    if told:
        return [told]
    letters = {place for one in found if not one.isascii() for place in evidence(one, ())}
    return [DEFAULT, *(LANGUAGES[place] for place in sorted(letters) if LANGUAGES[place] != DEFAULT)]


def _meaning(found: Sequence[str], language: str) -> frozenset[str]:
    """Return the words of a question that mean something, and what they make when they are run together."""
    stand_for = [token(one) for one in found]
    words = {word for one in stand_for for word in one.words}
    words |= {form for one in stand_for for _, form in one.beside if not is_unspaced(form)}
    words = {word for word in words if not is_small(word, language)} or words
    single = [one.words[0] if len(one.words) == 1 else "" for one in stand_for]
    pairs = pairwise(single) if len(stand_for) <= _MOST_JOINED else ()
    return frozenset(words | {a + b for a, b in pairs if a and b and not is_unspaced(a + b)})


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern of some words in a row, in a text whose characters are folded one by one."""
    return re.compile(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words)) + r"(?![^\W_])")


def _order(one: Match) -> tuple[int, int]:
    return one.start, -one.end


def _levelled(text: str) -> str:
    """Return a text without case and accents, character by character; see ``_Levels``."""
    return text.lower() if text.isascii() else text.translate(_LEVELS)


class _Levels(dict[int, str]):
    """Characters without case and accents, one for one; ``_ODD`` for those that stand for more or fewer than one."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        form = normalized(character)
        level = folded(form)
        if is_half(character) or (len(level) != 1 and (character.isalnum() or not form)):
            level = _ODD
        elif len(level) != 1:
            level = character
        self[code] = level
        return level


_LEVELS = _Levels()
