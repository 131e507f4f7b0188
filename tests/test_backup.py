"""Backups: made while others write, sound, complete or not there; and brought back."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from effort import thorough
from filelock import FileLock
from served import PAGES, made, token

from docsim import Document, Encoder, Index
from docsim.cli import main
from docsim.engine.records import Copied
from docsim.errors import IndexLocked, StoreError, UsageError
from docsim.jobs.backup import SERVING_LOCK, back_up, restore
from docsim.jobs.reindex import ReindexOptions, reindex
from docsim.maintenance import verify
from docsim.reindex import instant, reindexing
from docsim.reindex.examination import GateOptions
from docsim.serving.server_database import ServerDatabase
from docsim.serving.tokens import Tokens
from docsim.use.log import UseLog

PRIVATE = ("use.*", "serving.db*")
ANYWAY = ReindexOptions(GateOptions(publish_anyway=True))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    """An index with two generations and a token."""
    path = made(tmp_path_factory.mktemp("original") / "index", tiny_encoder_dir)
    with Index.open(path) as index:
        reindex(index, Encoder.load(tiny_encoder_dir, dim=16), ANYWAY)
    token(path, "anna", groups=["hr"])
    return path


@pytest.fixture
def index(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "index"))


def answers(path: Path) -> list[tuple[str, float]]:
    with Index.open(path) as index:
        return [(hit.id, hit.score) for hit in index.search("lentil soup").hits]


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_a_backup_answers_like_the_index_and_has_all_that_it_has(index: Path, tmp_path: Path) -> None:
    copied = json.loads(run("backup", tmp_path / "copy", "--index", index, "--json").stdout)
    assert (copied["documents"], copied["generations"]) == (len(PAGES), 2)
    assert answers(tmp_path / "copy") == answers(index)
    assert [one.name for one in Tokens(ServerDatabase(tmp_path / "copy")).list()] == ["anna"]
    assert (tmp_path / "copy" / "serving.db").stat().st_mode & 0o077 == 0
    with Index.open(tmp_path / "copy") as opened:
        assert verify.problems(opened) == []
    assert not (tmp_path / "copy.tmp").exists()
    assert "verified" in run("restore", tmp_path / "copy", "--index", tmp_path / "new").stdout
    assert answers(tmp_path / "new") == answers(index)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def modes(path: Path) -> set[int]:
    """Return the modes of files, but for those that hold who asked what and who may come in."""
    private = ("use.", "serving.")
    return {stat.S_IMODE(one.stat().st_mode) for one in path.rglob("*") if not one.name.startswith(private)}


@pytest.mark.parametrize("mask", [0o022, *thorough(0o077)])
def test_an_index_is_readable_as_the_umask_says_and_a_backup_by_its_owner_alone(
    tiny_encoder_dir: Path, tmp_path: Path, umask: Callable[[int], int], mask: int
) -> None:
    umask(mask)
    path = tmp_path / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir), index_type="IVF1,SQ8") as index:
        index.sync([Document(f"d{n}", f"lentils soup {n}") for n in range(1100)])
        reindexing.reindex(index, Encoder.load(tiny_encoder_dir, dim=16), gate=ANYWAY.gate)
        instant.upgrade(index, Encoder.load(tiny_encoder_dir))
    token(path, "anna")
    with UseLog.opened(path):
        assert modes(path) == {0o777 & ~mask, 0o666 & ~mask}
        assert {stat.S_IMODE(one.stat().st_mode) for name in PRIVATE for one in path.glob(name)} == {0o600}
    back_up(path, tmp_path / "backup")
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    restore(tmp_path / "backup", tmp_path / "new" / "index")
    assert modes(tmp_path / "new") == {0o777 & ~mask, 0o666 & ~mask}
    assert {stat.S_IMODE(one.stat().st_mode) for name in PRIVATE for one in tmp_path.glob(f"new/index/{name}")} == {
        0o600
    }


def test_a_backup_is_of_one_moment_while_documents_come_and_generations_go(index: Path, tmp_path: Path) -> None:
    ended, written = threading.Event(), threading.Event()

    def write() -> None:
        with Index.open(index) as opened:
            for number in range(10_000):
                if ended.is_set():
                    return
                opened.sync([*PAGES, Document(f"new/{number}.md", f"Page {number} about gardens.")], prune=True)
                written.set()

    def next_backup(number: int) -> Copied:
        written.clear()
        assert written.wait(60)
        return back_up(index, tmp_path / f"copy-{number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [next_backup(number) for number in range(3)]
    finally:
        ended.set()
        writer.join()
    revisions = [one.revision for one in copies]
    assert revisions == sorted(set(revisions))
    for number, copied in enumerate(copies):
        with Index.open(tmp_path / f"copy-{number}") as opened:
            assert verify.problems(opened) == []
            assert opened.counts().documents == copied.documents
        assert len(PAGES) <= copied.documents <= len(PAGES) + 2  # a page comes before the one that it follows goes


def test_nothing_is_left_of_a_backup_that_failed(index: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(index / "index.db")) as database, database:
        database.execute("UPDATE documents SET text = 'altered' WHERE id = 'soup.md'")
    with pytest.raises(StoreError, match="is not sound, nor is the index"):
        back_up(index, tmp_path / "copy")
    assert [one.name for one in tmp_path.iterdir()] == ["index"]


def test_a_backup_goes_where_nothing_is(index: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    assert "expected a new or an empty directory" in run("backup", tmp_path / "taken", "--index", index, code=2).stderr
    with pytest.raises(UsageError, match="outside the index"):
        back_up(index, index / "backup")
    with pytest.raises(StoreError, match="expected an index"):
        back_up(tmp_path / "nothing", tmp_path / "copy")


def test_an_index_is_replaced_only_when_asked_for_and_while_nobody_serves_it(index: Path, tmp_path: Path) -> None:
    back_up(index, tmp_path / "copy")
    for file in (tmp_path / "copy").rglob("*"):
        file.chmod(file.stat().st_mode & 0o555)
    before = answers(index)
    with Index.open(index) as opened:
        opened.remove(["soup.md"])
    assert "expected no index at" in run("restore", tmp_path / "copy", "--index", index, code=2).stderr
    with FileLock(index / SERVING_LOCK), pytest.raises(IndexLocked, match="end it first"):
        restore(tmp_path / "copy", index, replace=True)
    assert answers(index) != before
    restore(tmp_path / "copy", index, replace=True)
    assert answers(index) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "index"]
    with Index.open(index) as opened:
        assert opened.remove(["soup.md"]) == 1
