"""Remembered: what was found for the words of queries, within bounds. Threads may share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from docsim.engine.words.term_postings import Held

__all__ = ["LookedUp", "Remembered", "Word"]

MOST_COUNTS, MOST_PARTS = 20_000, 1_000
"""Words that are remembered: how many documents hold them, and which ones."""

MOST_ROWS = 2_000_000
"""Documents that are remembered for words, some 20 MB; those mapped from a file do not count."""

Word = tuple[str, tuple[str, ...]]
"""A folded word, and the languages whose stemmers serve it; none where only the very word counts."""

_Value = TypeVar("_Value")


class Remembered(Generic[_Value]):
    """What was found for words, as long as it is not too much; then all of it is forgotten."""

    def __init__(self, most: int, rows: Callable[[_Value], int] = lambda _: 0) -> None:
        """Remember nothing yet.

        Args:
            most: Remember at most so many words.
            rows: Returns how many rows a value keeps in memory, of which at most ``MOST_ROWS`` are remembered.
        """
        self._held: dict[Word, _Value] = {}
        self._most, self._rows, self._sum = most, rows, 0

    def some(self, words: Iterable[Word | None]) -> dict[Word, _Value]:
        """Return what is remembered for some words."""
        held = self._held
        return {word: held[word] for word in words if word is not None and word in held}

    def kept(self, found: dict[Word, _Value]) -> dict[Word, _Value]:
        """Remember what was found, and return it."""
        rows = sum(map(self._rows, found.values()))
        if len(self._held) + len(found) > self._most or self._sum + rows > MOST_ROWS:
            self._held, self._sum = {}, 0
        if len(found) <= self._most and rows <= MOST_ROWS:
            self._held.update(found)
            self._sum += rows
        return found


def _rows(parts: list[Held]) -> int:
    return sum(len(one.postings) for one in parts if one.postings.slots.base is None)  # else it is part of a file


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What was looked up for queries, see ``docsim.engine.words.term_postings``.

    Attributes:
        counts: How many documents hold a word.
        parts: Which ones, and what they get for it.
    """

    counts: Remembered[int] = field(default_factory=lambda: Remembered(MOST_COUNTS))
    parts: Remembered[list[Held]] = field(default_factory=lambda: Remembered(MOST_PARTS, _rows))
