from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docsim.engine.local import schema
from docsim.engine.local.locks import check_writable
from docsim.engine.local.store import Store
from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import Embedded, SourceName
from docsim.errors import DocsimError, StoreError
from docsim.models import Document, Failure, Passage

DIM = 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalWriter]:
    store = LocalWriter(tmp_path, writable=True)
    with store.writing():
        store.add_generation(fingerprint="f" * 64, encoder="tiny", dim=DIM, state="live")
        assert store.open_source(None, SourceName("python", "p", "p")) == 1
    yield store
    store.close()


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


def embedded(id: str, text: str = "some text", passages: int = 1) -> Embedded:
    vectors = np.tile(np.eye(DIM, dtype=np.float16)[:1], (passages, 1))
    return Embedded(Document(id, text, title=id), tuple(Passage(i, i + 1) for i in range(passages)), vectors)


def put(store: LocalWriter, id: str, text: str = "some text", *, passages: int = 1, number: int | None = None) -> int:
    with store.writing():
        number = store.put(embedded(id, text, passages), number=number)
        store.link(1, id, document=number, digest=text)
    return number


def first_passage(store: LocalWriter, number: int) -> int:
    return int(store.value("SELECT first_passage FROM documents WHERE number = ?", number))


def test_a_document_is_read_back_as_it_was_written(store: LocalWriter) -> None:
    document = Document("a", "Grüße 😀\n", title="T", metadata={"n": 1, "list": [1, None], "nested": {"ü": "x"}})
    with store.writing():
        number = store.put(Embedded(document, (Passage(0, 8, "H"),), np.eye(1, DIM, dtype=np.float16)),
                           number=None, digest="from its source")  # fmt: skip
    stored = store.document("a")
    assert stored is not None
    assert (stored.number, stored.document, stored.digest) == (number, document, "from its source")
    assert store.passages(number) == [Passage(0, 8, "H")]
    np.testing.assert_array_equal(store.vectors(1, [number])[number], np.eye(1, DIM))


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


def test_numbers_of_removed_documents_and_passages_are_never_used_again(store: LocalWriter) -> None:
    number = put(store, "a", passages=3)
    first = first_passage(store, number)
    with store.writing():
        store.remove(number)
    again = put(store, "a", passages=2)
    assert again > number
    assert first_passage(store, again) >= first + 3


def test_numbers_stay_used_after_the_file_is_opened_anew(store: LocalWriter, tmp_path: Path) -> None:
    number = put(store, "a", passages=3)
    with store.writing():
        store.remove(number)
    store.close()
    reopened = LocalWriter(tmp_path, writable=True)
    again = put(reopened, "b")
    assert again == number + 1
    assert first_passage(reopened, again) == 4
    reopened.close()


def test_a_changed_document_keeps_its_number_and_gets_new_passages(store: LocalWriter) -> None:
    number = put(store, "a", passages=2)
    put(store, "a", "other text", passages=3, number=number)
    assert first_passage(store, number) == 3
    assert store.documents_after(1, 0).tolist() == [[3, number]]
    assert [row[1:] for row in store.deletions_after(0)] == [(1, 2)]


def test_a_removed_document_leaves_nothing_but_its_deletion(store: LocalWriter) -> None:
    number = put(store, "a", passages=2)
    with store.writing():
        store.remove(number)
    for table in ("documents", "passages", "embeddings", "origins"):
        assert store.value(f"SELECT count(*) FROM {table}") == 0
    assert store.value("SELECT count(*) FROM documents_fts WHERE documents_fts MATCH 'text'") == 0
    assert [row[1:] for row in store.deletions_after(0)] == [(1, 2)]


def test_the_full_text_index_follows_every_change(store: LocalWriter) -> None:
    number = put(store, "a", "lentils")
    match = "SELECT count(*) FROM documents_fts WHERE documents_fts MATCH ?"
    assert store.value(match, "lentil") == 1
    put(store, "a", "database", number=number)
    assert (store.value(match, "lentil"), store.value(match, "database")) == (0, 1)


def test_vectors_after_a_passage_come_in_order_of_passage(store: LocalWriter) -> None:
    numbers = [put(store, id, passages=2) for id in "abc"]
    put(store, "a", "changed", passages=1, number=numbers[0])
    assert [(first, len(rows)) for first, rows in store.vectors_after(1, 0)] == [(3, 2), (5, 2), (7, 1)]
    assert [first for first, _ in store.vectors_after(1, 5)] == [7]


@pytest.mark.parametrize("change", ["zeroblob(8)", "substr(vectors, 1, 6)", "cast(vectors || x'0000' AS BLOB)"])
def test_damaged_embeddings_are_noticed(store: LocalWriter, change: str) -> None:
    number = put(store, "a")
    with store.writing():
        store.execute(f"UPDATE embeddings SET vectors = {change}")
    with pytest.raises(StoreError, match="damaged"):
        store.vectors(1, [number])
    with pytest.raises(StoreError, match="damaged"):
        list(store.vectors_after(1, 0))


def test_missing_embeddings_are_noticed(store: LocalWriter) -> None:
    number = put(store, "a")
    with store.writing():
        store.execute("DELETE FROM embeddings")
    with pytest.raises(StoreError, match="then repair it"):
        store.vectors(1, [number])


def test_a_document_held_by_two_sources_stays_until_neither_has_it(store: LocalWriter) -> None:
    number = put(store, "a")
    with store.writing():
        assert store.open_source(None, SourceName("python", "q", "q")) == 2
        store.link(2, "a", document=number, digest="")
        assert not store.unlink(1, "a")
        assert store.document(number) is not None
        assert store.unlink(2, "a")
    assert store.document(number) is None


def test_failures_replace_those_of_the_run_before(store: LocalWriter) -> None:
    with store.writing():
        store.close_source(1, [Failure("a", "why"), Failure("b", "why")])
        store.close_source(1, [Failure("b", "still")])
    assert store.rows("SELECT path, reason FROM failures") == [("b", "still")]


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
    with pytest.raises(StoreError, match="sync it to bring it up to date"):
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


def test_two_processes_may_check_one_folder_at_once(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def check() -> None:
        try:
            for _ in range(300):
                check_writable(tmp_path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_sql_in_an_id_is_only_a_name(store: LocalWriter) -> None:
    id = "a'; DROP TABLE documents; --"
    number = put(store, id)
    stored = store.document(id)
    assert stored is not None
    assert stored.number == number
    assert store.document("' OR 1=1 --") is None
