"""Tickets as CSV: which columns of Jira, Zendesk, GitHub and GitLab say what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docsim.ingest.forms import page
from docsim.ingest.forms.ticket import Comment, Ticket, marked_up

__all__ = ["is_known", "ticket"]

_COMMENT = re.compile(r"(?P<date>[^;\n]{6,40});(?P<author>[^;\n]{1,100});(?P<text>.*)\Z", re.DOTALL)
_LINKED = re.compile(r"(?:Inward|Outward) issue link")


@dataclass(frozen=True, slots=True)
class _Tool:
    """The columns of a tool.

    Attributes:
        needed: Those by which it is recognised, in lower case; of a tuple any.
        key: That with the name of a ticket.
        title: That with its title.
        text: That with its description.
        facts: The metadata that other columns become; the rest keep their names.
        comments: Those with a comment each.
    """

    needed: tuple[str | tuple[str, ...], ...]
    key: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    comments: tuple[str, ...] = ("comment", "comments")


_COMMON = {
    **{"created": "created", "created at": "created", "created_at": "created", "created at (utc)": "created"},
    **{"requested": "created", "created date": "created", "updated": "updated", "updated at": "updated"},
    **{
        "updated_at": "updated",
        "updated at (utc)": "updated",
        "last updated": "updated",
        "labels": "labels",
        "tags": "labels",
    },
    **{"reporter": "author", "author": "author", "requester": "author", "requester name": "author", "user": "author"},
    **{"status": "status", "state": "status", "url": "url", "link": "url", "html_url": "url", "assignee": "assignee"},
    **{
        "priority": "priority",
        "resolved": "resolved",
        "closed_at": "resolved",
        "closed at (utc)": "resolved",
        "solved at": "resolved",
    },
    **{
        "project name": "project",
        "issue type": "kind",
        "ticket type": "kind",
        "parent": "parent",
        "milestone": "milestone",
    },
}
_TOOLS = (
    _Tool(("issue key", "summary"), ("issue key",), ("summary",), ("description",), _COMMON),
    _Tool(("issue id", "title", "description", ("state", "url")), ("issue id",), ("title",), ("description",), _COMMON),
    _Tool((("ticket id", "id"), "subject", ("requester", "requester name", "requester id", "status")),
          ("ticket id", "id"), ("subject",), ("description", "body", "first comment"), _COMMON),
    _Tool(("number", "title", ("body", "state")), ("number",), ("title",), ("body", "description"), _COMMON),
)  # fmt: skip
_DATES = {"created", "updated", "resolved"}
_HIDDEN = {
    "issue id",
    "project key",
    "project type",
    "project lead",
    "project description",
    "project url",
    "watchers",
    "votes",
}


def is_known(columns: Sequence[str]) -> bool:
    """Return whether columns are those of a tool for tickets."""
    return _tool({one.strip().lstrip("\ufeff").lower() for one in columns}) is not None


def _tool(columns: set[str]) -> _Tool | None:
    if "text" in columns:  # a file of records, whose text is named
        return None
    return next((one for one in _TOOLS if all(_has(columns, needed) for needed in one.needed)), None)


def _has(columns: set[str], needed: str | tuple[str, ...]) -> bool:
    return needed in columns if isinstance(needed, str) else any(one in columns for one in needed)


def ticket(cells: Mapping[str, Sequence[str]]) -> Ticket | None:
    """Return the ticket in a row; None if it has no key.

    Args:
        cells: The cells that are not empty, by column; columns of one name together.
    """
    lowered = {name.lower(): list(values) for name, values in cells.items()}
    tool = next((one for one in _TOOLS if _first(lowered, one.key) and _first(lowered, one.title)), None)
    tool = tool or next((one for one in _TOOLS if _first(lowered, one.key)), None)
    if tool is None:
        return None
    number = _first(lowered, tool.key)
    title = _first(lowered, tool.title)
    text = marked_up(_first(lowered, tool.text))
    comments = [_comment(one) for name in tool.comments for one in lowered.get(name, ())]
    return Ticket(number, title, text, tuple(comments), _facts(cells, tool))


def _first(cells: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return next((cells[name][0].strip() for name in names if cells.get(name)), "")


def _comment(written: str) -> Comment:
    """Return a comment, before whose text Jira writes the date and the author."""
    match = _COMMENT.match(written.strip())
    date = page.iso(match["date"]) if match else ""
    if match is None or not re.match(r"\d{4}-", date):
        return Comment("", "", marked_up(written.strip()))
    return Comment(match["author"].strip(), date, marked_up(match["text"].strip()))


def _facts(cells: Mapping[str, Sequence[str]], tool: _Tool) -> dict[str, object]:
    used = {*tool.key, *tool.title, *tool.text, *tool.comments, *_HIDDEN}
    facts: dict[str, object] = {}
    links: list[str] = []
    for name, values in cells.items():
        lowered = name.lower()
        if lowered in used:
            continue
        if _LINKED.match(name):
            links += values
            continue
        fact = tool.facts.get(lowered, name)
        if fact == "labels":
            known = facts.get("labels")
            labels = [one.strip() for value in values for one in re.split(r"[,\s]+", value) if one.strip()]
            facts["labels"] = [*(known if isinstance(known, list) else []), *labels]
        elif fact in _DATES:
            facts[fact] = page.iso(values[0])
        else:
            facts.setdefault(fact, page.several(one.strip() for one in values))
    return facts | {"links": list(dict.fromkeys(links))}
