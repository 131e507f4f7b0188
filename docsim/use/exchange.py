"""Use in files: written as lines of JSON in the way of User Behavior Insights, and read from there or from any log.

A line is a query (``query_id``, ``user_query``, ``query_response_hit_ids``, ...) or an event (``action_name``,
``query_id``, ``event_attributes``, ...). People are told apart by ``client_id``, which is a keyed hash.

Logs of other tools are tables (``.csv``, ``.tsv``) or lines of JSON (``.jsonl``) of clicks: a question, the document
that was opened, and when; perhaps who it was and at which rank it stood.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from docsim.errors import DocsimError, UsageError
from docsim.use.people import People
from docsim.use.records import MOST_SHOWN, Event, Kind, Question, Session, Shown

__all__ = ["Read", "exported", "read_log"]

_ACTIONS: Mapping[Kind, str] = {
    "opened": "click",
    "dwell": "dwell",
    "good": "thumbs_up",
    "bad": "thumbs_down",
    "found": "found",
    "nothing": "nothing_helped",
}
_KINDS: Mapping[str, Kind] = {name: kind for kind, name in _ACTIONS.items()}

_COLUMNS = {
    "question": ("question", "query", "user_query", "search", "q"),
    "document": ("document", "clicked", "document_id", "doc", "doc_id", "object_id", "url", "id"),
    "when": ("when", "timestamp", "time", "date", "at"),
    "person": ("user", "client_id", "user_id", "person", "session", "session_id"),
    "rank": ("rank", "position", "ordinal"),
}
"""What a column of a log may be called; the first that is there counts."""

_DAY = 86400
_MILLISECONDS_FROM = 1e11  # a larger number cannot be seconds: it would be the year 5138


@dataclass(frozen=True, slots=True)
class Read:
    """What was read from a log.

    Attributes:
        records: Questions, and events after the questions that they belong to.
        unknown: Documents that are not in the index, with how many lines name them; most first.
    """

    records: tuple[Question | Event, ...]
    unknown: Mapping[str, int]


def exported(sessions: Iterable[Session], people: People) -> Iterator[dict[str, Any]]:
    """Yield a line for each question, and for each event after it."""
    for session in sessions:
        asked = session.question
        attributes: dict[str, Any] = {"route": asked.route, "generation": asked.generation, "revision": asked.revision}
        attributes |= {"scores": [one.score for one in asked.shown], "ranks": [one.rank for one in asked.shown]}
        attributes |= {"pair": asked.pair, "swapped": asked.swapped}
        yield {
            "application": "docsim",
            "query_id": asked.id,
            "client_id": _client(asked.person, people),
            "user_query": asked.text,
            "timestamp": _instant(asked.asked),
            "query_response_hit_ids": [one.document for one in asked.shown],
            "query_attributes": attributes,
        }
        ranks = {one.document: one.rank for one in asked.shown}
        for event in session.events:
            told: dict[str, Any] = {"object": {"object_id": event.document}} if event.document else {}
            told |= {"position": {"ordinal": ranks[event.document]}} if event.document in ranks else {}
            told |= {"dwell_seconds": event.seconds} if event.seconds is not None else {}
            yield {
                "application": "docsim",
                "action_name": _ACTIONS[event.kind],
                "query_id": event.question,
                "client_id": _client(event.person, people),
                "timestamp": _instant(event.at),
                "event_attributes": told,
            }


def read_log(path: Path, people: People, resolve: Callable[[str], str | None]) -> Read:
    """Read a log of clicks, or what ``exported`` wrote.

    Args:
        path: The file; its suffix tells the format.
        people: Hashes the people that it names.
        resolve: Returns the id of the document that a log means, or None if it is not in the index.

    Raises:
        UsageError: The file cannot be read, or a line lacks something; the message names file and line.
    """
    reader = _Reader(people, resolve)
    for place, row in _rows(path):
        try:
            reader.add(row)
        except DocsimError as error:
            raise UsageError(f"{error}, at {place}") from error
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise UsageError(f"expected a query, an event or a click at {place}, got something else") from error
    unknown = dict(sorted(reader.unknown.items(), key=lambda one: (-one[1], one[0])))
    return Read((*reader.questions.values(), *reader.events), unknown)


class _Reader:
    """Collects what the rows of a log say."""

    def __init__(self, people: People, resolve: Callable[[str], str | None]) -> None:
        self._people, self._resolve = people, resolve
        self.questions: dict[str, Question] = {}
        self.events: list[Event] = []
        self.unknown: dict[str, int] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in a row."""
        if row.get("action_name") in _KINDS and row.get("query_id"):
            self._add_event(row)
        elif row.get("query_id") and row.get("user_query") and "query_response_hit_ids" in row:
            self._add_query(row)
        else:
            self._add_click(row)

    def _add_query(self, row: Mapping[str, Any]) -> None:
        told = row.get("query_attributes") or {}
        ids = [str(one) for one in row["query_response_hit_ids"][:MOST_SHOWN]]
        ranks = told.get("ranks") or range(1, len(ids) + 1)
        scores = told.get("scores") or [0.0] * len(ids)
        shown = tuple(Shown(int(rank), id, float(score)) for rank, id, score in zip(ranks, ids, scores, strict=True))
        at, id = _seconds(row.get("timestamp")), str(row["query_id"])
        generation, revision, pair = (told.get(name) for name in ("generation", "revision", "pair"))
        rest = (generation, revision, pair, bool(told.get("swapped")), at, id)
        person = self._person(row.get("client_id"))
        self.questions[id] = Question(str(row["user_query"]), str(told.get("route", "import")), person, shown, *rest)

    def _add_event(self, row: Mapping[str, Any]) -> None:
        told = row.get("event_attributes") or {}
        kind = _KINDS[row["action_name"]]
        named = (told.get("object") or {}).get("object_id")
        document = self._known(str(named)) if named else None
        if named and document is None:
            return
        seconds = float(told["dwell_seconds"]) if kind == "dwell" and "dwell_seconds" in told else None
        at, person = _seconds(row.get("timestamp")), self._person(row.get("client_id"))
        self.events.append(Event(str(row["query_id"]), kind, document, seconds, person, at))

    def _add_click(self, row: Mapping[str, Any]) -> None:
        text, named = (str(_field(row, name)).strip() for name in ("question", "document"))
        at, person = _seconds(_field(row, "when")), self._person(_field(row, "person", needed=False))
        if (document := self._known(named)) is None:
            return
        day = f"{person} {int(at // _DAY)}\n{' '.join(text.casefold().split())}"
        id = f"import-{hashlib.sha256(day.encode()).hexdigest()[:24]}"
        known = self.questions.get(id)
        shown = {one.rank: one for one in known.shown} if known else {}
        if rank := _rank(_field(row, "rank", needed=False)):
            shown.setdefault(rank, Shown(rank, document, 0.0))
        asked = min(at, known.asked) if known else at
        ranked = tuple(shown[rank] for rank in sorted(shown))
        self.questions[id] = Question(text, "import", person, ranked, asked=asked, id=id)
        self.events.append(Event(id, "opened", document, None, person, at))

    def _known(self, named: str) -> str | None:
        document = self._resolve(named)
        if document is None:
            self.unknown[named] = self.unknown.get(named, 0) + 1
        return document

    def _person(self, named: object) -> str | None:
        if named in (None, ""):
            return None
        mark, _, hashed = str(named).partition(":")
        return hashed if mark == self._people.mark else self._people.hashed(str(named))


