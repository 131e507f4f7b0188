"""Gaps: questions that an index does not answer, as a list of what to write next.

How probable that is follows from the question and what is found for it, and from what people did: whether they opened
anything, and whether they said that nothing helped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from docsim.encoding.documents import encode_texts
from docsim.engine.retrying import retried
from docsim.index import Index
from docsim.models import SearchResult
from docsim.search.answering import signals
from docsim.use import asked
from docsim.use.asked import AskedQuestion
from docsim.use.sittings import key_of

__all__ = ["LEAST", "Gap", "Gaps", "NearDocument", "find", "probability"]

LEAST = 0.5
"""From this probability on, a question counts as not answered."""

_MOST_QUESTIONS = 2000  # those that are asked most often
_NEAREST = 3
_ALIKE = 0.65  # questions at least this similar are one gap

# How much more often something happens where nothing answers a question than where something does: that whoever asks
# opens nothing, opens something, or says that nothing helped. Cautious guesses; see docs/learning-from-use.md.
_PASSED, _OPENED, _NOTHING = 2.0, 0.4, 4.0
_MOST_TOLD = 5  # of each, no more count: people who ask the same are alike


@dataclass(frozen=True, slots=True)
class NearDocument:
    """A document that comes nearest to answering: its id, its title, and its similarity."""

    id: str
    title: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Questions that are alike and that nothing answers.

    Attributes:
        label: The one that was asked most often.
        questions: All of them, most often asked first.
        times: How often they were asked.
        people: By how many people, at least.
        probability: How probable it is that nothing answers the label, in [0, 1].
        missing: Words of the label that no document holds.
        nearest: The documents that come nearest to answering the label.
    """

    label: str
    questions: tuple[str, ...]
    times: int
    people: int
    probability: float
    missing: tuple[str, ...]
    nearest: tuple[NearDocument, ...]


@dataclass(frozen=True, slots=True)
class Gaps:
    """What an index does not answer.

    Attributes:
        gaps: Most often asked first.
        questions: How many different questions were looked at.
    """

    gaps: tuple[Gap, ...]
    questions: int


def find(index: Index, questions: Sequence[str] = (), *, least: float = LEAST) -> Gaps:
    """Return the questions that an index does not answer, those that are alike together.

    Args:
        index: The index.
        questions: What to look at beside the questions that were recorded.
        least: From this probability on, a question counts as not answered, in [0, 1].

    Raises:
        StoreError: The record of use cannot be read.
    """
    held = {one.key: one for one in asked.of_index(index.path)[:_MOST_QUESTIONS]}
    for text in questions:
        if text.strip():
            held.setdefault(key_of(text), AskedQuestion(key_of(text), text, 1, 1, 0, 0, 0))
    looked_at = list(held.values())
    results = index.search_many([one.text for one in looked_at], _NEAREST, plain=True) if looked_at else []
    found = [
        gap
        for one, result in zip(looked_at, results, strict=True)
        if (gap := _gap(index, one, result, least)) is not None
    ]
    return Gaps(tuple(_together(index, found)), len(looked_at))


def probability(alone: float, one: AskedQuestion) -> float:
    """Return how probable it is that nothing answers a question, in [0, 1].

    Args:
        alone: The same, by the question and what is found for it alone, in (0, 1).
        one: How often it was asked, and what people did.
    """
    passed = max(0, one.watched - one.opened)
    told = ((passed, _PASSED), (one.opened, _OPENED), (one.nothing, _NOTHING))
    odds = math.log(alone / (1 - alone))
    odds += sum(min(times, _MOST_TOLD) * math.log(ratio) for times, ratio in told)
    return 1 / (1 + math.exp(-odds))


@retried
def _gap(index: Index, one: AskedQuestion, result: SearchResult, least: float) -> Gap | None:
    with index.engine.snapshot() as snapshot:
        told = signals(snapshot, one.text, result.hits)
    chance = probability(min(0.999, max(0.001, told.gap)), one)
    if chance < least:
        return None
    nearest = tuple(NearDocument(hit.id, hit.title, hit.similarity) for hit in result.hits)
    return Gap(one.text, (one.text,), one.times, one.people, chance, told.missing, nearest)


def _together(index: Index, found: Sequence[Gap]) -> list[Gap]:
    """Return gaps with those that are alike as one, under the question that was asked most often."""
    ordered = sorted(found, key=lambda one: (-one.times, -one.probability, one.label))
    if not ordered:
        return []
    rows = encode_texts(index.encoder, [one.label for one in ordered], role="query")
    leaders: list[int] = []
    members: dict[int, list[int]] = {}
    for place in range(len(ordered)):
        similar = rows[leaders] @ rows[place] if leaders else np.zeros(0, np.float32)
        leader = leaders[int(np.argmax(similar))] if len(similar) and similar.max() >= _ALIKE else place
        if leader == place:
            leaders.append(place)
        members.setdefault(leader, []).append(place)
    return sorted((_joined([ordered[each] for each in group]) for group in members.values()), key=_order)


def _joined(group: Sequence[Gap]) -> Gap:
    first = group[0]
    texts, times = tuple(one.label for one in group), sum(one.times for one in group)
    people = max(one.people for one in group)
    return Gap(first.label, texts, times, people, first.probability, first.missing, first.nearest)


def _order(one: Gap) -> tuple[int, float, str]:
    return -one.times, -one.probability, one.label
