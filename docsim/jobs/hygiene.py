"""Hygiene: pages that somebody should look at.

versions    near-duplicates that differ in numbers and dates only: one of them is probably out of date
same        pages that answer the same question, by their titles or by what people opened and said
unfound     pages that nobody finds by their own title
outdated    pages that were last changed long ago and are still opened
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from itertools import islice

from docsim.engine.retrying import retried
from docsim.index import Index
from docsim.jobs.judging import judged
from docsim.models import Document
from docsim.progress import SILENT, Progress
from docsim.use.log import UseLog
from docsim.use.sittings import key_of

__all__ = ["Hygiene", "Outdated", "SameQuestion", "Unfound", "Versions", "examine"]

FOUND_WITHIN = 10
"""A page that is not among so many hits for its own title is not found by it."""

OUTDATED_DAYS = 730.0
"""A page that was not changed for so many days is old."""

_MOST_TITLES = 3000  # titles that are searched for; of more documents, some from all over the index
_RECENT_DAYS = 90.0  # what was opened within so many days is still opened
_DATES = ("updated", "modified", "last_modified", "lastmod", "reviewed", "date")  # metadata fields, the first counts
_MOST_SHOWN = 8  # differences that are listed
_LEAST_GRADE = 2  # of documents that answer the same question
_PIECE = re.compile(r"\d[\d.,:/-]*\d|\d|[^\W\d]+|[^\w\s]")
_NUMBER = re.compile(r"\d")
_NEARLY = 0.97  # texts with this share of their words in common, numbers aside, differ in their numbers before all
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Versions:
    """Two pages that say the same but for numbers and dates: their ids, and what differs, as pairs."""

    first: str
    second: str
    differences: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SameQuestion:
    """Pages that answer the same question, and how that is known: ``title`` or ``use``."""

    question: str
    documents: tuple[str, ...]
    known_by: str


@dataclass(frozen=True, slots=True)
class Unfound:
    """A page that a search for its own title does not find, and what it finds first instead."""

    id: str
    title: str
    first: str | None


@dataclass(frozen=True, slots=True)
class Outdated:
    """A page that was last changed at a date, and how often it was opened lately."""

    id: str
    changed: str
    opened: int


@dataclass(frozen=True, slots=True)
class Hygiene:
    """Pages that somebody should look at.

    Attributes:
        versions: Near-duplicates that differ in numbers and dates only.
        same: Pages that answer the same question.
        unfound: Pages that nobody finds by their own title.
        outdated: Old pages that are still opened, most often first.
        titles: How many titles were searched for.
    """

    versions: tuple[Versions, ...]
    same: tuple[SameQuestion, ...]
    unfound: tuple[Unfound, ...]
    outdated: tuple[Outdated, ...]
    titles: int


def examine(index: Index, *, progress: Progress = SILENT) -> Hygiene:
    """Return the pages of an index that somebody should look at.

    Raises:
        StoreError: The record of use cannot be read.
    """
    documents = _documents(index)
    titled = [one for one in documents if one.title.strip()]
    shared = _by_title(titled)
    unfound = tuple(_unfound(index, titled[:: max(1, -(-len(titled) // _MOST_TITLES))], progress))
    return Hygiene(
        versions=tuple(_versions(index, progress)),
        same=(*shared, *_by_use(index)),
        unfound=unfound,
        outdated=tuple(_outdated(index, documents)),
        titles=min(len(titled), _MOST_TITLES),
    )


@retried
def _documents(index: Index) -> list[Document]:
    """Return all documents, without their texts."""
    with index.engine.snapshot() as snapshot:
        return [one.document for one in snapshot.scan(characters=0)]


def _versions(index: Index, progress: Progress) -> Iterator[Versions]:
    for group in index.duplicates(progress=progress).groups:
        whole = index.document(group.id).document.text
        for member in group.members:
            differences = different_numbers(whole, index.document(member.id).document.text)
            if differences:
                yield Versions(group.id, member.id, tuple(differences[:_MOST_SHOWN]))


def different_numbers(first: str, second: str) -> list[tuple[str, str]]:
    """Return the numbers and dates in which two texts differ; none if they differ in anything else, or not at all."""
    a, b = _PIECE.findall(first), _PIECE.findall(second)
    masked = [["0" if _NUMBER.match(one) else one.casefold() for one in side] for side in (a, b)]
    if masked[0] != masked[1]:
        return _nearly(a, b, SequenceMatcher(None, masked[0], masked[1], autojunk=False))
    return list(dict.fromkeys((one, other) for one, other in zip(a, b, strict=True) if _is_other(one, other)))


def _nearly(a: Sequence[str], b: Sequence[str], matcher: SequenceMatcher[str]) -> list[tuple[str, str]]:
    """Return the numbers in which texts differ that also differ in very few words, such as the name of a month."""
    if matcher.quick_ratio() < _NEARLY or matcher.ratio() < _NEARLY:
        return []
    pairs = [
        (a[block.a + place], b[block.b + place])
        for block in matcher.get_matching_blocks()
        for place in range(block.size)
    ]
    return list(dict.fromkeys(pair for pair in pairs if _is_other(*pair)))


def _is_other(one: str, other: str) -> bool:
    return one != other and bool(_NUMBER.match(one))


def _by_title(documents: Sequence[Document]) -> Iterator[SameQuestion]:
    """Yield pages with the same title."""
    groups = defaultdict[str, list[Document]](list)
    for one in documents:
        groups[key_of(one.title)].append(one)
    for group in groups.values():
        if len(group) > 1:
            yield SameQuestion(group[0].title, tuple(one.id for one in group), "title")


def _by_use(index: Index) -> Iterator[SameQuestion]:
    """Yield pages that people found good for the same question."""
    for one in judged(index).questions:
        good = tuple(each.document for each in one.judgements if each.grade >= _LEAST_GRADE)
        if len(good) > 1:
            yield SameQuestion(one.text, good, "use")


def _unfound(index: Index, documents: Sequence[Document], progress: Progress) -> Iterator[Unfound]:
    """Yield pages that a search for their title does not find among the first hits. Pages of the same title are one."""
    progress.begin("titles", len(documents))
    waiting = iter(documents)
    while some := list(islice(waiting, 64)):
        results = index.search_many([one.title for one in some], FOUND_WITHIN, plain=True)
        for one, result in zip(some, results, strict=True):
            if all(hit.id != one.id and key_of(hit.title) != key_of(one.title) for hit in result.hits):
                yield Unfound(one.id, one.title, result.hits[0].id if result.hits else None)
        progress.advance(len(some))


def _outdated(index: Index, documents: Sequence[Document]) -> list[Outdated]:
    if not UseLog.exists(index.path):
        return []
    now, opened = time.time(), Counter[str]()
    with UseLog.opened(index.path) as log:
        for session in log.sessions():
            recent = (one for one in session.events if one.kind == "opened" and now - one.at < _RECENT_DAYS * _DAY)
            opened.update({one.document for one in recent if one.document})
    found = []
    for one in documents:
        changed = next((date for field in _DATES if (date := _date(one.metadata.get(field)))), None)
        if changed and opened[one.id] and now - changed.timestamp() > OUTDATED_DAYS * _DAY:
            found.append(Outdated(one.id, changed.date().isoformat(), opened[one.id]))
    return sorted(found, key=lambda one: (-one.opened, one.id))


def _date(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value)) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and not found.tzinfo else found