def _field(row: Mapping[str, Any], name: str, *, needed: bool = True) -> Any:
    for column in _COLUMNS[name]:
        if row.get(column) not in (None, ""):
            return row[column]
    if needed:
        named = " or ".join(_COLUMNS[name][:3])
        raise UsageError(f"expected a question, the document that was opened, and when; found no {named}")
    return None


def _rank(given: object) -> int | None:
    if given in (None, ""):
        return None
    try:
        rank = int(str(given))
    except ValueError:
        rank = 0
    if rank < 1:
        raise UsageError(f"expected a rank from 1, got {str(given)[:50]!r}")
    return rank if rank <= MOST_SHOWN else None


def _seconds(given: object) -> float:
    """Return a point in time, ISO 8601 or a number of seconds or milliseconds since 1970, as seconds since 1970."""
    text = str(given).strip()
    try:
        number = float(text)
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"expected a time such as 2026-05-31T09:30:00, got {text[:50]!r}") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if not 0 <= number < _MILLISECONDS_FROM * 1000:
        raise UsageError(f"expected a time in seconds since 1970, got {text[:50]!r}")
    return number / 1000 if number >= _MILLISECONDS_FROM else number


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _client(person: str | None, people: People) -> str | None:
    return None if person is None else f"{people.mark}:{person}"


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a file, each with its place."""
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".ndjson", ".csv", ".tsv"):
        raise UsageError(f"expected a .csv, .tsv or .jsonl file of clicks, got {path}")
    with _opened(path) as lines:
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_rows(lines, path)
            return
        table = csv.DictReader(lines, delimiter="\t" if suffix == ".tsv" else ",")
        table.fieldnames = [name.strip().casefold() for name in table.fieldnames or ()]
        for row in table:
            yield f"{path}:{table.line_num}", {name: value for name, value in row.items() if isinstance(name, str)}


def _json_rows(lines: TextIO, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise UsageError(f"expected a JSON object on each line, found something else at {path}:{number}")
            yield f"{path}:{number}", row


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n" if path.suffix.lower().endswith("l") else "") as lines:
            yield lines
    except OSError as error:
        raise UsageError(f"could not read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"expected a table or lines of JSON in UTF-8 in {path}: {error}") from error
