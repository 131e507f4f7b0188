"""Judgements: from use to graded judgements, as evaluation, training and the gate take them.

    3   somebody said "this is what I was looking for"
    2   people called it good, or several opened it and it almost surely answers the question
    1   by what was opened, it probably answers the question
    0   called bad, or by what was opened, it probably does not

What people say counts before what they open. Where they disagree, the majority decides, the confidence is low, and the
judgement says how much they disagree. A question of which nothing was opened and nothing said gets no judgements.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docsim.use.clicks import ClickEvidence, read_clicks
from docsim.use.held_out_questions import Part, part
from docsim.use.log import UseLog
from docsim.use.records import Session
from docsim.use.sittings import Sitting, sittings

__all__ = ["Judged", "JudgedQuestion", "Judgement", "judged", "of_index"]

_SURE = (0.9, 3)  # so probably an answer, and opened by so many people: grade 2
_PROBABLE = 0.5  # so probably an answer: grade 1
_LOOKED = 0.5  # looked at so often: grade 0 if it is probably none
_SUREST = 0.95  # clicks are never surer than this


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good a document is as the answer to a question.

    Attributes:
        document: The document's id.
        grade: From 0, not relevant, to 3.
        confidence: How sure that is, in (0, 1).
        clicks: How often it was opened, one person counting once.
        looks: How often it was probably looked at.
        good: How many people called it good.
        bad: How many people called it bad.
    """

    document: str
    grade: int
    confidence: float
    clicks: float
    looks: float
    good: int = 0
    bad: int = 0

    @property
    def disagreement(self) -> float:
        """The share of those who said something that are in the minority, from 0 to 0.5."""
        said = self.good + self.bad
        return min(self.good, self.bad) / said if said else 0.0


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question, and what is known of documents as answers to it.

    Attributes:
        id: Made from the question; the same for questions that differ in case, accents and punctuation only.
        text: The question, in the way that it was typed most often.
        asked: How often it was asked.
        judgements: What is known, best first.
        part: What the question is for.
    """

    id: str
    text: str
    asked: int
    judgements: tuple[Judgement, ...]
    part: Part

    @property
    def positive(self) -> tuple[Judgement, ...]:
        """The judgements of relevant documents."""
        return tuple(one for one in self.judgements if one.grade >= 1)

    @property
    def negative(self) -> tuple[Judgement, ...]:
        """The judgements of documents that are not relevant."""
        return tuple(one for one in self.judgements if one.grade < 1)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was concluded from use.

    Attributes:
        questions: Questions with at least one judgement, by id.
        sessions: How many sessions there were.
        left_out: How many of them were left out: of machines, or half typed.
        propensities: How likely each rank is looked at, compared with the first.
        appeal: How likely an answer is opened when it is looked at.
        temptation: How likely something else is.
        swaps: How many sessions had neighbours drawn to be swapped.
    """

    questions: tuple[JudgedQuestion, ...]
    sessions: int
    left_out: int
    propensities: tuple[float, ...]
    appeal: float
    temptation: float
    swaps: int

    def qrels(self, *parts: Part) -> dict[str, dict[str, int]]:
        """Return the grades by question and document, of questions that are for some parts, or of all."""
        chosen = [one for one in self.questions if not parts or one.part in parts]
        return {one.id: {each.document: each.grade for each in one.judgements} for one in chosen}

    def texts(self) -> dict[str, str]:
        """Return the questions by id."""
        return {one.id: one.text for one in self.questions}

    def digest(self) -> str:
        """Return the SHA-256 (64 hex digits) of all that training learns from; empty where there is nothing."""
        told = [
            [one.id, one.part, [[each.document, each.grade, round(each.confidence, 2)] for each in one.judgements]]
            for one in self.questions
            if one.part != "gate"
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest() if told else ""


NOTHING = Judged((), 0, 0, (), 0.0, 0.0, 0)


def of_index(index: Path) -> Judged:
    """Return the judgements from the use of an index; none where nothing is recorded.

    Raises:
        StoreError: The record of use cannot be read.
    """
    if not UseLog.exists(index):
        return NOTHING
    with UseLog.opened(index) as log:
        return judged(log.sessions())


def judged(sessions: Sequence[Session]) -> Judged:
    """Return the judgements from some sessions; their order makes no difference."""
    held, left_out = sittings(sessions)
    clicks = read_clicks(held)
    votes = _votes(held)
    by_question = defaultdict[str, dict[str, ClickEvidence]](dict)
    for (key, document), one in clicks.evidence.items():
        by_question[key][document] = one
    for key, document in votes:
        by_question[key].setdefault(document, ClickEvidence(0.0, 0.0, 0.0, 0))
    typed = _typed(held)
    questions = []
    for key in sorted(by_question):
        graded = _graded(key, by_question[key], votes)
        if graded:
            text, asked = typed[key]
            questions.append(JudgedQuestion(_id(key), text, asked, graded, part(key)))
    swaps = sum(one.pair is not None for one in held)
    ordered = tuple(sorted(questions, key=lambda one: one.id))
    ranks = tuple(clicks.propensities.tolist())
    return Judged(ordered, len(sessions), left_out, ranks, clicks.appeal, clicks.temptation, swaps)


def _graded(
    key: str, found: Mapping[str, ClickEvidence], votes: Mapping[tuple[str, str], Counter[int]]
) -> tuple[Judgement, ...]:
    """Return the judgements of a question, best first; none where nothing was opened and nothing said."""
    was_opened = any(one.clicks for one in found.values())  # else nothing was passed over for something better
    graded = (
        _judgement(document, one, votes.get((key, document), Counter()), was_opened=was_opened)
        for document, one in found.items()
    )
    kept = [one for one in graded if one is not None]
    return tuple(sorted(kept, key=lambda one: (-one.grade, -one.confidence, one.document)))


def _judgement(document: str, found: ClickEvidence, said: Counter[int], *, was_opened: bool) -> Judgement | None:
    """Return the judgement of a document; None where too little is known."""
    good, bad = said[1] + said[2], said[-1]
    if good != bad:
        grade = 0 if bad > good else 3 if said[2] * 2 >= good else 2
        confidence = (max(good, bad) + 1) / (good + bad + 1.5)
        return Judgement(document, grade, confidence, found.clicks, found.looks, good, bad)
    doubt = 0.5 if good else 1.0  # as many called it bad
    sure, people = _SURE
    if found.clicks and found.answers >= _PROBABLE:
        grade = 2 if found.answers >= sure and found.people >= people else 1
        confidence = doubt * min(_SUREST, found.answers)
    elif was_opened and found.looks >= _LOOKED and found.answers < _PROBABLE:
        grade, confidence = 0, doubt * min(_SUREST, 1 - found.answers)
    else:
        return None
    return Judgement(document, grade, confidence, found.clicks, found.looks, good, bad)


def _votes(held: Iterable[Sitting]) -> dict[tuple[str, str], Counter[int]]:
    """Return how often each document was called good, just right or bad as the answer to a question.

    A person's last word counts, once. People who are not known count one by one.
    """
    last = dict[tuple[str, str, str], tuple[float, int]]()
    counted = defaultdict[tuple[str, str], Counter[int]](Counter)
    for one in held:
        for vote in one.votes:
            if vote.person is None:
                counted[one.key, vote.document][vote.worth] += 1
            else:
                said = (one.key, vote.document, vote.person)
                last[said] = max(last.get(said, (vote.at, vote.worth)), (vote.at, vote.worth))
    for (key, document, _), (_, worth) in last.items():
        counted[key, document][worth] += 1
    return dict(counted)


def _typed(held: Iterable[Sitting]) -> dict[str, tuple[str, int]]:
    """Return the most frequent way in which each question was typed, and how often it was asked at all."""
    ways = defaultdict[str, Counter[str]](Counter)
    for one in held:
        ways[one.key][one.text.strip()] += 1
    return {key: (min(way, key=lambda text: (-way[text], text)), way.total()) for key, way in ways.items()}


def _id(key: str) -> str:
    return f"q-{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:16]}"
