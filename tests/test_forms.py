"""Exports given as sources: recognised, read again, moved, pruned, overridden, and added by others."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from exports import folder, zipped

from docsim.cli import main
from docsim.errors import SourceError, UsageError
from docsim.ingest import forms
from docsim.ingest.forms import page
from docsim.ingest.sources import ReadingOptions, open_source
from docsim.ingest.trees import Tree
from docsim.models import Document, Entry, Item


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def _index(encoder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    result = _run("index", *arguments, "--index", "made", "--encoder", str(encoder), "--json", code=code)
    found: dict[str, Any] = json.loads(result.stdout)
    return {name: found[name] for name in ("added", "changed", "unchanged", "removed", "failed", "left_out")}


def _message(ts: str, text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": "U1", "ts": ts, "text": text, **more}


def _slack(*days: list[dict[str, Any]]) -> dict[str, Any]:
    lists = {
        "users.json": [{"id": "U1", "profile": {"real_name": "Ana"}}],
        "channels.json": [{"id": "C1", "name": "ops"}],
    }
    return lists | {f"ops/2026-01-0{number}.json": day for number, day in enumerate(days, 1)}


def test_a_newer_export_takes_the_place_of_the_one_before(here: Path, tiny_encoder_dir: Path) -> None:
    first = [_message("1767225600.1", "the disk is full"), _message("1767225700.1", "who is on call?")]
    bot = _message("1767225800.1", "deployed", subtype="bot_message")
    old = zipped(here / "Acme Slack export Jan 1 2026 - Jan 2 2026.zip", _slack([*first, bot]))
    counts = {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "failed": 0, "left_out": {"bot message": 1}}
    assert _index(tiny_encoder_dir, old.name) == counts
    assert _index(tiny_encoder_dir, old.name) == counts | {"added": 0, "unchanged": 2}
    old.unlink()
    answer = _message("1767312000.1", "Bo is", thread_ts="1767225700.1")
    new = zipped(here / "Acme Slack export Jan 1 2026 - Jan 9 2026.zip", _slack([first[1]], [answer]))
    assert _index(tiny_encoder_dir, new.name) == counts | {"added": 0, "changed": 1, "removed": 1, "left_out": {}}
    shown = json.loads(_run("show", "ops/1767225700.1", "--index", "made", "--json").stdout)
    assert shown["title"] == "who is on call?"
    assert shown["metadata"]["updated"] == "2026-01-02T00:00:00Z"
    new.write_bytes(new.read_bytes()[:-30])
    damaged = _run("index", new.name, "--index", "made", code=2)
    assert "the archive is damaged, or cut short" in damaged.output
    zipped(new, {"notes/wind.md": "# Wind"})
    assert _index(tiny_encoder_dir, new.name, code=3) == counts | {"added": 0, "left_out": {".md": 1}}
    assert json.loads(_run("status", "--index", "made", "--json").stdout)["documents"] == 1
    # what waits behind a page that is converted apart is read though all of the archive was gone through
    zipped(new, {"notes/a.html": "<h1>Air</h1>", "notes/b.html": "<h1>Sea</h1>", "notes/wind.md": "# Wind"})
    assert _index(tiny_encoder_dir, new.name, "--as", "files") == counts | {"added": 3, "removed": 1, "left_out": {}}


def test_an_unpacked_export_that_is_moved_stays_the_same_source(here: Path, tiny_encoder_dir: Path) -> None:
    said = [_message(f"176722560{number}.1", f"the pump number {number} is loud") for number in range(3)]
    counts = {"added": 3, "changed": 0, "unchanged": 0, "removed": 0, "failed": 0, "left_out": {}}
    assert _index(tiny_encoder_dir, str(folder(here / "first", _slack(said)))) == counts
    (here / "first").rename(here / "second")
    (here / "second" / "ops" / "2026-01-01.json").write_text(json.dumps(said[:2]))
    assert _index(tiny_encoder_dir, "second") == counts | {"added": 0, "unchanged": 2, "removed": 1}
    (here / "second" / "ops" / "2026-01-01.json").write_text("[{")
    broken = _index(tiny_encoder_dir, "second", code=3)
    assert broken == counts | {"added": 0, "failed": 1}
    assert _index(tiny_encoder_dir, "second", "--since", "2027-01-01", code=3)["failed"] == 1
    assert json.loads(_run("status", "--index", "made", "--json").stdout)["documents"] == 2


def test_what_is_given_is_recognised_by_its_content(here: Path) -> None:
    zipped(here / "a.zip", _slack([_message("1.1", "x")]))
    zipped(here / "b.zip", {"docs/a.md": "# A"})
    folder(here / "plain", {"a.md": "# A", "users.json": "[]"})
    folder(here / "file", {"a.json": '{"a": 1}', "t.csv": "id,text\n1,x\n"})
    found = {str(one): open_source(str(one)) for one in (Path("a.zip"), Path("b.zip"), Path("plain"))}
    assert {name: (one.kind, one.form) for name, one in found.items()} == {
        "a.zip": ("export", "slack"),
        "b.zip": ("export", "files"),
        "plain": ("folder", ""),
    }
    assert [(open_source(f"file/{name}").kind, open_source(f"file/{name}").form) for name in ("a.json", "t.csv")] == [
        ("file", ""),
        ("records", ""),
    ]
    assert open_source("plain", reading=ReadingOptions(form="site")).form == "site"
    assert open_source("plain", reading=ReadingOptions(form="files")).form == ""
    with pytest.raises(UsageError, match=r"expected a form of slack, .*, got 'slac'"):
        open_source("plain", reading=ReadingOptions(form="slac"))
    with pytest.raises(UsageError, match="expected a date such as 2026-01-31, got 'May'"):
        open_source("plain", reading=ReadingOptions(since="May"))


def test_another_package_adds_a_form(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def documents(tree: Tree) -> Iterator[Item]:
        for path in tree.files:
            if path.endswith(".note"):
                yield page.page(path, tree.text(path), "", author="Ana")

    other = SimpleNamespace(
        recognise=lambda tree: any(one.endswith(".note") for one in tree.glance()), documents=documents
    )
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda one: other)
    point = importlib.metadata.EntryPoint("notes", "elsewhere:form", forms.GROUP)
    monkeypatch.setattr(forms, "_added", lambda: {"notes": point})
    folder(here / "kept", {"a.note": "Wind turns it.", "b.bin": b"\0"})
    source = open_source("kept")
    assert source.form == "notes"
    first, second = source.entries()
    assert first == Document("a.note", "Wind turns it.", "Wind turns it.", {"author": "Ana"})
    assert (second.path, second.reason) == ("b.bin", ".bin")  # type: ignore[union-attr]


def test_an_error_of_a_form_is_one_in_plain_words(here: Path) -> None:
    path = zipped(here / "a.zip", _slack([]) | {"users.json": [{"id": "U1", "profile": "x"}]})
    with pytest.raises(SourceError, match="expected an export of slack, got one that it could not read"):
        list(forms.documents(path, "slack"))


def test_an_archive_is_read_as_the_folder_that_it_packs(here: Path) -> None:
    files = {"docs/wind.md": "---\ntags: [a]\n---\n# Wind", "docs/x.py": "x", "README": "Read me", "t.csv": "id,text"}
    zipped(here / "a.zip", {f"handbook-1.2/{name}": content for name, content in files.items()})
    source = open_source("a.zip")
    loaded = [one.load() for one in source.entries() if isinstance(one, Entry)]
    assert loaded == [
        Document("README", "Read me", "Read me"),
        Document("docs/wind.md", "# Wind", "Wind", {"tags": ["a"]}),
    ]
    assert {one.path: one.reason for one in source.entries() if not isinstance(one, Entry | Document)} == {
        "docs/x.py": ".py",
        "t.csv": ".csv",
    }
    assert source.name == "a"


@pytest.mark.parametrize(
    ("written", "date"),
    [
        (1700000000, "2023-11-14T22:13:20Z"),
        ("1700000000.000100", "2023-11-14T22:13:20Z"),
        (1700000000000, "2023-11-14T22:13:20Z"),
        ("2023-11-03 16:05:00.123", "2023-11-03T16:05:00"),
        ("2023-11-03T16:05:00.000+0100", "2023-11-03T16:05:00+01:00"),
        ("2023-11-03 16:05:00 UTC", "2023-11-03T16:05:00Z"),
        ("Fri, 3 Nov 2023 16:05:00 +0000", "2023-11-03T16:05:00Z"),
        ("03/Nov/23 4:05 PM", "2023-11-03T16:05:00"),
        ("November 3, 2023 4:05 PM (GMT+1)", "2023-11-03T16:05:00"),
        ("November 3, 2023", "2023-11-03"),
        ("Nov 03, 2023", "2023-11-03"),
        ("2023/11/03 16:05", "2023-11-03T16:05:00"),
        ("2023-11-03", "2023-11-03"),
        ("soon", "soon"),
        (None, ""),
    ],
)
def test_dates_become_iso_8601(written: object, date: str) -> None:
    assert page.iso(written) == date
