"""Building: a segment made of the texts of documents.

What a token stands for is found out once for each way of writing it; the rest is arithmetic over all tokens of a batch.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from docsim.engine.words.assembling import MOST_DOCUMENTS, Documents, Occurrences, assembled
from docsim.engine.words.segment import Segment
from docsim.ingest import file_names
from docsim.ingest.content import readable
from docsim.text.languages import DEFAULT, LANGUAGES, SAMPLE, evidence, told_by
from docsim.text.tokens import pieces, token, tokens

__all__ = ["Text", "named", "segments"]

_NAMED = re.compile(r"[^\W_]+")  # words of a file's name

MOST_TOKENS = 1_000_000
"""A segment is made of at least so many tokens at a time, which bounds memory."""

_STEP = 65_536  # tokens whose words are found at a time
_NEW = 5_000  # new ways of writing a word that are looked into together
_DOCUMENTS = 1_024  # whose languages are told at a time


@dataclass(frozen=True, slots=True)
class Text:
    """What a document's words are taken from.

    Attributes:
        number: The document's number.
        first: Its first passage number.
        title: Its title, and the name of its file; see ``named``.
        text: Its text.
    """

    number: int
    first: int
    title: str
    text: str


def named(title: str, id: str) -> str:
    """Return a title with what the name of a document's file says besides, so that the document is found by it."""
    if not file_names.suffix(id.rpartition("/")[2]):
        return title
    known = set(_NAMED.findall(title.casefold()))
    more = [word for word in _NAMED.findall(readable(id)) if word.casefold() not in known]
    return " ".join([title, *more])


def segments(texts: Iterable[Text]) -> Iterator[Segment]:
    """Yield segments of documents, which come in ascending order of their first passage numbers."""
    batch = _Batch()
    for text in texts:
        batch.add(text)
        del text  # it may be large, and all that follows needs its words only
        if batch.count >= MOST_TOKENS or len(batch.texts) >= MOST_DOCUMENTS:
            yield batch.segment()
            batch = _Batch()
    if batch.texts:
        yield batch.segment()


