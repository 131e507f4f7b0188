"""Files that have not changed are not opened again, and every change is seen."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import time
import types
from pathlib import Path

import pytest

from docsim import Encoder
from docsim.ingest import file_digests
from docsim.ingest.file_digests import FileDigests, digest
from docsim.ingest.formats import FORMATS_VERSION
from docsim.ingest.sources import open_source
from docsim.jobs.sync import SyncOptions, sync
from docsim.models import Entry

UNSETTLED = file_digests._UNSETTLED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there every file is read")


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as changed long ago, though they are written by the test."""
    monkeypatch.setattr(file_digests, "_UNSETTLED", -3_600_000_000_000)


def expected(data: bytes) -> str:
    return hashlib.sha256(data + f"\n{FORMATS_VERSION}".encode()).hexdigest()


def again(*files: Path) -> FileDigests:
    """Read files once, and return what is remembered of them."""
    first = FileDigests()
    for file in files:
        first.read(file)
    return FileDigests(first.written())


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_the_digest_is_of_the_whole_content(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    file = tmp_path / "a.md"
    file.write_bytes(data)
    found = FileDigests().read(file)
    assert (found.digest, digest(file)) == (expected(data), expected(data))
    assert found.data == (data if size <= 1 << 20 else None)


def test_a_file_that_has_not_changed_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"keys")
    known = again(file)
    with monkeypatch.context() as closed:
        closed.delattr(os, "open")
        found = known.read(file)
    assert (found.digest, found.data) == (expected(b"keys"), None)


def test_only_files_that_were_read_this_time_are_remembered(tmp_path: Path) -> None:
    file, other = tmp_path / "a.md", tmp_path / "b.md"
    file.write_bytes(b"keys")
    other.write_bytes(b"locks")
    known = again(file, other)
    known.read(file)
    later = FileDigests(known.written())
    assert later.read(file).data is None
    assert later.read(other).data == b"locks"


def test_every_change_is_seen(tmp_path: Path) -> None:
    file, other = tmp_path / "a.md", tmp_path / "b.md"

    def same_times(data: bytes) -> None:
        before = file.stat()
        file.write_bytes(data)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    def replaced(data: bytes) -> None:
        before = file.stat()
        other.write_bytes(data)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(file)

    for change in (file.write_bytes, same_times, replaced):
        file.write_bytes(b"keys")
        known = again(file)
        assert known.read(file).data is None
        change(b"lock")
        assert known.read(file).digest == expected(b"lock")


def test_a_file_that_was_just_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "_UNSETTLED", 2_000_000_000)
    file = tmp_path / "a.md"
    file.write_bytes(b"keys")
    assert again(file).read(file).data == b"keys"


def test_what_is_written_through_mapped_memory_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write to a page sets the times, and those that follow do not, for half a minute."""
    monkeypatch.setattr(file_digests, "_UNSETTLED", UNSETTLED)
    monkeypatch.setattr(time, "time_ns", lambda clock=time.time_ns: clock() + 40_000_000_000)
    file = tmp_path / "a.md"
    file.write_bytes(b"keys")
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 4) as mapped:
        mapped[:] = b"lock"
        known = again(file)
        mapped[:] = b"door"
        assert known.read(file).digest == expected(b"door")


@pytest.mark.parametrize(
    ("changed", "is_known"), [(1_600_000_000_000_000_000, False), (1_600_000_000_000_000_001, True)]
)
def test_a_file_system_without_times_of_inodes_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: int, *, is_known: bool
) -> None:
    """As an image of a folder that is made anew: with equal inodes, and with all times set to one second."""
    file = tmp_path / "a.md"
    times = types.SimpleNamespace(st_size=4, st_ino=7, st_mtime_ns=1_600_000_000_000_000_000, st_ctime_ns=changed)
    with monkeypatch.context() as mounted:
        mounted.setattr(os, "fstat", lambda _: times)
        mounted.setattr(os, "stat", lambda _: times)
        file.write_bytes(b"keys")
        known = again(file)
        file.write_bytes(b"lock")
        assert known.read(file).digest == expected(b"keys" if is_known else b"lock")


def test_little_is_kept_of_files_that_wait(tmp_path: Path) -> None:
    digests = FileDigests()
    files = [tmp_path / f"{number}.md" for number in range(20)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 1_000_000)
    read = [digests.read(file) for file in files]
    assert [one.data for one in read[:12]] == [None] * 12
    assert [one.data for one in read[12:]] == [file.read_bytes() for file in files[12:]]


def test_documents_that_wait_for_one_before_them_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.md").write_text(f"# Page {number}\n" + "keys " * 190_000)
    entries = [one for one in open_source(str(tmp_path)).entries() if isinstance(one, Entry)]
    assert [one.load().title for one in entries] == [f"Page {number}" for number in range(20)]


def test_no_more_files_are_remembered_than_a_note_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "_MOST_REMEMBERED", 2)
    files = [tmp_path / f"{number}.md" for number in range(3)]
    for file in files:
        file.write_bytes(b"keys")
    known = again(*files)
    assert [known.read(file).data for file in files] == [None, None, b"keys"]


@pytest.mark.parametrize("written", ["", "?", "AAAA", "é", "A" * 59])
def test_damaged_memory_is_none(tmp_path: Path, written: str) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"keys")
    assert FileDigests(written).read(file).digest == expected(b"keys")


def test_another_file_with_the_same_content_is_known_by_its_own_path(tmp_path: Path) -> None:
    one, other = tmp_path / "a.md", tmp_path / "b.md"
    one.write_bytes(b"keys")
    known = again(one)
    os.link(one, other)
    assert known.read(other).data == b"keys"


def test_a_sync_opens_new_and_changed_files_only(
    tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, encoder = tmp_path / "pages", Encoder.load(tiny_encoder_dir)
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.md").write_text(f"keys and locks, page {name}")
    opened: list[str] = []
    read = file_digests._read

    def told(path: str) -> tuple[os.stat_result, bytes | None, bytes]:
        opened.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(file_digests, "_read", told)

    def synced(*, dry_run: bool = False, read_all: bool = False) -> tuple[list[str], int, int, int]:
        opened.clear()
        options = SyncOptions(dry_run=dry_run, read_all=read_all)
        total = sync(tmp_path / "index", [open_source(str(folder))], options, encoder=encoder).total
        return sorted(opened), total.added, total.changed, total.unchanged

    every = ["a.md", "b.md", "c.md"]
    assert synced() == (every, 3, 0, 0)
    assert synced() == ([], 0, 0, 3)
    (folder / "b.md").write_text("keys and locks, page B")
    (folder / "d.md").write_text("doors")
    assert synced(dry_run=True) == (["b.md", "d.md"], 1, 1, 2)
    assert synced() == (["b.md", "d.md"], 1, 1, 2)
    (folder / "c.md").unlink()
    assert synced() == ([], 0, 0, 3)
    assert synced(read_all=True) == (["a.md", "b.md", "d.md"], 0, 0, 3)
    assert synced() == ([], 0, 0, 3)
