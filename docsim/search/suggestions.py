"""Suggestions: completions of a text that somebody is typing: words that documents hold, and titles of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.filters.condition import Condition, Holds, narrowed
from docsim.text.folding import folded, normalized
from docsim.text.tokens import LONGEST, is_unspaced, phrase_of

__all__ = ["Completion", "Suggestions", "Titled", "completions", "suggestions"]

_LOOKED_AT = 4  # times as many words as are wanted: some are no words that somebody types


@dataclass(frozen=True, slots=True)
class Completion:
    """What was typed, with its last word completed.

    Attributes:
        text: The whole text; the completed word in small letters and without accents.
        documents: How many documents hold the completed word.
    """

    text: str
    documents: int


@dataclass(frozen=True, slots=True)
class Titled:
    """A document whose title holds what was typed."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Completions of a text.

    Attributes:
        words: Texts with the last word completed; those whose word most documents hold come first.
        titles: Documents whose titles hold all words of the text, the last of them or its beginning; best first.
    """

    words: tuple[Completion, ...]
    titles: tuple[Titled, ...]


def completions(snapshot: Snapshot, text: str, most: int, *, where: Condition | None = None) -> tuple[Completion, ...]:
    """Return what was typed with its last word completed: the word that most documents hold first.

    Args:
        snapshot: Whose words are used.
        text: What was typed. After a blank there is no word to complete.
        most: Return at most this many.
        where: What documents have to meet; words of others are not used and not counted.
    """
    begun = _last(text)
    beginning = folded(normalized(begun))[:LONGEST]
    if not beginning or is_unspaced(beginning):
        return ()
    head = text[: len(text) - len(begun)]
    known = snapshot.words_beginning(beginning, most=_LOOKED_AT * most, where=where)
    words = [one for one in known if one.word.isalnum()]
    return tuple(Completion(head + one.word, one.documents) for one in words[:most])


def suggestions(snapshot: Snapshot, text: str, most: int, *, where: Condition | None = None) -> Suggestions:
    """Return completions of a text: words and titles, at most ``most`` of each; see ``completions``."""
    return Suggestions(completions(snapshot, text, most, where=where), _titles(snapshot, text, most, where))


def _titles(snapshot: Snapshot, text: str, most: int, where: Condition | None) -> tuple[Titled, ...]:
    words = phrase_of(text)
    if not words:
        return ()
    begun = bool(_last(text)) and not is_unspaced(words[-1])
    last = Holds(words[-1:], in_title=True, beginning=begun)
    held = narrowed(where, *(Holds((one,), in_title=True) for one in words[:-1]), last)
    terms = [*(QueryTerm((one,), exact=True) for one in words[:-1]), QueryTerm(words[-1:], beginning=begun, exact=True)]
    return _titled(snapshot, snapshot.text_search(terms, where=held).best(most).tolist())


def _titled(snapshot: Snapshot, numbers: Sequence[int]) -> tuple[Titled, ...]:
    found = snapshot.documents(numbers)
    return tuple(Titled(found[one].document.id, found[one].document.title) for one in numbers if one in found)


def _last(text: str) -> str:
    """Return the letters and digits at the end of a text."""
    place = len(text)
    while place and text[place - 1].isalnum():
        place -= 1
    return text[place:]
