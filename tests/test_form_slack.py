"""The export of a Slack workspace: threads with names, without what nobody said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exports import folder, read, zipped

from docsim.models import Document

_USERS = [
    {"id": "U01", "name": "ana", "profile": {"display_name": "Ana", "real_name": "Ana Ruiz"}},
    {"id": "U02", "name": "bo", "profile": {"display_name": "", "real_name": "Bo Lind"}},
    {"id": "B99", "name": "deploybot", "is_bot": True, "profile": {"real_name": "Deploy Bot"}},
]


def _said(ts: str, text: str, user: str = "U01", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "text": text, "ts": ts, "team": "T0ACME", **more}


def _files() -> dict[str, Any]:
    root = {"thread_ts": "1700000000.000100"}
    first = [
        _said(
            "1700000000.000100",
            "How do I rotate the <https://vault.example.com/pki|staging cert> &amp; key? <@U02>",
            **root,
        ),
        _said("1700000100.000000", "<@U01> has joined the channel", subtype="channel_join"),
        _said(
            "1700000200.000000", "build 17 failed", user="", subtype="bot_message", bot_id="B99", username="deploybot"
        ),
        _said("1700000300.000200", "See <#C02|ops-runbooks>, step 3", "U02", **root),
    ]
    second = [
        _said("1700090000.000300", "Worked, thanks! <!here>", reactions=[{"name": "tada", "users": ["U02"]}], **root),
        _said(
            "1700091000.000400",
            "",
            "U02",
            files=[
                {"name": "disk.txt", "title": "Disk usage", "permalink": "https://acme.slack.com/files/U02/F1/disk.txt"}
            ],
        ),
    ]
    return {
        "users.json": _USERS,
        "channels.json": [
            {"id": "C01", "name": "ops", "members": ["U01", "U02"]},
            {"id": "C02", "name": "ops-runbooks"},
        ],
        "dms.json": [{"id": "D01", "members": ["U01", "U02"]}],
        "ops/2023-11-14.json": first,
        "ops/2023-11-15.json": second,
        "D01/2023-11-16.json": [_said("1700150000.000100", "lunch?")],
        "integration_logs.json": [],
    }


@pytest.mark.parametrize("write", [zipped, folder])
def test_a_thread_is_a_document_with_names_and_without_joins_and_bots(tmp_path: Path, write: Any) -> None:
    found = read(write(tmp_path / "export.zip", _files()), "slack")
    assert sorted(found.documents) == ["D01/1700150000.000100", "ops/1700000000.000100", "ops/1700091000.000400"]
    assert found["ops/1700000000.000100"] == Document(
        "ops/1700000000.000100",
        "**Ana**: How do I rotate the staging cert (https://vault.example.com/pki) & key? @Bo Lind\n\n"
        "**Bo Lind**: See #ops-runbooks, step 3\n\n**Ana**: Worked, thanks! @here",
        "How do I rotate the staging cert (https://vault.example.com/pki) & key? ...",
        {
            "url": "https://app.slack.com/client/T0ACME/C01/thread/C01-1700000000.000100",
            "author": ["Ana", "Bo Lind"],
            "created": "2023-11-14T22:13:20Z",
            "updated": "2023-11-15T23:13:20Z",
            "channel": "ops",
            "channel_kind": "channel",
            "replies": 2,
            "reactions": ["tada"],
        },
    )
    assert found["D01/1700150000.000100"].metadata["channel"] == "Ana, Bo Lind"
    shared = found["ops/1700091000.000400"]
    assert shared.text == "**Bo Lind**: File: Disk usage"
    assert shared.metadata["url"] == "https://acme.slack.com/archives/C01/p1700091000000400"
    assert found.left_out == {
        "ops/1700000100.000000": "message of Slack",
        "ops/1700000200.000000": "bot message",
        "integration_logs.json": ".json",
    }
    assert not found.failures


def test_a_broken_day_is_a_failure_that_keeps_what_was_indexed(tmp_path: Path) -> None:
    files = _files() | {"ops/2023-11-15.json": '[{"ts": "1700090000.0'}
    found = read(zipped(tmp_path / "export.zip", files), "slack")
    assert [(one.path, one.identified) for one in found.failures] == [("ops/2023-11-15.json", False)]
    assert found["ops/1700000000.000100"].text.endswith("step 3")


def test_messages_of_any_shape_are_read_or_left_out(tmp_path: Path) -> None:
    odd = [
        None,
        3,
        {},
        {"ts": 1.5},
        {"ts": "1.0", "text": None},
        {"ts": "2.0", "text": "x", "files": "y", "edited": None},
    ]
    found = read(zipped(tmp_path / "export.zip", _files() | {"ops/2023-11-15.json": odd}), "slack")
    assert found["ops/2.0"].text == "**unknown**: x"


def test_what_is_older_than_a_date_is_left_out(tmp_path: Path) -> None:
    found = read(zipped(tmp_path / "export.zip", _files()), "slack", since="2023-11-16")
    assert list(found.documents) == ["D01/1700150000.000100"]
    assert found.left_out["ops/1700000000.000100"] == "older than 2023-11-16"
