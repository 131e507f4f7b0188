"""Tickets of Jira, Zendesk, GitHub and GitLab: each with its comments, whatever it was exported as."""

# ruff: noqa: E501  # exports have long lines

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exports import read, zipped

from docsim.ingest import forms
from docsim.models import Document

_JIRA_CSV = """Summary,Issue key,Issue id,Issue Type,Status,Project name,Reporter,Assignee,Created,Updated,Labels,Labels,Description,Comment,Comment,Outward issue link (Blocks),Custom field (Team)
VPN drops,OPS-17,10017,Bug,Done,Operations,ana,bo,03/Nov/23 4:05 PM,04/Nov/23 9:00 AM,vpn,network,"h2. What

It drops; see [the log|https://example.com/log].
{code:sh}
ping -c 1 host
{code}","03/Nov/23 5:00 PM;bo;Which client?","04/Nov/23 8:00 AM;ana;Version 2; the new one.",OPS-18,Blue
,,,,,,,,,,,,,,,,
"""


def test_an_export_of_jira_as_csv(tmp_path: Path) -> None:
    (tmp_path / "jira.csv").write_text(_JIRA_CSV, "utf-8")
    found = read(tmp_path / "jira.csv", "tickets")
    assert found["OPS-17"] == Document(
        "OPS-17",
        "OPS-17: VPN drops\n\n## What\n\nIt drops; see the log.\n\n```\nping -c 1 host\n```\n\n## Comments\n\n"
        "**bo**, 2023-11-03T17:00:00:\n\nWhich client?\n\n**ana**, 2023-11-04T08:00:00:\n\nVersion 2; the new one.",
        "VPN drops",
        {
            "kind": "Bug",
            "status": "Done",
            "project": "Operations",
            "author": "ana",
            "assignee": "bo",
            "created": "2023-11-03T16:05:00",
            "updated": "2023-11-04T09:00:00",
            "labels": ["vpn", "network"],
            "links": ["OPS-18"],
            "Custom field (Team)": "Blue",
            "comments": 2,
        },
    )


def _paragraph(*texts: str) -> dict[str, Any]:
    return {"type": "paragraph", "content": [{"type": "text", "text": text} for text in texts]}


def test_an_export_of_jira_as_json(tmp_path: Path) -> None:
    items = {"type": "bulletList", "content": [{"type": "listItem", "content": [_paragraph("one")]}]}
    issue = {
        "key": "OPS-17",
        "self": "https://acme.atlassian.net/rest/api/3/issue/10017",
        "fields": {
            "summary": "VPN drops",
            "description": {"type": "doc", "content": [_paragraph("It ", "drops."), items]},
            "reporter": {"displayName": "Ana Ruiz"},
            "created": "2023-11-03T16:05:00.000+0100",
            "updated": "2023-11-04T09:00:00.000+0100",
            "status": {"name": "Done"},
            "labels": ["vpn"],
            "issuetype": {"name": "Bug"},
            "project": {"name": "Operations"},
            "issuelinks": [{"outwardIssue": {"key": "OPS-18"}}],
            "comment": {
                "comments": [
                    {
                        "author": {"displayName": "Bo"},
                        "created": "2023-11-03T17:00:00.000+0100",
                        "body": "{code}x{code}",
                    }
                ]
            },
        },
    }
    (tmp_path / "search.json").write_text(json.dumps({"startAt": 0, "issues": [issue]}))
    found = read(tmp_path / "search.json", "tickets")
    assert found["OPS-17"] == Document(
        "OPS-17",
        "OPS-17: VPN drops\n\nIt drops.\n\n* one\n\n## Comments\n\n**Bo**, 2023-11-03T17:00:00+01:00:\n\n```\nx\n```",
        "VPN drops",
        {
            "url": "https://acme.atlassian.net/browse/OPS-17",
            "author": "Ana Ruiz",
            "created": "2023-11-03T16:05:00+01:00",
            "updated": "2023-11-04T09:00:00+01:00",
            "labels": ["vpn"],
            "kind": "Bug",
            "links": ["OPS-18"],
            "status": "Done",
            "project": "Operations",
            "comments": 1,
        },
    )


_GITHUB = {
    "number": 42,
    "title": "Crash at night",
    "body": "It crashes.",
    "state": "OPEN",
    "author": {"login": "ana"},
    "createdAt": "2023-11-03T16:05:00Z",
    "updatedAt": "2023-11-04T09:00:00Z",
    "url": "https://github.com/acme/tool/issues/42",
    "labels": [{"name": "bug"}, {"name": "area/core"}],
    "assignees": [{"login": "bo"}],
    "comments": [{"author": {"login": "bo"}, "body": "Me too", "createdAt": "2023-11-03T17:00:00Z"}],
}
_ISSUE = Document(
    "acme/tool#42",
    "acme/tool#42: Crash at night\n\nIt crashes.\n\n## Comments\n\n**bo**, 2023-11-03T17:00:00Z:\n\nMe too",
    "Crash at night",
    {
        "url": "https://github.com/acme/tool/issues/42",
        "author": "ana",
        "created": "2023-11-03T16:05:00Z",
        "updated": "2023-11-04T09:00:00Z",
        "status": "open",
        "labels": ["bug", "area/core"],
        "assignee": "bo",
        "kind": "issue",
        "project": "acme/tool",
        "comments": 1,
    },
)


