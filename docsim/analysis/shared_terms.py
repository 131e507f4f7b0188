"""Shared terms: the stemmed words that two texts have in common, as searching takes them, and how rare each is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from docsim.engine.base import Snapshot
from docsim.text.tokens import words_of

__all__ = ["SharedTerm", "shared_terms"]


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """A term that both texts contain.

    Attributes:
        term: The stem, as the words index has it.
        words: The words of that stem in the two texts, folded, in alphabetical order.
        documents: How many indexed documents contain the term; rare terms say more.
        a: How often the first text contains it.
        b: How often the second text contains it.
    """

    term: str
    words: tuple[str, ...]
    documents: int
    a: int
    b: int


def shared_terms(snapshot: Snapshot, a: str, b: str) -> list[SharedTerm]:
    """Return the terms that two texts share, the rarest first.

    Args:
        snapshot: The index in whose documents terms are counted.
        a: One text, its title included.
        b: The other text, its title included.
    """
    counts = [Counter(words_of(text)) for text in (a, b)]
    stems = snapshot.stems(sorted(counts[0].keys() | counts[1].keys()))
    shared: dict[str, list[str]] = {}
    for word, stem in stems.items():
        shared.setdefault(stem, []).append(word)
    held = {stem: [sum(count[word] for word in words) for count in counts] for stem, words in shared.items()}
    both = [stem for stem, (in_a, in_b) in held.items() if in_a and in_b]
    documents = snapshot.stem_frequencies(both)
    found = [SharedTerm(stem, tuple(shared[stem]), documents.get(stem, 0), *held[stem]) for stem in both]
    return sorted(found, key=lambda one: (one.documents, one.term))
