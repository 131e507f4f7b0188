from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from written import DIM, embedded, opened, put

from docsim.engine.local import schema
from docsim.engine.local.locks import check_writable
from docsim.engine.local.store import Store
from docsim.engine.local.writer import LocalWriter
from docsim.errors import DocsimError, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalWriter]:
    with opened(tmp_path) as store:
        yield store


@pytest.fixture
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on a file system of its own, which ``remount_read_only`` seals."""
    path = tmp_path_factory.mktemp("mounted")
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here, and permissions do not bind root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def remount_read_only(path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)


def test_a_block_that_fails_writes_nothing_at_all(store: LocalWriter) -> None:
    put(store, "a")
    revision = store.revision()
    with pytest.raises(ZeroDivisionError), store.writing():
        store.execute("UPDATE documents SET passages = ?", store.put(embedded("b"), number=None) // 0)
    assert store.document("b") is None
    assert store.revision() == revision
    assert store.value("SELECT count(*) FROM passages") == 1


def test_a_block_that_was_interrupted_can_be_followed_by_another(store: LocalWriter) -> None:
    with pytest.raises(KeyboardInterrupt), store.writing():
        raise KeyboardInterrupt
    assert put(store, "a") == 1


def test_every_transaction_adds_one_to_the_revision(store: LocalWriter) -> None:
    before = store.revision()
    put(store, "a")
    put(store, "b")
    assert store.revision() == before + 2


def test_reading_sees_one_state_while_another_connection_writes(store: LocalWriter, tmp_path: Path) -> None:
    put(store, "a")
    reader = Store(tmp_path, writable=False)
    with reader.reading():
        assert reader.value("SELECT count(*) FROM documents") == 1
        put(store, "b")
        assert reader.value("SELECT count(*) FROM documents") == 1
        assert reader.document("b") is None
    assert reader.value("SELECT count(*) FROM documents") == 2
    reader.close()


def test_what_is_not_committed_is_not_seen_by_others(store: LocalWriter, tmp_path: Path) -> None:
    reader = Store(tmp_path, writable=False)
    with store.writing():
        store.put(embedded("a"), number=None)
        assert reader.document("a") is None
    assert reader.document("a") is not None
    reader.close()


def test_a_folder_without_an_index_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="create it first"):
        Store(tmp_path, writable=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    for writable in (False, True):
        with pytest.raises(StoreError, match="damaged"):
            Store(tmp_path, writable=writable)


def test_a_file_of_a_newer_docsim_is_refused(store: LocalWriter, tmp_path: Path) -> None:
    store.close()
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    for writable in (False, True):
        with pytest.raises(StoreError, match="newer docsim"):
            Store(tmp_path, writable=writable)


def test_an_empty_file_is_no_finished_index(tmp_path: Path) -> None:
    (tmp_path / "index.db").touch()
    with pytest.raises(StoreError, match="never finished"):
        Store(tmp_path, writable=False)


def test_a_reader_cannot_write(store: LocalWriter, tmp_path: Path) -> None:
    reader = Store(tmp_path, writable=False)
    with pytest.raises(StoreError, match="permissions"), reader.writing():
        reader.execute("DELETE FROM documents")
    reader.close()


def test_connections_of_threads_that_ended_are_closed(store: LocalWriter) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir holds one more open
    for _ in range(50):
        thread = threading.Thread(target=store.revision)
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) <= before + 6  # noqa: PTH208


def test_a_read_only_folder_is_read(read_only: Path) -> None:
    writer = Store(read_only, writable=True)
    with writer.writing():
        writer.add_generation(fingerprint="f" * 64, encoder="tiny", dim=DIM, state="live")
    writer.close()
    assert [path.name for path in read_only.iterdir()] == ["index.db"]
    remount_read_only(read_only)
    store = Store(read_only, writable=False)
    with store.reading():
        assert store.revision() == 1
    store.close()


def test_a_read_only_folder_left_by_a_reader_is_read(read_only: Path) -> None:
    writer = Store(read_only, writable=True)
    reader = Store(read_only, writable=False)
    with writer.writing():
        writer.add_generation(fingerprint="f" * 64, encoder="tiny", dim=DIM, state="live")
    assert reader.revision() == 1
    writer.close()
    reader.close()
    remount_read_only(read_only)
    store = Store(read_only, writable=False)
    assert store.revision() == 1
    store.close()


def test_writes_that_a_read_only_folder_would_hide_are_not_passed_over(read_only: Path, tmp_path: Path) -> None:
    writer = Store(tmp_path, writable=True)
    with writer.writing():
        writer.add_generation(fingerprint="f" * 64, encoder="tiny", dim=DIM, state="live")
    for name in ("index.db", "index.db-wal"):  # what a copy made of an index in use holds
        shutil.copyfile(tmp_path / name, read_only / name)
    writer.close()
    remount_read_only(read_only)
    with pytest.raises(StoreError, match=r"index\.db-wal"):
        Store(read_only, writable=False)


def test_a_read_only_folder_is_refused_to_a_writer(read_only: Path) -> None:
    remount_read_only(read_only)
    with pytest.raises(DocsimError, match="Read-only file system"):
        check_writable(read_only)
