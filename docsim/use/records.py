"""The records of use: a question with what was shown, and what happened to it afterwards."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Literal, get_args

from docsim.errors import UsageError
from docsim.text.storing import storable

__all__ = ["KINDS", "MOST_SHOWN", "Event", "Kind", "Question", "Session", "Shown", "new_id"]

Kind = Literal["opened", "dwell", "good", "bad", "found", "nothing"]
"""What can happen to a question: a document was opened, read for so long, found good or bad, was what somebody was
looking for; or nothing that was shown helped."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MOST_SHOWN = 20
"""So many leading hits of an answer are recorded."""

_MOST_SECONDS = 24 * 3600.0
_MOST_CHARACTERS = 2000  # of a question: a pasted page is no question


def new_id() -> str:
    """Return an id that nobody can guess, 16 characters."""
    return secrets.token_urlsafe(12)


@dataclass(frozen=True, slots=True)
class Shown:
    """A document that was shown: its rank, from 1, its id, and the score that it was ranked by."""

    rank: int
    document: str
    score: float


@dataclass(frozen=True, slots=True)
class Question:
    """Something that was asked.

    Attributes:
        text: What was asked; what is longer than 2,000 characters is cut.
        route: Where: ``page``, ``api``, ``mcp``, ``shell``, ``import`` or ``judge``.
        person: Who asked, as a keyed hash; None if that is not known.
        shown: What was shown, by rank; empty if that is not known.
        generation: The generation that answered; None if that is not known.
        revision: The revision of the index that answered.
        pair: The rank, from 1, of the upper of two neighbours that were drawn to be swapped or not, at random.
        swapped: Whether they were.
        asked: When, in seconds since 1970.
        id: Names the question, so that events can refer to it.
    """

    text: str
    route: str
    person: str | None = None
    shown: tuple[Shown, ...] = ()
    generation: int | None = None
    revision: int | None = None
    pair: int | None = None
    swapped: bool = False
    asked: float = field(default_factory=time.time)
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", storable(self.text[:_MOST_CHARACTERS]))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened after a question.

    Attributes:
        question: The question's id.
        kind: One of ``KINDS``.
        document: The document that it happened to; None for ``nothing``.
        seconds: How long it was read, for ``dwell``.
        person: Whose doing it was, as a keyed hash; None if that is not known.
        at: When, in seconds since 1970.

    Raises:
        UsageError: The kind is unknown, a document is missing or too many, or a time is out of range.
    """

    question: str
    kind: Kind
    document: str | None = None
    seconds: float | None = None
    person: str | None = None
    at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if (self.document is None) != (self.kind == "nothing"):
            raise UsageError(f"expected {'no' if self.document else 'the id of a'} document with {self.kind!r}")
        if (self.seconds is None) == (self.kind == "dwell"):
            raise UsageError("expected seconds with dwell, and with nothing else")
        if self.seconds is not None and not 0 <= self.seconds <= _MOST_SECONDS:
            raise UsageError(f"expected from 0 to {_MOST_SECONDS:.0f} seconds, got {self.seconds:g}")


@dataclass(frozen=True, slots=True)
class Session:
    """A question with all that happened to it, in order of time."""

    question: Question
    events: tuple[Event, ...]