@dataclass(frozen=True, slots=True)
class _Lists:
    """Lists of numbers, one after the other.

    Attributes:
        values: The numbers of all lists, ``int64 (n,)``.
        starts: Where each list starts, ``int64 (lists,)``.
        counts: How many numbers each has, ``int64 (lists,)``.
    """

    values: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def of(self, chosen: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the values of some lists, and for each value which of the chosen lists it is from."""
        counts = self.counts[chosen]
        owners = np.repeat(np.arange(len(chosen)), counts)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.values[self.starts[chosen][owners] + places], owners


@dataclass(slots=True)
class _Ragged:
    """Lists of numbers that are being made."""

    values: array[int] = field(default_factory=partial(array, "q"))
    ends: array[int] = field(default_factory=partial(array, "q"))

    def add(self, values: Iterable[int]) -> None:
        self.values.extend(values)
        self.ends.append(len(self.values))

    def made(self) -> _Lists:
        ends = np.array(self.ends, np.int64)
        counts = np.diff(ends, prepend=0)
        return _Lists(np.array(self.values, np.int64), ends - counts, counts)


class _Batch:
    """Documents whose tokens are known and wait to become a segment."""

    def __init__(self) -> None:
        self.texts: list[tuple[int, int]] = []
        self.count = 0
        self._written: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new token gets the next
        self._terms: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._words, self._beside, self._places = _Ragged(), _Ragged(), _Ragged()  # of each token
        self._evidence: list[tuple[int, int, float]] = []  # token, place of a language, weight
        self._tokens: list[NDArray[np.int32]] = []
        self._sizes: list[int] = []
        self._in_title: list[int] = []

    def add(self, text: Text) -> None:
        before = self.count
        found = tokens(text.title)
        self._in_title.append(len(found))
        for piece in pieces(text.text):  # a list of all tokens would take ten times as much memory as a long text
            found += tokens(piece)
            self._tokens.append(np.fromiter(map(self._written.__getitem__, found), np.int32, len(found)))
            self.count += len(found)
            found = []
        if len(self._written) - len(self._words.ends) > _NEW:
            self._find_words()
        self.texts.append((text.number, text.first))
        self._sizes.append(self.count - before)

    def segment(self) -> Segment:
        """Return the segment; the batch is of no use afterwards."""
        self._find_words()
        words, beside, places = self._words.made(), self._beside.made(), self._places.made()
        chosen = np.concatenate(self._tokens)
        self._tokens.clear()
        ends = np.cumsum(self._sizes, dtype=np.int64)
        first = ends - self._sizes
        heads = first + np.array(self._in_title, np.int64)
        before, bodies, after = np.split(_words_before(np.concatenate([first, heads, ends]), chosen, words.counts), 3)
        languages = np.array(self._languages(chosen, first), np.uint8)
        documents = Documents(np.array(self.texts, np.int64), after - before, bodies - before, languages)
        (count,) = _words_before(ends[-1:], chosen, words.counts + beside.counts)
        found = _found(chosen, ends, before, (words, beside, places))
        del chosen  # large, and the generator's own to drop
        return assembled(documents, found, list(self._terms), count=int(count))

    def _find_words(self) -> None:
        """Find the words of each new token, what stands beside them, and beside which of them."""
        number = self._terms.__getitem__
        done = len(self._words.ends)
        for row, one in enumerate(itertools.islice(self._written, done, None), done):
            found = token(one)
            self._evidence += ((row, place, weight) for place, weight in evidence(one, found.words).items())
            self._words.add(map(number, found.words))
            self._beside.add(number(form) for _, form in found.beside)
            self._places.add(place for place, _ in found.beside)

    def _languages(self, chosen: NDArray[np.int32], first: NDArray[np.int64]) -> list[int]:
        """Return the language of each document, by its first tokens."""
        table = np.zeros((len(self._written), len(LANGUAGES)), np.float32)
        for row, language, weight in self._evidence:
            table[row, language] = weight
        counts, tells = np.minimum(self._sizes, SAMPLE), np.asarray(table.any(axis=1))
        found: list[int] = []
        for low in range(0, len(counts), _DOCUMENTS):
            some = counts[low : low + _DOCUMENTS]
            scores = np.zeros((len(some), len(LANGUAGES)), np.float32)
            document = np.repeat(np.arange(len(some)), some)
            place = np.arange(len(document)) - np.repeat(np.cumsum(some) - some, some)
            sample = chosen[first[low + document] + place]
            kept = tells[sample]
            np.add.at(scores, document[kept], table[sample[kept]])
            found += (LANGUAGES.index(told_by(row) or DEFAULT) for row in scores.tolist())
        return found


def _words_before(marks: NDArray[np.int64], chosen: NDArray[np.int32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many words come before some of the tokens, given how many each different token has."""
    found, done = np.zeros(len(marks), np.int64), 0
    for low in range(0, len(chosen), _STEP):
        sums = np.append(0, np.cumsum(counts[chosen[low : low + _STEP]]))
        here = np.flatnonzero((marks >= low) & (marks < low + len(sums)))
        found[here] = done + sums[marks[here] - low]
        done += int(sums[-1])
    return found


def _found(
    chosen: NDArray[np.int32],
    ends: NDArray[np.int64],
    before: NDArray[np.int64],
    stand_for: tuple[_Lists, _Lists, _Lists],
) -> Iterator[Occurrences]:
    """Yield where the words of all tokens are, and what stands beside them.

    Args:
        chosen: The tokens, one document after the other, ``int32 (tokens,)``.
        ends: Where those of each document end.
        before: How many words come before each document.
        stand_for: For each different token its words, what stands beside them, and beside which of them.
    """
    words, beside, places = stand_for
    done = 0
    for low in range(0, len(chosen), _STEP):
        some = chosen[low : low + _STEP]
        document = np.searchsorted(ends, np.arange(low, low + len(some)), side="right")
        term, owner = words.of(some)
        more, holder = beside.of(some)
        counts = words.counts[some]
        slot = document[np.concatenate([owner, holder])]
        place = np.append(np.arange(len(term)), (np.cumsum(counts) - counts)[holder] + places.of(some)[0])
        yield Occurrences(np.concatenate([term, more]), slot, done + place - before[slot])
        done += len(term)
