"""Tickets as JSON: what the APIs of GitHub, Jira and Zendesk give, in a list or under ``issues`` or ``tickets``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docsim.ingest.forms import page
from docsim.ingest.forms.ticket import Comment, Ticket, marked_up

__all__ = ["looks_like", "migrated", "tickets"]

_KEYS = ("issues", "tickets", "items", "nodes", "data")
_LOOKS = (
    re.compile(
        r'"key"\s*:\s*"[A-Z][A-Z0-9_]+-\d+".*"fields"\s*:\s*\{|"fields"\s*:\s*\{.*"key"\s*:\s*"[A-Z][A-Z0-9_]+-\d+"',
        re.DOTALL,
    ),
    re.compile(r'(?=.*"number"\s*:\s*\d)(?=.*"title"\s*:\s*")(?=.*"(?:body|state)"\s*:)', re.DOTALL),
    re.compile(r'(?=.*"subject"\s*:\s*")(?=.*"(?:requester_id|requester|submitter_id|via)"\s*:)', re.DOTALL),
)


def looks_like(head: str) -> bool:
    """Return whether JSON that begins so holds tickets."""
    return head.lstrip()[:1] in ("[", "{") and any(
        one.match(head) or (n == 0 and one.search(head)) for n, one in enumerate(_LOOKS)
    )


def tickets(found: object) -> Iterator[Ticket]:
    """Yield the tickets in a value; what is none is passed over."""
    if isinstance(found, list):
        for one in found:
            yield from tickets(one)
    elif isinstance(found, dict):
        if ticket := _ticket(found):
            yield ticket
            return
        listed: list[Any] = next((found[key] for key in _KEYS if isinstance(found.get(key), list)), [])
        for one in listed:
            if isinstance(one, dict) and (ticket := _ticket(one)):
                yield ticket


def migrated(one: Mapping[str, Any], comments: Sequence[Mapping[str, Any]]) -> Ticket | None:
    """Return an issue of GitHub's migration archive, in which people are addresses of their pages."""
    address = str(one.get("url") or "")
    number = re.search(r"github[^/]*/([^/]+/[^/]+)/(?:issues|pull)/(\d+)\Z", address)
    if number is None:
        return None
    return _github({**one, "number": int(number[2]), "html_url": address, "comments": list(comments)})


def _ticket(one: Mapping[str, Any]) -> Ticket | None:
    if isinstance(one.get("fields"), dict) and one.get("key"):
        return _jira(one)
    if "number" in one and "title" in one and ("body" in one or "state" in one):
        return _github(one)
    if (
        "subject" in one
        and "id" in one
        and any(name in one for name in ("description", "status", "comments", "requester_id"))
    ):
        return _zendesk(one)
    return None


def _github(one: Mapping[str, Any]) -> Ticket:
    address = str(one.get("html_url") or one.get("url") or "")
    said = [
        Comment(
            _person(comment.get("author") or comment.get("user")),
            _date(comment, "created"),
            str(comment.get("body") or ""),
        )
        for comment in _dicts(one.get("comments"))
    ]
    repository = re.search(r"github[^/]*/(?:repos/)?([^/]+/[^/]+)/(?:issues|pull)", address)
    facts = {
        "url": address.replace("api.github.com/repos", "github.com"),
        "author": _person(one.get("author") or one.get("user")),
        "created": _date(one, "created"),
        "updated": _date(one, "updated"),
        "resolved": _date(one, "closed"),
        "status": str(one.get("state") or "").lower(),
        "labels": [_name(label) for label in _list(one.get("labels"))],
        "assignee": page.several(_person(person) for person in _list(one.get("assignees"))),
        "milestone": _name(one.get("milestone")),
        "kind": "pull request" if one.get("pull_request") or "/pull/" in address else "issue",
        "project": repository[1] if repository else "",
    }
    key = f"{repository[1] if repository else ''}#{one['number']}"
    return Ticket(key, str(one["title"]), str(one.get("body") or ""), tuple(said), facts)


def _jira(one: Mapping[str, Any]) -> Ticket:
    fields = one["fields"]
    said = [
        Comment(_person(comment.get("author")), page.iso(comment.get("created")), _jira_text(comment.get("body")))
        for comment in _dicts(_mapping(fields.get("comment")).get("comments"))
    ]
    base = re.match(r"https?://[^/]+", str(one.get("self") or ""))
    facts = {
        "url": f"{base[0]}/browse/{one['key']}" if base else "",
        "author": _person(fields.get("reporter") or fields.get("creator")),
        "created": page.iso(fields.get("created")),
        "updated": page.iso(fields.get("updated")),
        "resolved": page.iso(fields.get("resolutiondate")),
        "labels": [str(label) for label in _list(fields.get("labels"))],
        "assignee": _person(fields.get("assignee")),
        "kind": _name(fields.get("issuetype")),
        "parent": _mapping(fields.get("parent")).get("key"),
        "links": _jira_links(fields),
    }
    named = {name: _name(fields.get(name)) for name in ("status", "priority", "project", "resolution")}
    components = [_name(part) for part in _list(fields.get("components"))]
    text = _jira_text(fields.get("description"))
    facts |= named | {"components": components}
    return Ticket(str(one["key"]), str(fields.get("summary") or ""), text, tuple(said), facts)


