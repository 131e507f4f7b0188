"""Roles: a reader searches, a writer adds and removes documents, an owner does everything, and nobody more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from postgres_server import server
from turned_encoder import turned

from docsim.encoding.encoder import Encoder
from docsim.errors import StoreError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex import generations, reindexing
from docsim.reindex.examination import GateOptions

SCRIPT = Path(__file__).parent.parent / "deploy" / "postgresql" / "roles.sql"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_each_role_can_do_what_it_is_for_and_no_more(
    tiny_encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = server()
    schema = f"roles_{os.getpid()}"
    address = running.address(schema)
    script = [running.binary("psql"), running.uri, "-q", "-v", f"schema={schema}", "-f", str(SCRIPT)]
    subprocess.run(script, check=True)
    names = {}
    with psycopg.connect(running.uri, autocommit=True) as connection:
        for kind in ("owner", "writer", "reader"):
            names[kind] = f"{schema}_{kind}_login"
            connection.execute(f"CREATE ROLE {names[kind]} LOGIN IN ROLE {schema}_{kind}")

    def of(kind: str) -> str:
        return address.replace("postgres@", f"{names[kind]}@")

    monkeypatch.setenv("PGOPTIONS", f"-c role={schema}_owner")
    with Index.create(of("owner"), encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("soup", "a soup of lentils")])
        other = turned(tiny_encoder_dir, tmp_path / "turned")
        done = reindexing.reindex(index, Encoder.load(other), gate=GateOptions(publish_anyway=True))
        assert done.published
    monkeypatch.delenv("PGOPTIONS")
    subprocess.run(script, check=True)  # once more, now that the tables are there
    with Index.create(of("writer")) as index:
        assert index.sync([Document("stew", "a stew")], prune=False).added == 1
        assert index.remove(["soup"]) == 1
        with pytest.raises(StoreError, match="ask its owner for this right"):
            generations.rollback(index)
    with Index.open(of("reader")) as index:
        assert [hit.id for hit in index.search("a stew").hits] == ["stew"]
        assert verify.problems(index) == []
        assert index.engine.sizes().database > 0
        with pytest.raises(StoreError, match="ask its owner for this right"):
            index.sync([Document("third", "third")], prune=False)
        with pytest.raises(StoreError, match="ask its owner for this right"):
            index.engine.keep_note("a", "b")
