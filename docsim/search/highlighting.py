"""Highlighting: where a passage holds what a question asked for.

A word of a passage is marked when it is a word of the question, shares its stem, begins as ``deploy*`` says, or stands
in a row with the others of a phrase. Words that carry no meaning, such as "the", are marked in phrases only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from docsim.engine.base import Snapshot
from docsim.filters.condition import Holds
from docsim.models import PassageHit, SearchResult
from docsim.search.syntax import Parsed, parsed
from docsim.text.folding import folded
from docsim.text.languages import DEFAULT, language_of, small_words
from docsim.text.stemming import stems
from docsim.text.tokens import is_unspaced, places, readings, token, tokens, without_ends, written

__all__ = ["MOST_WORDS", "highlighted"]

Stretch = tuple[int, int]
"""Where a piece of a text begins and ends, in characters."""

MOST_WORDS = 64
"""At most so many words of a question are marked, those that come first."""

_ALIKE = 3  # letters that words of one stem begin with
_MOST_JOINED = 6  # words of a question whose neighbours may be written as one, as in ``docsim.search.query_terms``


def highlighted(snapshot: Snapshot, result: SearchResult) -> SearchResult:
    """Return the answer to a question with the matches of all its passages.

    Args:
        snapshot: Whose stems count.
        result: The answer.
    """
    said = parsed(result.query) if result.operators else Parsed(result.query)
    for one in result.corrections:
        said = replace(said, text=said.text.replace(one.given, one.used))
    marker = _Marker(snapshot, said)
    hits = (replace(hit, passages=tuple(map(marker.marked, hit.passages))) for hit in result.hits)
    return replace(result, hits=tuple(hits))


class _Marker:
    """Finds what a question asked for in the passages of its answer."""

    def __init__(self, snapshot: Snapshot, said: Parsed) -> None:
        found = without_ends(tokens(said.text))
        self._language = language_of(found)
        self._words = _meaning(found, self._language or DEFAULT)
        self._begins = said.beginnings
        self._phrases = [one for one in map(_phrase, said.conditions) if one]
        self._snapshot = snapshot
        self._alike = {word[:_ALIKE] for word in (*self._words, *self._begins)}
        self._stems = self._stems_of(list(self._words))
        self._known: dict[str, bool] = {}
        self._hits: dict[str, list[Stretch]] = {}

    def marked(self, passage: PassageHit) -> PassageHit:
        """Return a passage with its matches."""
        first = passage.start
        return replace(passage, matches=tuple((first + a, first + b) for a, b in self.stretches(passage.text)))

    def stretches(self, text: str) -> tuple[Stretch, ...]:
        """Return the stretches of a text that hold what was asked for, in order; none overlap or touch."""
        found = []
        for one in written(text):
            for start, end in self._in(one):
                found += [(place + start, place + end) for place in places(text, one)]
        if self._phrases:
            level = text.lower() if text.isascii() else "".join(map(_level, text))
            found += [one.span() for phrase in self._phrases for one in phrase.finditer(level)]
        return tuple(_merged(sorted(found)))

    def _in(self, one: str) -> list[Stretch]:
        """Return the pieces of a token that were asked for."""
        found = self._hits.get(one)
        if found is None:
            found = (
                []
                if self._is_another(one)
                else [(piece.start, piece.end) for piece in readings(one) if self._is_asked(piece.word)]
            )
            self._hits[one] = found
        return found

    def _is_another(self, one: str) -> bool:
        """Return whether a token is certainly a word that was not asked for: most are, and that is soon told."""
        return one[:_ALIKE].lower() not in self._alike and one[1:].islower() and one.isalnum() and one.isascii()

    def _is_asked(self, word: str) -> bool:
        known = self._known.get(word)
        if known is None:
            known = word in self._words or (self._begins != () and word.startswith(self._begins))
            if not known and word[:_ALIKE] in self._alike:
                known = not self._stems.isdisjoint(self._stems_of([word]))
            self._known[word] = known
        return known

    def _stems_of(self, words: Sequence[str]) -> set[str]:
        own = stems(words, self._language) if self._language else ()
        return {*self._snapshot.stems(words).values(), *own}


def _meaning(found: Sequence[str], language: str) -> frozenset[str]:
    """Return the words of a question that are worth marking, and what they make when they are run together."""
    stand_for = [token(one) for one in found[:MOST_WORDS]]
    words = {word for one in stand_for for word in one.words}
    words |= {form for one in stand_for for _, form in one.beside if not is_unspaced(form)}
    if len(stand_for) <= _MOST_JOINED:
        single = [one.words[0] if len(one.words) == 1 else "" for one in stand_for]
        words |= {a + b for a, b in pairwise(single) if a and b and not is_unspaced(a + b)}
    return frozenset(words - small_words(language)) or frozenset(words)


def _phrase(condition: object) -> re.Pattern[str] | None:
    """Return a pattern of a phrase in a text in small letters; None for what is no phrase of words with blanks."""
    if not isinstance(condition, Holds) or len(condition.words) == 1 or any(map(is_unspaced, condition.words)):
        return None
    return re.compile(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, condition.words)) + r"(?![^\W_])")


def _level(character: str) -> str:
    """Return a character without case and accents, where that leaves one character."""
    level = folded(character)
    return level if len(level) == 1 else character


def _merged(found: Sequence[Stretch]) -> Iterator[Stretch]:
    """Yield stretches, which come in order, with those that overlap or touch as one."""
    held: Stretch | None = None
    for start, end in found:
        if held is not None and start <= held[1]:
            held = held[0], max(end, held[1])
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held
