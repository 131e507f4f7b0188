"""An index of a stranger is not opened if a file of it may have no end, or its database computes something."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from docsim import Document, Encoder, Index
from docsim.errors import StoreError
from docsim.serving.server_database import ServerDatabase
from docsim.use.log import UseLog

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
CHANGES = [
    ("ALTER TABLE {0} RENAME TO held; CREATE VIEW {0} AS " + ENDLESS + " SELECT held.* FROM held, n", "view"),
    ("CREATE TRIGGER evil AFTER INSERT ON {0} BEGIN DELETE FROM {0}; END", "trigger"),
    ("ALTER TABLE {0} ADD COLUMN evil BLOB AS (zeroblob(1000000000))", "computed column"),
    ("CREATE VIRTUAL TABLE evil USING fts5(text)", "virtual table"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    path = tmp_path_factory.mktemp("plain") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("a", "Boil the lentils."), Document("b", "Rotate the keys.")])
    ServerDatabase(path)
    with UseLog.opened(path):
        pass
    return path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "index")


@pytest.mark.parametrize(("change", "kind"), CHANGES, ids=[kind for _, kind in CHANGES])
def test_what_computes_is_refused(copy: Path, change: str, kind: str) -> None:
    for file, table in (("index.db", "documents"), ("serving.db", "tokens"), ("use.db", "questions")):
        with closing(sqlite3.connect(copy / file)) as database:
            database.executescript(change.format(table))
    said = f"it has a {kind}, '.*', which docsim never makes"
    with pytest.raises(StoreError, match=said):
        Index.open(copy)
    with pytest.raises(StoreError, match=said):
        Index.create(copy)
    with pytest.raises(StoreError, match=said):
        ServerDatabase(copy)
    with pytest.raises(StoreError, match=said):
        UseLog(copy)


def test_what_docsim_makes_is_opened(copy: Path) -> None:
    with Index.open(copy) as index:
        assert index.counts().documents == 2
    assert ServerDatabase(copy).exists
    UseLog(copy).close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("name", ["index.faiss", "documents.0123456789abcdef", "encoder/tower.onnx", "new/file"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_may_have_no_end_is_refused(copy: Path, name: str, kind: str) -> None:
    file = copy / "generations" / "0001" / name
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    said = f"expected files in the index at .*; generations/0001/{name} is a device or a pipe"
    for opened in (Index.open, Index.create):
        with pytest.raises(StoreError, match=said):
            opened(copy)


def test_links_to_files_and_to_nothing_are_fine(copy: Path, tmp_path: Path) -> None:
    (file,) = copy.glob("generations/0001/index.faiss")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    (copy / "nothing").symlink_to(tmp_path / "nowhere")
    with Index.open(copy) as index:
        assert index.search("boil lentils", 1).hits[0].id == "a"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_link_to_itself_hides_no_pipe(copy: Path) -> None:
    for number in range(5):
        (copy / f"{number}").symlink_to(copy / f"{number}")
    os.mkfifo(copy / "pipe")
    with pytest.raises(StoreError, match="pipe is a device or a pipe"):
        Index.open(copy)


def test_an_old_database_is_not_upgraded_before_it_is_checked(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "index.db")) as database:
        database.executescript(
            "PRAGMA user_version = 5; CREATE TRIGGER evil AFTER UPDATE ON meta BEGIN DELETE FROM documents; END"
        )
    with pytest.raises(StoreError, match="it has a trigger, 'evil', which docsim never makes"):
        Index.create(copy)
    with closing(sqlite3.connect(copy / "index.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (5,)
