"""Building: a segment made of the texts of documents.

What a token stands for is found out once for each way of writing it; the rest is arithmetic over all tokens of a batch.
A word in a document at a position is one number of 64 bits, so sorting such numbers groups words by document.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local.words.segment import Segment, hashes, stem_hashes
from docsim.engine.local.words.weights import TITLE_WEIGHT
from docsim.text.languages import DEFAULT, LANGUAGES, SAMPLE, evidence, language_of_script, told_by
from docsim.text.stemming import stems
from docsim.text.tokens import token, tokens

__all__ = ["Text", "segments"]

MOST_TOKENS = 3_000_000
"""A segment is made of at least so many tokens at a time, which bounds memory."""

MOST_DOCUMENTS = 65_536
"""A segment is made of at most so many documents at a time."""

_DOCUMENT, _POSITION = np.uint64(16), np.uint64(24)  # bits of a number below those of the word
_FARTHEST = (1 << 24) - 1  # positions beyond are not told apart


@dataclass(frozen=True, slots=True)
class Text:
    """What a document's words are taken from.

    Attributes:
        number: The document's number.
        first: Its first passage number.
        title: Its title.
        text: Its text.
    """

    number: int
    first: int
    title: str
    text: str


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
        found = _Found(
            np.concatenate([term, more]),
            np.concatenate([document[owner], document[holder]]),
            np.concatenate([position, starts[holder] - before[document[holder]] + shift]),
        )
        languages = self._languages(chosen, document, sizes)
        return _assembled(np.array(self.texts, np.int64), lengths, titles, languages, found, list(self._terms))

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


@dataclass(frozen=True, slots=True)
class _Found:
    """Where each word was found: its number, the document's slot, and the position, ``int64 (n,)`` each."""

    term: NDArray[np.int64]
    slot: NDArray[np.int64]
    position: NDArray[np.int64]


def _assembled(
    texts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    titles: NDArray[np.int64],
    languages: Sequence[int],
    found: _Found,
    terms: list[str],
) -> Segment:
    hashed = hashes(terms)
    order = np.argsort(hashed)
    rank = np.empty(len(terms), np.int64)
    rank[order] = np.arange(len(terms))
    keys = rank[found.term].astype(np.uint64) << (_DOCUMENT + _POSITION)
    keys |= found.slot.astype(np.uint64) << _POSITION
    keys |= np.minimum(found.position, _FARTHEST).astype(np.uint64)
    keys.sort()
    position = (keys & np.uint64(_FARTHEST)).astype(np.int64)
    rows = keys >> _POSITION
    begin = np.flatnonzero(np.diff(rows, prepend=rows[:1] + np.uint64(1))) if len(rows) else np.zeros(0, np.int64)
    rows = rows[begin]
    term, slot = (rows >> _DOCUMENT).astype(np.int64), (rows & np.uint64(MOST_DOCUMENTS - 1)).astype(np.int64)
    counts = np.diff(begin, append=len(keys))
    in_title = position < titles[np.repeat(slot, counts)]
    weights = counts + (TITLE_WEIGHT - 1) * (np.add.reduceat(in_title, begin, dtype=np.int64) if len(begin) else counts)
    starts = np.searchsorted(term, np.arange(len(terms) + 1))
    language = np.array(languages, np.uint8)
    stemmed = _stemmed([terms[i] for i in order], term, slot, weights, starts, language)
    sorted_forms = sorted(one.encode("utf-8", "surrogatepass") for one in terms)
    return Segment(
        numbers=texts[:, 0],
        firsts=texts[:, 1],
        lengths=lengths.astype(np.int32),
        titles=titles.astype(np.int32),
        languages=language,
        exact=hashed[order],
        starts=starts,
        places=np.append(begin, len(keys))[starts],
        stems=stemmed.hashes,
        stem_starts=stemmed.starts,
        stem_ends=stemmed.ends,
        slots=np.concatenate([slot, stemmed.slots]).astype(np.int32),
        weights=smallest(np.concatenate([weights, stemmed.weights])),
        counts=smallest(counts),
        positions=smallest(position),
        forms=np.frombuffer(b"".join(sorted_forms), np.uint8),
        form_starts=np.cumsum([0, *map(len, sorted_forms)]),
    )


def smallest(values: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
    """Return unsigned numbers in 16 bits each where they fit, else in 32."""
    return values.astype(np.uint16 if not len(values) or values.max() < 1 << 16 else np.uint32)


@dataclass(frozen=True, slots=True)
class _Stemmed:
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    slots: NDArray[np.int64]
    weights: NDArray[np.int64]


def _stemmed(
    terms: list[str],
    term: NDArray[np.int64],
    slot: NDArray[np.int64],
    weights: NDArray[np.int64],
    starts: NDArray[np.int64],
    languages: NDArray[np.uint8],
) -> _Stemmed:
    """Group rows by the stems of their words, in the language of their documents.

    Args:
        terms: The words, by ascending hash.
        term: The word of each row, ascending.
        slot: Its document.
        weights: How often that holds the word.
        starts: Where the rows of each word start.
        languages: The language of each document.
    """
    pairs, each = np.unique(term * len(LANGUAGES) + languages[slot], return_inverse=True)
    names, of_pair = _stems_of(terms, pairs // len(LANGUAGES), pairs % len(LANGUAGES))
    hashed = stem_hashes(names)
    order = np.argsort(hashed)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    of_pair = rank[of_pair]
    links = np.unique(np.stack([of_pair, pairs // len(LANGUAGES)]), axis=1)
    words_of_stem = np.bincount(links[0], minlength=len(names))
    stems_of_word = np.bincount(links[1], minlength=len(terms))
    alone = (words_of_stem[links[0]] == 1) & (stems_of_word[links[1]] == 1)
    begin, end = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    begin[links[0][alone]], end[links[0][alone]] = starts[links[1][alone]], starts[links[1][alone] + 1]
    owned = np.ones(len(names), bool)
    owned[links[0][alone]] = False
    stem = of_pair[each]
    mine = owned[stem]
    keys = (stem[mine].astype(np.uint64) << np.uint64(40)) | (slot[mine].astype(np.uint64) << np.uint64(24))
    keys |= np.minimum(weights[mine], _FARTHEST).astype(np.uint64)
    keys.sort()
    rows = keys >> np.uint64(24)
    first = np.flatnonzero(np.diff(rows, prepend=rows[:1] + np.uint64(1))) if len(rows) else np.zeros(0, np.int64)
    summed = (
        np.add.reduceat((keys & np.uint64(_FARTHEST)).astype(np.int64), first) if len(first) else np.zeros(0, np.int64)
    )
    owner = (rows[first] >> np.uint64(16)).astype(np.int64)
    bounds = np.searchsorted(owner, np.arange(len(names) + 1)) + len(term)
    begin[owned], end[owned] = bounds[:-1][owned], bounds[1:][owned]
    return _Stemmed(hashed[order], begin, end, (rows[first] & np.uint64(MOST_DOCUMENTS - 1)).astype(np.int64), summed)


def _stems_of(
    terms: list[str], words: NDArray[np.int64], languages: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """Return different stems, and which of them each word has in a language."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, (word, language) in enumerate(zip(words.tolist(), languages.tolist(), strict=True)):
        groups[language_of_script(terms[word]) or LANGUAGES[language]].append(place)
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    found = np.zeros(len(words), np.int64)
    for language, places in groups.items():
        stemmed = stems([terms[words[place]] for place in places], language)
        found[places] = np.fromiter(map(numbers.__getitem__, stemmed), np.int64, len(places))
    return list(numbers), found
