"""Indexes that an older docsim made are upgraded when they are opened, whatever for."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from mounted import sealed
from opened import texts_of

from docsim.encoding.encoder import Encoder
from docsim.engine.local import locks, schema
from docsim.errors import IndexLocked, StoreError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document

DOCUMENTS = [
    Document("trains", "Book trains through the portal. First class needs approval.", title="Travel"),
    Document("leave", "You have 28 days of holiday a year. Ask your manager first.", title="Annual leave"),
    Document("phones", "Report a stolen phone to the service desk at once.", title="Lost phones"),
]

# What each format had instead of what the next one has: its tables, as its docsim made them.
_OLDER = {
    5: """
        DROP INDEX documents_first_passage;
        DELETE FROM _sqlite_migrations WHERE name = 'first passages';
    """,
    4: """
        DROP TABLE words;
        DELETE FROM _sqlite_migrations WHERE name = 'words';
        CREATE VIRTUAL TABLE documents_fts USING fts5 (
            title, text, tokenize='porter unicode61', content=[documents]
        );
        CREATE TRIGGER documents_ai AFTER INSERT ON documents BEGIN
            INSERT INTO documents_fts (rowid, title, text) VALUES (new.rowid, new.title, new.text);
        END;
        CREATE TRIGGER documents_ad AFTER DELETE ON documents BEGIN
            INSERT INTO documents_fts (documents_fts, rowid, title, text)
            VALUES ('delete', old.rowid, old.title, old.text);
        END;
        CREATE TRIGGER documents_au AFTER UPDATE ON documents BEGIN
            INSERT INTO documents_fts (documents_fts, rowid, title, text)
            VALUES ('delete', old.rowid, old.title, old.text);
            INSERT INTO documents_fts (rowid, title, text) VALUES (new.rowid, new.title, new.text);
        END;
        INSERT INTO documents_fts (documents_fts) VALUES ('rebuild');
        INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('docsim', 'full text', '2026-11-23');
    """,
    3: """
        DROP TABLE adapters;
        CREATE TABLE adapters (
            generation INTEGER PRIMARY KEY REFERENCES generations,
            target TEXT NOT NULL,
            digest TEXT NOT NULL,
            passages INTEGER NOT NULL
        );
        INSERT INTO adapters VALUES (1, 'target', 'digest', 3);
        UPDATE _sqlite_migrations SET name = 'adapters' WHERE name = 'adapters of embeddings';
    """,
    2: "DROP TABLE adapters; DELETE FROM _sqlite_migrations WHERE name = 'adapters';",
    1: "DROP TABLE verdicts; DELETE FROM _sqlite_migrations WHERE name = 'verdicts';",
}


def tables(path: Path) -> list[tuple[str, str]]:
    """Return the definitions of an index's tables."""
    connection = sqlite3.connect(path / "index.db")
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return found


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    path = tmp_path_factory.mktemp("newest") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
    return path


@pytest.fixture(params=sorted(_OLDER))
def old(request: pytest.FixtureRequest, newest: Path, tmp_path: Path) -> Path:
    """An index of an older format."""
    path = tmp_path / "index"
    shutil.copytree(newest, path)
    if request.param < 5:
        shutil.rmtree(path / "words")
    connection = sqlite3.connect(path / "index.db")
    for version in sorted(_OLDER, reverse=True):
        if version >= request.param:
            connection.executescript(_OLDER[version])
    connection.execute(f"PRAGMA user_version = {request.param}")
    connection.commit()
    connection.close()
    return path


def test_every_older_format_is_known() -> None:
    assert sorted(_OLDER) == list(range(1, schema.VERSION))


def test_an_old_index_is_upgraded_when_it_is_opened(old: Path, newest: Path) -> None:
    with Index.open(newest) as index:
        expected = [(hit.id, hit.score) for hit in index.search("stolen phone").hits]
    with Index.open(old) as index:
        assert [(hit.id, hit.score) for hit in index.search("stolen phone").hits] == expected
        assert texts_of(index) == {one.id: one.text for one in DOCUMENTS}
        assert verify.problems(index) == []
        assert index.engine.repair() == []
    assert tables(old) == tables(newest)
    assert list((old / "words").iterdir())  # or each query would make them again


def test_an_old_index_that_another_process_writes_to_is_not_touched(old: Path) -> None:
    before = tables(old)
    with locks.writing(old, wait=False), pytest.raises(IndexLocked, match=r"upgraded once.*try again later"):
        Index.open(old)
    assert tables(old) == before


def test_an_old_index_in_a_read_only_folder_says_what_to_do(old: Path, tmp_path: Path) -> None:
    with (
        sealed(old, tmp_path / "mounted") as mounted,
        pytest.raises(StoreError, match=r"upgraded once, but .*Read-only file system; open it as a user who may write"),
    ):
        Index.open(mounted)
