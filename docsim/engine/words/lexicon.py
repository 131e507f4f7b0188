"""The lexicon: words near to one or beginning in some way, and how many documents hold each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine.records import KnownWord, Numbers
from docsim.engine.words import sorted_words
from docsim.engine.words.index import WordIndex

__all__ = ["beginning", "like"]


def like(index: WordIndex, word: str, *, edits: int, most: int, allowed: Numbers | None) -> list[KnownWord]:
    """Return words that differ from one in a few letters; see ``docsim.engine.snapshot.Snapshot.words_like``."""
    from jellyfish import damerau_levenshtein_distance  # here, because most searches hold only words that are known

    near = set[str]()
    for segment, letters in zip(index.segments, index.letters, strict=True):
        near.update(sorted_words.at(segment, letters.near(word, edits)))
    distances = {one: damerau_levenshtein_distance(word, one) for one in near}
    return _counted(index, {one: held for one, held in distances.items() if held <= edits}, most, allowed)


def beginning(index: WordIndex, prefix: str, *, most: int, allowed: Numbers | None) -> list[KnownWord]:
    """Return words that begin in some way; see ``docsim.engine.snapshot.Snapshot.words_beginning``."""
    found = sorted(set().union(*(sorted_words.beginning(segment, prefix) for segment in index.segments)))
    return _counted(index, dict.fromkeys(found, 0), most, allowed)


def _counted(index: WordIndex, edits: dict[str, int], most: int, allowed: Numbers | None) -> list[KnownWord]:
    """Return the words that allowed documents hold: fewest edits first, then most documents, then by the word."""
    words: Sequence[str] = list(edits)
    counts = index.word_counts(words, kept=None if allowed is None else _kept(index, allowed))
    found = [KnownWord(word, held, edits[word]) for word, held in zip(words, counts, strict=True) if held]
    return sorted(found, key=lambda one: (one.edits, -one.documents, one.word))[:most]


def _kept(index: WordIndex, allowed: Numbers) -> NDArray[np.bool_]:
    """Return which slots hold documents that are allowed."""
    kept = np.zeros(len(index.numbers) + 1, bool)  # the last is where those lie that are not here
    kept[index.slots_of(allowed)] = True
    return kept[:-1]
