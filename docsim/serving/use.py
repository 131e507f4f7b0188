"""Use: what a server records of the questions that it answers, if it was started to; and feedback on them.

Each answer then bears a ``query_id``, by which clients can tell what became of it. A share of the answers has two
neighbours swapped at random, by which docsim learns how much less often later ranks are looked at.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter
from starlette.requests import Request

from docsim.serving.access import Access
from docsim.serving.problems import Problem
from docsim.serving.request_log import REGISTRY
from docsim.use.recording import Recorder
from docsim.use.records import MOST_SHOWN, Event, Kind, Question, Shown

__all__ = ["Said", "Use", "person_of"]

_ASKED = Counter("docsim_recorded_questions", "Questions recorded", ("route",), registry=REGISTRY)
_HAPPENED = Counter("docsim_recorded_feedback", "What was opened and said, recorded", ("kind",), registry=REGISTRY)

_LAST_SWAPPED = 10
"""Ranks from the first to this one may be swapped with the one before."""


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a question.

    Attributes:
        kind: What happened.
        document: The document that it happened to; None if nothing helped.
        query: The question, as an answer named it.
        text: The question itself, where it was answered elsewhere.
        seconds: How long the document was read.
    """

    kind: Kind
    document: str | None = None
    query: str | None = None
    text: str | None = None
    seconds: float | None = None


class Use:
    """Records the use of an index, or nothing."""

    def __init__(self, recorder: Recorder | None = None, *, swaps: float = 0.0) -> None:
        """Record to a log, or not at all.

        Args:
            recorder: What records; None to record nothing.
            swaps: The share of answers in which two neighbours are drawn, and swapped half of the time, in [0, 1].
        """
        self._recorder, self._swaps = recorder, swaps

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self._recorder is not None

    def asked(self, answer: dict[str, Any], text: str, *, person: str | None, route: str) -> None:
        """Record a question and what is shown for it, and name it in the answer as ``query_id``."""
        if self._recorder is None:
            return
        pair, swapped = self._swap(answer["hits"])
        hits = answer["hits"][:MOST_SHOWN]
        shown = tuple(Shown(hit["rank"], hit["id"], float(hit["score"])) for hit in hits)
        by = self._hashed(person)
        question = Question(text, route, by, shown, answer["generation"], answer["revision"], pair, swapped)
        self._recorder.record(question)
        answer["query_id"] = question.id
        _ASKED.labels(route).inc()

    def happened(self, said: Said, *, person: str | None, route: str) -> str:
        """Record what became of a question; return the question's id.

        Raises:
            Problem: Nothing is recorded here.
            UsageError: The kind does not go with the document or the seconds, or there is no question, or two.
        """
        if self._recorder is None:
            raise Problem(409, "expected a server that records use, this one was started without that")
        if (said.query is None) == (said.text is None):
            got = "neither" if said.text is None else "both"
            raise Problem(400, f"expected either the query_id of an answer or the text of a question, got {got}")
        by = self._hashed(person)
        asked = None if said.text is None else Question(said.text, route, by)
        event = Event(asked.id if asked else said.query or "", said.kind, said.document, said.seconds, by)
        for one in (asked, event):
            if one is not None:
                self._recorder.record(one)
        _HAPPENED.labels(said.kind).inc()
        return event.question

    def close(self) -> None:
        """Write what is waiting, and end."""
        if self._recorder is not None:
            self._recorder.close()

    def _hashed(self, person: str | None) -> str | None:
        return None if person is None or self._recorder is None else self._recorder.people.hashed(person)

    def _swap(self, hits: list[dict[str, Any]]) -> tuple[int | None, bool]:
        """Draw two neighbours of the first page at random, maybe; swap them, maybe; return the rank of the upper."""
        last = min(len(hits), _LAST_SWAPPED)
        if last < 2 or hits[0]["rank"] != 1 or random.random() >= self._swaps:
            return None, False
        upper, swapped = random.randrange(last - 1), random.random() < 0.5
        if swapped:
            first, second = hits[upper], hits[upper + 1]
            hits[upper], hits[upper + 1] = second | {"rank": first["rank"]}, first | {"rank": second["rank"]}
        return upper + 1, swapped


def person_of(request: Request) -> str | None:
    """Return the name of whoever asks, or the address where anybody may ask; only a hash of it is ever kept."""
    access: Access = request.state.access
    if access.viewer.name != "anyone":
        return access.viewer.name
    return request.client.host if request.client else None