@pytest.mark.parametrize("name", ["issues.json", "issues.jsonl"])
def test_issues_of_github(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(
        json.dumps([_GITHUB]) if name.endswith("json") else json.dumps(_GITHUB) + "\n{broken\n"
    )
    found = read(tmp_path / name, "tickets")
    assert found.documents == {"acme/tool#42": _ISSUE}
    assert [one.path for one in found.failures] == ([] if name.endswith("json") else ["issues.jsonl:2"])


def test_an_archive_that_github_migrates_with(tmp_path: Path) -> None:
    address = "https://github.com/acme/tool/issues/42"
    issue = {"type": "issue", "url": address, "user": "https://github.com/ana", "title": "Crash at night", "body": "It crashes.",
             "labels": ["https://github.com/acme/tool/labels/bug"], "created_at": "2023-11-03T16:05:00Z"}  # fmt: skip
    comment = {
        "type": "issue_comment",
        "issue": address,
        "user": "https://github.com/bo",
        "body": "Me too",
        "created_at": "2023-11-03T17:00:00Z",
    }
    files = {"schema.json": {}, "issues_000001.json": [issue], "issue_comments_000001.json": [comment]}
    found = read(zipped(tmp_path / "m.zip", files), "tickets")["acme/tool#42"]
    assert found.text.endswith("**bo**, 2023-11-03T17:00:00Z:\n\nMe too")
    assert {name: found.metadata[name] for name in ("author", "labels", "created")} == {
        "author": "ana",
        "labels": ["bug"],
        "created": "2023-11-03T16:05:00Z",
    }


def test_tickets_of_zendesk(tmp_path: Path) -> None:
    ticket = {
        "id": 7,
        "subject": "No sound",
        "description": "My radio is silent.",
        "requester": {"name": "Ana"},
        "requester_id": 5,
        "status": "solved",
        "tags": ["radio"],
        "created_at": "2023-11-03T16:05:00Z",
        "updated_at": "2023-11-04T09:00:00Z",
        "url": "https://acme.zendesk.com/api/v2/tickets/7.json",
        "comments": [
            {"author": {"name": "Ana"}, "body": "My radio  is silent.", "created_at": "2023-11-03T16:05:00Z"},
            {"author": {"name": "Bo"}, "plain_body": "Turn it up.", "body": "x", "created_at": "2023-11-03T17:00:00Z"},
        ],
    }
    (tmp_path / "t.json").write_text(json.dumps({"tickets": [ticket]}))
    found = read(tmp_path / "t.json", "tickets")["7"]
    assert (
        found.text
        == "7: No sound\n\nMy radio is silent.\n\n## Comments\n\n**Bo**, 2023-11-03T17:00:00Z:\n\nTurn it up."
    )
    assert (found.metadata["url"], found.metadata["labels"]) == ("https://acme.zendesk.com/agent/tickets/7", ["radio"])
    (tmp_path / "t.csv").write_text(
        "Ticket ID,Subject,Requester,Status,Tags,Requested,Description\n7,No sound,Ana,Solved,radio old,2023-11-03 16:05,Silent\n"
    )
    row = read(tmp_path / "t.csv", "tickets")["7"]
    assert (row.text, row.metadata["labels"], row.metadata["created"]) == (
        "7: No sound\n\nSilent",
        ["radio", "old"],
        "2023-11-03T16:05:00",
    )


def test_issues_of_gitlab_and_rows_that_cannot_be_read(tmp_path: Path) -> None:
    text = 'Title,Description,Issue ID,URL,State,Author,Created At (UTC),Labels\nCrash,"It crashes",5,https://gitlab.example.com/a/-/issues/5,Open,Ana,2023-11-03 16:05:00,"bug,ui"\nopen,"quote\n'
    (tmp_path / "g.csv").write_text(text)
    found = read(tmp_path / "g.csv", "tickets")
    assert found["5"].metadata == {
        "url": "https://gitlab.example.com/a/-/issues/5",
        "status": "Open",
        "author": "Ana",
        "created": "2023-11-03T16:05:00",
        "labels": ["bug", "ui"],
    }
    assert [(one.path, one.identified) for one in found.failures] == [("g.csv:3", False)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,title,text\n1,a,b\n"),
        ("a.jsonl", '{"id": 1, "text": "x", "title": "t"}\n'),
        ("a.json", '{"number": 1}'),
        ("b.csv", "name,age\n"),
    ],
)
def test_records_of_other_kinds_are_no_tickets(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert forms.recognised(tmp_path / name) == ""
