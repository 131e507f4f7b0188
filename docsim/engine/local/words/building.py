"""Building: a segment made of the texts of documents.

What a token stands for is found out once for each way of writing it; the rest is arithmetic over all tokens of a batch.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.words.assembling import MOST_DOCUMENTS, Documents, Occurrences, assembled
from docsim.engine.local.words.segment import Segment
from docsim.ingest import folders
from docsim.ingest.content import readable
from docsim.text.languages import DEFAULT, LANGUAGES, SAMPLE, evidence, told_by
from docsim.text.tokens import token, tokens

__all__ = ["Text", "named", "segments"]

_NAMED = re.compile(r"[^\W_]+")  # words of a file's name

MOST_TOKENS = 3_000_000
"""A segment is made of at least so many tokens at a time, which bounds memory."""


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
    if not folders.suffix(id.rpartition("/")[2]):
        return title
    known = set(_NAMED.findall(title.casefold()))
    more = [word for word in _NAMED.findall(readable(id)) if word.casefold() not in known]
    return " ".join([title, *more])


def segments(texts: Iterable[Text]) -> Iterator[Segment]:
    """Yield segments of documents, which come in ascending order of their first passage numbers."""
    batch = _Batch()
    for text in texts:
        batch.add(text)
        if batch.count >= MOST_TOKENS or len(batch.texts) >= MOST_DOCUMENTS:
            yield batch.segment()
            batch = _Batch()
    if batch.texts:
        yield batch.segment()


@dataclass(slots=True)
class _Ragged:
    """Lists of numbers, one after the other."""

    values: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, values: Iterable[int]) -> None:
        self.values += values
        self.ends.append(len(self.values))

    def of(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the values of some lists, and for each value which of the chosen lists it is from."""
        ends = np.array(self.ends, np.int64)
        counts = np.diff(ends, prepend=0)[chosen]
        owners = np.repeat(np.arange(len(chosen)), counts)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.array(self.values, np.int64)[(ends[chosen] - counts)[owners] + places], owners


class _Batch:
    """Documents whose tokens are known and wait to become a segment."""

    def __init__(self) -> None:
        self.texts: list[tuple[int, int]] = []
        self.count = 0
        self._written: defaultdict[str, int] = defaultdict()
        self._written.default_factory = self._written.__len__  # a new token gets the next number
        self._tokens: list[NDArray[np.int32]] = []
        self._in_title: list[int] = []

    def add(self, text: Text) -> None:
        title = tokens(text.title)
        found = title + tokens(text.text)
        self.texts.append((text.number, text.first))
        self._tokens.append(np.fromiter(map(self._written.__getitem__, found), np.int32, len(found)))
        self._in_title.append(len(title))
        self.count += len(found)

    def segment(self) -> Segment:
        words, beside, places = self._stand_for()
        sizes = np.array([len(one) for one in self._tokens], np.int64)
        chosen = np.concatenate(self._tokens).astype(np.int64)
        document = np.repeat(np.arange(len(sizes)), sizes)
        term, owner = words.of(chosen)
        lengths = np.bincount(document[owner], minlength=len(sizes))
        before = np.cumsum(lengths) - lengths  # words of earlier documents
        starts = np.cumsum(np.bincount(owner, minlength=len(chosen)))
        starts -= np.bincount(owner, minlength=len(chosen))
        position = np.arange(len(term)) - before[document[owner]]
        titles = self._titles(sizes, starts, before, lengths)
        more, holder = beside.of(chosen)
        shift, _ = places.of(chosen)
        found = Occurrences(
            np.concatenate([term, more]),
            np.concatenate([document[owner], document[holder]]),
            np.concatenate([position, starts[holder] - before[document[holder]] + shift]),
        )
        languages = self._languages(chosen, document, sizes)
        documents = Documents(np.array(self.texts, np.int64), lengths, titles, np.array(languages, np.uint8))
        return assembled(documents, found, list(self._terms))

    def _stand_for(self) -> tuple[_Ragged, _Ragged, _Ragged]:
        """Return the words of each token, what stands beside them, and beside which of them."""
        self._terms: defaultdict[str, int] = defaultdict()
        self._terms.default_factory = self._terms.__len__
        self._telling = np.zeros((len(self._written), len(LANGUAGES)), np.float32)
        words, beside, places = _Ragged(), _Ragged(), _Ragged()
        number = self._terms.__getitem__
        for row, one in enumerate(self._written):
            found = token(one)
            for place, weight in evidence(one, found.words).items():
                self._telling[row, place] = weight
            words.add(map(number, found.words))
            beside.add(number(form) for _, form in found.beside)
            places.add(place for place, _ in found.beside)
        return words, beside, places

    def _titles(
        self, sizes: NDArray[np.int64], starts: NDArray[np.int64], before: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return how many words the title of each document has, given where the words of each token start."""
        ends = np.append(starts, lengths.sum())
        first = np.cumsum(sizes) - sizes
        titles: NDArray[np.int64] = ends[first + np.array(self._in_title, np.int64)] - before
        return titles

    def _languages(self, chosen: NDArray[np.int64], document: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[int]:
        """Return the language of each document, by its first tokens."""
        table = self._telling
        telling = np.asarray(table.any(axis=1))
        place = np.arange(len(chosen)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept = np.flatnonzero((place < SAMPLE) & telling[chosen])
        scores = np.zeros((len(sizes), len(LANGUAGES)), np.float32)
        np.add.at(scores, document[kept], table[chosen[kept]])
        return [LANGUAGES.index(told_by(row) or DEFAULT) for row in scores.tolist()]
