"""Replicas: questions go to a standby, no answer is older than what was seen, and a standby takes over."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Server, Standby, server
from test_postgres_faults import acknowledged, check, made, writing

from docsim.errors import StoreError
from docsim.index import Index
from docsim.models import Document

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pair() -> Iterator[tuple[Server, Standby]]:
    """A primary, and a standby that confirms every commit."""
    server()  # skips where none can be started
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    first, second = (Path(tempfile.mkdtemp(prefix="docsim-pg-", dir=place)) for _ in range(2))
    primary = Server(first)
    standby = primary.standby(second, synchronous=True)
    yield primary, standby
    standby.stop()
    primary.stop()


def test_a_question_goes_to_the_standby_unless_that_lags_behind(
    pair: tuple[Server, Standby], tiny_encoder_dir: Path
) -> None:
    _, standby = pair
    address = standby.address("lagging", "prefer-standby")
    made(address, tiny_encoder_dir)
    with Index.open(address) as index:
        index.search("lentils")
        with index.engine.snapshot() as snapshot:
            assert snapshot.store.value("SELECT pg_is_in_recovery()")  # type: ignore[attr-defined]
        standby.ask("SELECT pg_wal_replay_pause()")
        for number in range(3):
            index.sync([Document(f"new {number}", f"zebra {number}")], prune=False)
            assert index.search(f"zebra {number}", mode="lexical").hits[0].id == f"new {number}"
        standby.ask("SELECT pg_wal_replay_resume()")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert index.counts().documents == 4
            with index.engine.snapshot() as snapshot:
                if snapshot.store.value("SELECT pg_is_in_recovery()"):  # type: ignore[attr-defined]
                    return
        raise AssertionError("the standby was not asked again")


def test_a_standby_takes_over_with_everything_that_was_acknowledged(
    pair: tuple[Server, Standby], tiny_encoder_dir: Path
) -> None:
    primary, standby = pair
    address = standby.address("failover", "any")
    made(address, tiny_encoder_dir)
    reader = Index.open(address)
    process: subprocess.Popen[str] = writing(address, 0)
    runs = acknowledged(process, 6)
    primary.kill()
    told, failed = process.communicate(timeout=60)
    runs += [int(line) for line in told.split()]
    assert "could not" in failed.splitlines()[-1]
    assert reader.search("lentils").hits  # the standby answers meanwhile
    with pytest.raises(StoreError, match="could not"):
        reader.sync([Document("refused", "nobody can write now")], prune=False)
    standby.ask("SELECT pg_promote()")
    standby.ask("SELECT 1")
    check(address, runs)
    assert reader.sync([Document("after", "zebra")], prune=False).added == 1
    assert reader.search("zebra", mode="lexical").hits[0].id == "after"
    reader.close()
