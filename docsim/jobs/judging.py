"""Judging: judgements from the use of an index, and which of those that are missing would teach most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from docsim.engine.retrying import retried
from docsim.index import Index
from docsim.models import Hit
from docsim.use import asked, judgements
from docsim.use.judgements import Judged, Judgement
from docsim.use.log import UseLog
from docsim.use.people import People
from docsim.use.records import Event, Question
from docsim.use.sittings import key_of

__all__ = ["Answer", "Pair", "answer", "judged", "pairs"]

Answer = Literal["good", "bad", "found"]

_MOST_QUESTIONS = 200  # those asked most often, for which pairs are looked for
_DEPTH = 5  # leading hits of each ranking that may be asked about
_UNKNOWN = 0.5  # how unsure a pair is of which nothing is known, if all rankings have it


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a document that somebody should be asked about.

    Attributes:
        question: The question.
        times: How often it was asked.
        document: The document's id.
        title: The document's title.
        passage: Its best passage.
        value: How much the answer would teach; higher is more.
        reason: Why, for people.
    """

    question: str
    times: int
    document: str
    title: str
    passage: str
    value: float
    reason: str


def judged(index: Index) -> Judged:
    """Return the judgements from the use of an index, of documents that are still there.

    Raises:
        StoreError: The record of use cannot be read.
    """
    return _still_there(index, judgements.of_index(index.path))


@retried
def _still_there(index: Index, found: Judged) -> Judged:
    named = {each.document for one in found.questions for each in one.judgements}
    with index.engine.snapshot() as snapshot:
        there = {id for id in named if snapshot.number(id) is not None}
    kept = (
        replace(one, judgements=tuple(each for each in one.judgements if each.document in there))
        for one in found.questions
    )
    return replace(found, questions=tuple(one for one in kept if one.judgements))


def pairs(index: Index, questions: Sequence[str] = (), *, most: int = 20) -> list[Pair]:
    """Return the pairs of a question and a document whose judgement would teach most, the most telling first.

    These are pairs of frequent questions, of which nothing is known, or little, or on which people or the rankings by
    words and by meaning disagree. Of a question, the most telling pair comes first; others come after those of other
    questions.

    Args:
        index: The index.
        questions: What to ask about beside the questions that were recorded.
        most: How many pairs to return.

    Raises:
        StoreError: The record of use cannot be read.
    """
    known = {key_of(one.text): {each.document: each for each in one.judgements} for one in judged(index).questions}
    times = {one.text: one.times for one in asked.of_index(index.path)[:_MOST_QUESTIONS]}
    times = {text: 1 for text in questions if text.strip()} | times
    found: list[tuple[int, Pair]] = []
    rankings = [index.search_many(list(times), _DEPTH, mode=mode) for mode in ("hybrid", "dense", "lexical")]
    for text, *results in zip(times, *rankings, strict=True):
        ranked = [{hit.id: hit for hit in one.hits} for one in results]
        candidates = _candidates(text, times[text], ranked, known.get(key_of(text), {}))
        found += enumerate(sorted(candidates, key=lambda one: (-one.value, one.document)))
    found.sort(key=lambda one: (-one[1].value / (1 + one[0]), one[1].question, one[1].document))
    return [pair for _, pair in found[:most]]


def _candidates(
    text: str, times: int, ranked: Sequence[Mapping[str, Hit]], known: Mapping[str, Judgement]
) -> list[Pair]:
    hits = {id: hit for one in reversed(ranked) for id, hit in one.items()}
    found = []
    for id, hit in hits.items():
        doubt, reason = _doubt(known.get(id), missing=sum(id not in one for one in ranked))
        value = math.log1p(times) * doubt / math.sqrt(hit.rank)
        if doubt:
            found.append(Pair(text, times, id, hit.title, hit.passages[0].text, value, reason))
    return found


def _doubt(known: Judgement | None, *, missing: int) -> tuple[float, str]:
    """Return how unsure a judgement is, from 0 to 1, and why; ``missing`` of three rankings lack the document."""
    if known is None:
        doubt = _UNKNOWN + missing * (1 - _UNKNOWN) / 2
        return doubt, "words and meaning disagree" if missing else "nothing is known of it"
    if known.disagreement:
        return 0.5 + known.disagreement, "people disagree"
    if known.good or known.bad:
        return 0.0, ""
    return 1 - known.confidence, "only clicks tell"


def answer(index: Index, given: Sequence[tuple[str, str, Answer]], *, person: str = "judge") -> None:
    """Record answers: questions, documents, and what was said.

    Raises:
        StoreError: They cannot be written.
    """
    by = People(index.path).hashed(person)
    records: list[Question | Event] = []
    for text, document, said in given:
        question = Question(text, "judge", by)
        records += [question, Event(question.id, said, document, None, by, question.asked)]
    with UseLog.opened(index.path) as log:
        log.write(records)
