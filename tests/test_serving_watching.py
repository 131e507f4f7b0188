"""A server that keeps its index up to date: with what changes, what goes, and what cannot be read."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from served import made, problem, serving

from docsim import Index
from docsim.cli import main
from docsim.errors import UsageError
from docsim.ingest.sources import ReadingOptions, open_source
from docsim.jobs.sync import sync
from docsim.serving import watching


def until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait until something holds, and return whether it came to."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()


def ids(client: httpx.Client) -> list[str]:
    return [one["id"] for one in client.get("/v1/search", params={"text": "soup keys", "k": 50}).json()["hits"]]


def test_files_that_come_change_and_go_are_followed(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "soup.md").write_text("# Soup\n\nBoil the lentils.")
    index = made(pages / "index", tiny_encoder_dir, [])  # within the source: its own files are no change
    with serving(index, "--watch", str(pages)) as running, running.client() as client:
        assert until(lambda: ids(client) == ["soup.md"])
        (pages / "keys.md").write_text("# Keys\n\nRotate the signing keys.")
        assert until(lambda: set(ids(client)) == {"soup.md", "keys.md"})
        (pages / "soup.md").write_text("# Soup\n\nCook the soup in water.")
        assert until(lambda: "Cook" in client.get("/v1/documents/soup.md").json()["text"])
        (pages / "broken.txt").write_bytes(b"\0\1\2\3" * 100)
        (pages / "keys.md").unlink()
        assert until(lambda: ids(client) == ["soup.md"])
        problem(client.get("/v1/documents/keys.md"), 404)
        revision = client.get("/v1/status").json()["revision"]
        time.sleep(2)
        assert client.get("/v1/status").json()["revision"] == revision  # nothing is read again and again


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    records = tmp_path / "records.jsonl"
    records.write_text('{"id": "a", "text": "soup"}\n{"id": "b"}\n')
    index = made(tmp_path / "index", tiny_encoder_dir, [])
    with serving(index, "--watch", str(records)) as running, running.client() as client:
        assert until(lambda: ids(client) == ["a"])
        assert [one["path"] for one in client.get("/v1/failures").json()["failures"]] == ["b"]
        assert until(lambda: any("not read: b in the source records" in line for line in running.log))
        replacement = tmp_path / "new"
        replacement.write_text('{"id": "a", "text": "soup"}\n{"id": "b", "text": "keys"}\n')
        replacement.replace(records)  # as editors save
        assert until(lambda: set(ids(client)) == {"a", "b"})
        assert client.get("/v1/failures").json()["failures"] == []
    with Index.open(index) as opened:
        assert opened.counts().documents == 2


def test_standard_input_cannot_be_watched() -> None:
    with pytest.raises(UsageError, match="expected folders and files to watch"):
        watching.watched_sources(["-"])


def test_a_source_is_read_again_after_a_while_without_any_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_text("a")
    watched = watching.Watching(watching.watched_sources([str(tmp_path)]), tmp_path / "index", lambda: None)
    assert watched.due() is not None
    assert watched.due() is None
    monkeypatch.setattr(watching, "SCAN_SECONDS", 0.0)
    assert watched.due() is not None


def test_watch_keeps_an_index_up_to_date_without_a_server_until_it_is_ended(
    tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "tickets.csv"
    table.write_text("id,Description\n1,The first ticket\n")
    index = made(tmp_path / "index", tiny_encoder_dir, [])
    reading = ReadingOptions(text_column="Description")
    sync(index, [open_source(str(table), reading=reading)])  # it is read so from then on
    found: list[str] = []

    def change() -> None:
        table.write_text("id,Description\n1,The first ticket\n2,The second ticket\n")
        with Index.open(index) as opened:
            found.append("2" if until(lambda: opened.has("2")) else "nothing")
        os.kill(os.getpid(), signal.SIGTERM)

    changing = threading.Thread(target=change)
    monkeypatch.setattr(signal, "signal", _starting(changing, signal.signal))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        told = CliRunner().invoke(main, ["watch", str(table), "--index", str(index), "--json"])
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    changing.join()
    assert (told.exit_code, found) == (0, ["2"]), told.output
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert sum(one["added"] for one in lines) == 1
    assert all(one["removed"] == one["failed"] == 0 for one in lines)


def _starting(thread: threading.Thread, install: Callable[..., Any]) -> Callable[..., Any]:
    """Return what installs a handler of signals, and starts a thread with the first, which may then send one."""

    def installed(*given: Any) -> Any:
        was = install(*given)
        if not thread.ident:
            thread.start()
        return was

    return installed
