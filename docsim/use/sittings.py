"""Sittings: sessions as evidence, without those of machines, without questions half typed, and with one vote a person.

Whoever asks the same question again and again counts as one person who saw and opened what they saw and opened on
average. People whose questions are far more than others' count less each time, and what looks like a machine is left
out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from docsim.text.folding import folded, normalized
from docsim.use.records import Session

__all__ = ["Sitting", "Vote", "key_of", "sittings"]

BOUNCED_SECONDS = 5.0
"""Who leaves a document sooner than this has not found what they were looking for."""

_TYPING_SECONDS = 30.0  # a question that begins the next one, asked within this time, was only half typed
_BOT_A_DAY = 1000  # questions of one person in a day
_BOT_OPENS = (0.9, 20)  # the share of all that is shown which a person opens, in at least so many questions
_LOUD = (10, 50)  # more questions than so many times the median, and than so many, count less
_DAY = 86400
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Vote:
    """What somebody said of a document.

    Attributes:
        person: Who; None if that is not known.
        document: The document's id.
        worth: 1 for good, 2 for just right, -1 for bad.
        at: When, in seconds since 1970.
    """

    person: str | None
    document: str
    worth: int
    at: float


@dataclass(frozen=True, slots=True)
class Sitting:
    """What one session says.

    Attributes:
        key: The question, in whatever way it was typed; see ``key_of``.
        text: The question as it was typed.
        person: Who asked; None if that is not known.
        weight: How much it counts, above 0 and up to 1.
        shown: Rank by document, where it is known who saw what; otherwise of what was opened.
        opened: The documents that were opened and read.
        pair: The rank of the upper of two neighbours that were drawn to be swapped or not.
        votes: What somebody said of documents, and when.
        nothing: Whether somebody said that nothing helped.
    """

    key: str
    text: str
    person: str | None
    weight: float
    shown: Mapping[str, int]
    opened: frozenset[str]
    pair: int | None
    votes: tuple[Vote, ...]
    nothing: bool


def key_of(text: str) -> str:
    """Return what is the same for questions that differ in case, accents, punctuation and blanks only."""
    return " ".join(folded(word) for word in _WORD.findall(normalized(text))) or " ".join(text.split())


def sittings(sessions: Sequence[Session]) -> tuple[list[Sitting], int]:
    """Return what sessions say, and how many were left out; their order makes no difference."""
    ordered = sorted(sessions, key=lambda one: (one.question.asked, one.question.id))
    machines = _machines(ordered)
    typed = _half_typed(ordered)
    kept = [one for one in ordered if one.question.id not in typed and one.question.person not in machines]
    loud = _loudness(kept)
    times = Counter((one.question.person, key_of(one.question.text)) for one in kept)
    found = []
    for one in kept:
        person, key = one.question.person, key_of(one.question.text)
        weight = 1.0 if person is None else loud[person] / times[person, key]
        found.append(_sitting(one, key, weight))
    return found, len(sessions) - len(kept)


def _sitting(session: Session, key: str, weight: float) -> Sitting:
    asked = session.question
    by_kind = defaultdict[str, set[str]](set)
    votes = []
    for event in session.events:
        by_kind[event.kind].add(event.document or "")
        worth = {"good": 1, "found": 2, "bad": -1}.get(event.kind)
        if worth and event.document:
            votes.append(Vote(event.person, event.document, worth, event.at))
    nothing = bool(by_kind["nothing"])
    opened = frozenset() if nothing else frozenset(by_kind["opened"] - _bounced(session))
    shown = {one.document: one.rank for one in reversed(asked.shown)}
    is_seen = asked.route == "page" or bool(session.events)  # elsewhere nobody may have been there to open anything
    held = shown if is_seen else {}
    return Sitting(key, asked.text, asked.person, weight, held, opened, asked.pair, tuple(votes), nothing)


def _bounced(session: Session) -> set[str]:
    """Return the documents that were left again at once."""
    read = defaultdict[str, float](float)
    for event in session.events:
        if event.kind == "dwell" and event.document:
            read[event.document] += event.seconds or 0.0
    return {document for document, seconds in read.items() if seconds < BOUNCED_SECONDS}


def _half_typed(ordered: Sequence[Session]) -> set[str]:
    """Return the ids of questions that were only half typed: nothing was opened, and the same person typed on."""
    found, last = set(), dict[str | None, Session]()
    for one in ordered:
        before = last.get(one.question.person)
        last[one.question.person] = one
        if before is None or before.events or one.question.asked - before.question.asked > _TYPING_SECONDS:
            continue
        texts = (before.question.text.strip().casefold(), one.question.text.strip().casefold())
        if texts[0] != texts[1] and (texts[1].startswith(texts[0]) or texts[0].startswith(texts[1])):
            found.add(before.question.id)
    return found


def _machines(ordered: Iterable[Session]) -> set[str | None]:
    """Return who asks more than people do, or opens all that there is."""
    days = Counter[tuple[str, int]]()
    opened, shown = Counter[str](), Counter[str]()
    asked = Counter[str]()
    for one in ordered:
        person = one.question.person
        if person is None:
            continue
        days[person, int(one.question.asked // _DAY)] += 1
        if len(one.question.shown) >= 3:
            asked[person] += 1
            shown[person] += len(one.question.shown)
            opened[person] += len({event.document for event in one.events if event.kind == "opened"})
    busy: set[str | None] = {person for (person, _), count in days.items() if count > _BOT_A_DAY}
    share, least = _BOT_OPENS
    return busy | {one for one in asked if asked[one] >= least and opened[one] >= share * shown[one]}


def _loudness(kept: Iterable[Session]) -> Mapping[str, float]:
    """Return how much each question of a person counts, above 0 and up to 1."""
    counts = Counter(one.question.person for one in kept if one.question.person is not None)
    if len(counts) < 3:  # there are no others that could be drowned
        return dict.fromkeys(counts, 1.0)
    times, least = _LOUD
    most = max(least, times * float(np.median(list(counts.values()))))
    return {person: min(1.0, most / count) for person, count in counts.items()}
