"""Tickets of Jira, Zendesk, GitHub and GitLab, as CSV, JSON or JSON lines: a ticket with its comments is a document."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from docsim.errors import SourceError
from docsim.ingest import encodings, record_files, separated
from docsim.ingest.forms import ticket_csv, ticket_json
from docsim.ingest.forms.ticket import Ticket
from docsim.ingest.trees.tree import Single, Tree
from docsim.models import Document, Failure, Item

__all__ = ["documents", "recognise"]

_MIGRATED = re.compile(r"(?:^|/)(issues|pull_requests|issue_comments|users|repositories)_\d{6}\.json\Z")


def recognise(tree: Tree) -> bool:
    """Return whether a file has the columns or fields of tickets, or an archive is one that GitHub migrates with."""
    names = tree.glance()
    if not isinstance(tree, Single):
        return any((match := _MIGRATED.search(one)) and match[1] == "issues" for one in names)
    name, head = names[0].lower(), tree.read(names[0], most=1 << 16)
    if encodings.is_binary(head):
        return False
    if name.endswith((".csv", ".tsv")):
        first = next(_rows(encodings.decode(head), name), None)
        return first is not None and ticket_csv.is_known(first.cells)
    if name.endswith((".jsonl", ".ndjson")):
        return _is_known(head.partition(b"\n")[0])
    return name.endswith(".json") and len(head) > 1 and ticket_json.looks_like(encodings.decode(head))


def documents(tree: Tree) -> Iterator[Item]:
    """Yield every ticket.

    Raises:
        SourceError: A file is not in the format that its name says.
    """
    if not isinstance(tree, Single):
        yield from _migrated(tree)
        return
    for path in tree.files:
        name = path.lower()
        if name.endswith((".csv", ".tsv")):
            yield from _from_csv(tree, path)
        elif name.endswith((".jsonl", ".ndjson")):
            yield from _from_lines(tree, path)
        else:
            yield from map(_document, ticket_json.tickets(_loaded(tree, path)))


def _document(ticket: Ticket) -> Document:
    return ticket.document()


def _rows(text: str, name: str) -> Iterator[separated.Row]:
    return separated.rows(io.StringIO(text, newline=""), tabs=name.endswith(".tsv"), longest=record_files.RECORD_LIMIT)


def _from_csv(tree: Tree, path: str) -> Iterator[Item]:
    rows = _rows(tree.text(path), path.lower())
    header = next(rows, None)
    columns = [one.strip().lstrip("\ufeff") for one in header.cells] if header else []
    if not ticket_csv.is_known(columns):
        raise SourceError(f"expected the columns of tickets in {path}, got {', '.join(columns[:10]) or 'none'}")
    for row in rows:
        if row.reason:
            yield Failure(f"{path}:{row.line}", row.reason, identified=False)
            continue
        cells: dict[str, list[str]] = defaultdict(list)
        for name, cell in zip(columns, row.cells, strict=False):
            if cell.strip():
                cells[name].append(cell)
        ticket = ticket_csv.ticket(cells)
        yield ticket.document() if ticket else Failure(f"{path}:{row.line}", "the row has no key", identified=False)


def _from_lines(tree: Tree, path: str) -> Iterator[Item]:
    for number, line in enumerate(tree.text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = list(ticket_json.tickets(json.loads(line)))
        except (ValueError, RecursionError):
            yield Failure(f"{path}:{number}", "the line is not valid JSON", identified=False)
            continue
        yield from map(_document, found)
        if not found:
            yield Failure(f"{path}:{number}", "the line holds no ticket", identified=False)


def _is_known(line: bytes) -> bool:
    try:
        return next(ticket_json.tickets(json.loads(line)), None) is not None
    except (ValueError, RecursionError, SourceError):
        return False


def _loaded(tree: Tree, path: str) -> Any:
    try:
        return json.loads(tree.text(path))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"expected JSON in {path}, got something else ({type(error).__name__})") from error


def _migrated(tree: Tree) -> Iterator[Item]:
    """Yield the issues and pull requests of GitHub's migration archive, which keeps comments apart."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for path in tree.files:
        if match := _MIGRATED.search(path):
            found[match[1]] += [one for one in _loaded(tree, path) if isinstance(one, dict)]
    comments: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in found["issue_comments"]:
        comments[str(one.get("issue") or one.get("pull_request") or one.get("issue_url"))].append(one)
    for one in [*found["issues"], *found["pull_requests"]]:
        ticket = ticket_json.migrated(one, comments.get(str(one.get("url")), []))
        if ticket:
            yield ticket.document()
