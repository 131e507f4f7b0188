"""Corrections: the words that were probably meant by words of a question that no document holds.

Only words of letters are corrected, and only those that nothing in the index explains: no document holds the word, its
stem, or its parts, written apart or run together with what stands beside it. A word that is one token of the encoder's
vocabulary exists, even if no document here uses it. A word with digits, a name such as ``readFile`` or ``HTTP``, and a
text too long to be a question are left alone. What takes the place of a word occurs in a document that the search may
return.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from docsim.engine.base import Snapshot
from docsim.engine.records import KnownWord, QueryTerm
from docsim.filters.condition import Condition
from docsim.models import Correction
from docsim.search.query_terms import is_written_apart
from docsim.text.folding import folded, normalized
from docsim.text.tokens import LONGEST, is_unspaced, token

__all__ = ["FEWEST_LETTERS", "LETTERS_OF_TWO", "MOST_WORDS", "corrected"]

MOST_WORDS = 24
"""A text of more words is no question that somebody types."""

FEWEST_LETTERS = 5
"""A shorter word is one letter from many others."""

LETTERS_OF_TWO = 9
"""In a word of so many letters, two may be wrong."""

_SWAPPED, _SAME_FIRST = 8, 2
"""How much likelier it is that letters were swapped, and that the first is right; see benchmarks/typing_errors.py."""

_LOOKED_AT = 20
_PUNCTUATION = ".,;:!?()[]{}\"'“”„‟‘’‚«»‹›…¿¡"
_PART = re.compile(r"\S+")


def corrected(
    snapshot: Snapshot,
    text: str,
    *,
    meant: Collection[str] = (),
    where: Condition | None = None,
    visible: Condition | None = None,
) -> tuple[str, tuple[Correction, ...]]:
    """Return a question with its unknown words corrected, and what was corrected.

    Args:
        snapshot: What is searched.
        text: The question.
        meant: Parts of it that are not to be corrected.
        where: What documents have to meet to be found.
        visible: What documents have to meet so that whoever asks may know their words.
    """
    found = list(_words(text, {word for one in meant for word in one.split()}))
    unknown = _unknown(snapshot, [word for _, _, word in found], visible)
    parts, corrections, place = [], dict[str, Correction](), 0
    for start, end, word in found:
        used = _nearest(snapshot, word, where) if word in unknown else None
        if used is not None:
            corrections[text[start:end]] = Correction(text[start:end], used)
            parts += [text[place:start], used]
            place = end
    return "".join([*parts, text[place:]]), tuple(corrections.values())


def _words(text: str, meant: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and folded form of each word that may be corrected."""
    parts = list(_PART.finditer(text))
    for part in parts if len(parts) <= MOST_WORDS else ():
        written = part[0].strip(_PUNCTUATION)
        if written in meant or not _is_plain(written) or (written.isupper() and not text.isupper()):
            continue
        start = part.start() + part[0].index(written)
        yield start, start + len(written), folded(normalized(written))


def _is_plain(written: str) -> bool:
    """Return whether this is a word of some letters, and no name, code or number."""
    if not FEWEST_LETTERS <= len(written) <= LONGEST or not written.isalpha() or is_unspaced(written):
        return False
    held = token(normalized(written))
    return len(held.words) == 1 and not held.beside


def _unknown(snapshot: Snapshot, words: list[str], visible: Condition | None) -> set[str]:
    """Return which words nothing explains that whoever asks may see."""
    terms = [QueryTerm((word,)) for word in dict.fromkeys(words)]
    if visible is None:
        counts = snapshot.frequencies(terms, at_most=1)
    else:
        counts = [len(snapshot.text_search([term], where=visible)) for term in terms]
    unknown = {term.words[0] for term, count in zip(terms, counts, strict=True) if not count}
    return {
        word for word in unknown if not snapshot.encoder.has_token(word) and not is_written_apart(snapshot, words, word)
    }


def _nearest(snapshot: Snapshot, word: str, where: Condition | None) -> str | None:
    """Return the word that was most likely meant; None where there is none."""
    for edits in range(1, 3 if len(word) >= LETTERS_OF_TWO else 2):  # the more, the more words have to be compared
        near = snapshot.words_like(word, edits=edits, most=_LOOKED_AT, where=where)
        likely = [one for one in near if one.word.isalpha() and one.word != word]
        if likely:
            return min(likely, key=lambda one: _order(word, one)).word
    return None


def _order(word: str, near: KnownWord) -> tuple[int, int]:
    """Sort by edits, then by how many documents hold the word, more for the likelier slips."""
    swapped = len(near.word) == len(word) and sorted(near.word) == sorted(word)
    weight = (_SWAPPED if swapped else 1) * (_SAME_FIRST if near.word[0] == word[0] else 1)
    return near.edits, -near.documents * weight
