"""Syntax: the few operators that a question may contain, and when a text is plain text instead.

    "annual leave"    documents that hold these words in a row
    -draft            no documents that hold this word; also -"sick leave"
    title:guide       documents that hold this word in the title; also title:"user guide" and title:guid*
    deploy*           any word that begins so

A text is read so only where every part of it, between blanks, is one of these or a plain word, on one line. Anything
else - a sentence with its punctuation, code, options, arrows, a bullet, a quote that is not closed - makes all of it
plain text. That is described for users in docs/reference/queries.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from docsim.filters.condition import Condition, Holds, Not
from docsim.text.folding import folded, normalized
from docsim.text.tokens import LONGEST, is_unspaced, phrase_of

__all__ = ["MOST_CHARACTERS", "MOST_OPERATORS", "Parsed", "parsed"]

MOST_CHARACTERS = 1000
"""A longer text is plain text."""

MOST_OPERATORS = 16
"""A text with more of them is plain text."""

_FEWEST_LETTERS = 3
"""An ASCII word that is excluded has at least so many: ``ls -la`` is a command."""

_SIGNS = frozenset('"-*:')

_NEVER = r"\s\"*(){}\[\]<>=|\\;$`~^!?,%“”„‟«»‹›「」『』。、，．！？：；…–—•·"  # in no word of a question with operators
_WORD = rf"(?:[^\W_]|[./@#](?=[^\W_]))(?:[^{_NEVER}]*[^{_NEVER}.:'’&/@-])?"
_PART = re.compile(
    rf'(?P<minus>-)?(?P<title>title:)?(?:"(?P<phrase>[^"\r\n]*)"|(?P<word>{_WORD})(?P<star>\*)?)(?:[ \t\u3000]+|$)'
)
_NAME = re.compile(r"[^\W\d_][^:/@#&+]*")  # what may be excluded: no number, no time, no address


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says.

    Attributes:
        text: Its words without the operators: what is encoded, and whose words are searched for.
        conditions: What documents have to meet.
        beginnings: Folded words; every word that begins so is searched for.
        operators: The parts that are operators, as they are written; plain text has none.
        quoted: Their texts, which are meant as they are written.
    """

    text: str
    conditions: tuple[Condition, ...] = ()
    beginnings: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a question, such as ``word``, ``-title:"some words"`` or ``word*``."""

    written: str
    text: str
    excluded: bool
    title: bool
    phrase: bool
    beginning: bool

    @property
    def is_operator(self) -> bool:
        return self.excluded or self.title or self.phrase or self.beginning

    @property
    def is_meant(self) -> bool:
        """Whether it is meant as an operator: plain text contains stars and hyphens, too."""
        if self.phrase:
            return bool(phrase_of(self.text))
        if self.beginning and not (self.text.isalnum() and (len(self.text) > 1 or not self.text.isascii())):
            return False
        if self.excluded and not self.title:
            return _NAME.fullmatch(self.text) is not None and (
                len(self.text) >= _FEWEST_LETTERS or not self.text.isascii()
            )
        return True

    @property
    def condition(self) -> Condition | None:
        """The condition that documents have to meet; None if it only says what to search for."""
        if not (self.excluded or self.title or self.phrase):
            return None
        begins = self.beginning and not is_unspaced(self.text)
        held = Holds(_folded(self.text) if begins else phrase_of(self.text), in_title=self.title, beginning=begins)
        return Not(held) if self.excluded else held


def parsed(text: str) -> Parsed:
    """Parse a text as a question with operators, or as plain text if it is none."""
    parts = _parts(text.strip()) if len(text) <= MOST_CHARACTERS and not _SIGNS.isdisjoint(text) else []
    operators = [one for one in parts if one.is_operator]
    said = [one for one in parts if not one.excluded]
    if not said or not 0 < len(operators) <= MOST_OPERATORS or not _in_order(parts):
        return Parsed(text)
    begun = [one for one in operators if one.beginning and one.condition is None and not is_unspaced(one.text)]
    return Parsed(
        " ".join(one.text for one in said),
        tuple(one.condition for one in operators if one.condition is not None),
        tuple(dict.fromkeys(word for one in begun for word in _folded(one.text))),
        tuple(one.written for one in operators),
        tuple(one.text for one in operators),
    )


def _parts(text: str) -> list[_Part]:
    """Return the parts of a text; none at all where one of them is no part of a question."""
    parts, place = list[_Part](), 0
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            return []
        held = found["phrase"] if found["word"] is None else found["word"]
        part = _Part(
            found[0].rstrip(), held, *(found[name] is not None for name in ("minus", "title", "phrase", "star"))
        )
        if not part.is_meant:
            return []
        parts.append(part)
        place = found.end()
    return parts


def _in_order(parts: Sequence[_Part]) -> bool:
    """Return whether no words or phrases follow what is excluded: an option is followed by its value."""
    first = next((place for place, one in enumerate(parts) if one.excluded), len(parts))
    return all(one.excluded or one.title or one.beginning for one in parts[first:])


def _folded(text: str) -> tuple[str, ...]:
    return (folded(normalized(text))[:LONGEST],)