def _jira_links(fields: Mapping[str, Any]) -> list[str]:
    """Return the keys of the issues that an issue is linked with, in either direction."""
    linked = [
        _mapping(link.get(side)).get("key")
        for link in _dicts(fields.get("issuelinks"))
        for side in ("outwardIssue", "inwardIssue")
    ]
    return [str(key) for key in linked if key]


def _zendesk(one: Mapping[str, Any]) -> Ticket:
    comments = list(_dicts(one.get("comments")))
    said = [
        Comment(
            _person(comment.get("author")) or str(comment.get("author_id") or ""),
            _date(comment, "created"),
            str(comment.get("plain_body") or comment.get("body") or ""),
        )
        for comment in comments
    ]
    text = str(one.get("description") or "")
    if said and " ".join(said[0].text.split()) == " ".join(text.split()):
        said = said[1:]  # the first comment is the description
    facts = {
        "url": str(one.get("url") or "").replace("/api/v2/tickets/", "/agent/tickets/").removesuffix(".json"),
        "author": _person(one.get("requester") or one.get("submitter")) or str(one.get("requester_id") or ""),
        "created": _date(one, "created"),
        "updated": _date(one, "updated"),
        "labels": [str(tag) for tag in _list(one.get("tags"))],
        "assignee": _person(one.get("assignee")),
        "channel": str(_mapping(one.get("via")).get("channel") or ""),
        "kind": one.get("type"),
    }
    named = {name: one.get(name) for name in ("status", "priority")}
    return Ticket(str(one["id"]), str(one.get("subject") or ""), text, tuple(said), {**facts, **named})


def _date(one: Mapping[str, Any], name: str) -> str:
    return page.iso(one.get(f"{name}_at") or one.get(f"{name}At"))


def _person(value: object) -> str:
    """Return the name of a person, who may be an object, a name or the address of a page."""
    if isinstance(value, dict):
        return str(value.get("displayName") or value.get("login") or value.get("name") or value.get("email") or "")
    return _last(str(value or ""))


def _name(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or value.get("title") or value.get("key") or "")
    return _last(str(value or ""))


def _last(written: str) -> str:
    """Return the last part of an address, and any other text as it is."""
    return written.rstrip("/").rpartition("/")[2] if "://" in written else written


def _jira_text(value: object) -> str:
    """Return a text of Jira: its own markup, or a document of nodes in newer versions."""
    return _nodes(value).strip() if isinstance(value, dict) else marked_up(str(value or ""))


_AROUND = {
    **{
        "codeBlock": ("```\n", "\n```\n\n"),
        "paragraph": ("", "\n\n"),
        "blockquote": ("", "\n\n"),
        "tableRow": ("", "\n"),
    },
    **{"orderedList": ("", "\n"), "bulletList": ("", "\n"), "tableCell": ("", " | "), "tableHeader": ("", " | ")},
}
_BULLETS = {"orderedList": "1. ", "bulletList": "* "}


def _nodes(node: Mapping[str, Any], bullet: str = "") -> str:
    """Return a node of a document of Jira, with those in it, as Markdown."""
    kind, attributes = str(node.get("type")), _mapping(node.get("attrs"))
    if kind in ("text", "mention", "emoji", "status", "inlineCard", "date", "hardBreak"):
        said = node.get("text") or attributes.get("text") or attributes.get("shortName") or attributes.get("url")
        return "\n" if kind == "hardBreak" else str(said or "")
    inner = "".join(_nodes(one, _BULLETS.get(kind, bullet)) for one in _dicts(node.get("content")))
    if kind == "heading":
        return f"{'#' * int(attributes.get('level') or 1)} {inner}\n\n"
    if kind == "listItem":
        return f"{bullet}{inner.strip()}\n"
    before, after = _AROUND.get(kind, ("", ""))
    return f"{before}{inner.strip() if kind.startswith('tableC') else inner}{after}"


def _dicts(value: object) -> Iterator[Mapping[str, Any]]:
    return (one for one in _list(value) if isinstance(one, dict))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
