"""Files converted in processes of their own: ``docsim.ingest.conversion_pool`` and ``conversion_worker``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docsim import Encoder, Index
from docsim.child_process import Frame, receive, send
from docsim.errors import SourceError
from docsim.ingest import conversion_pool, conversion_worker, formats
from docsim.ingest.conversion_pool import Conversion
from docsim.ingest.sources import ReadingOptions, open_source, read_document
from docsim.jobs.sync import sync

PAGE = b"<html><head><title>Soup</title></head><body><h1>Soup</h1><p>Boil the <b>lentils</b>.</p></body></html>"
ROOT = Path(__file__).parents[1]

# A module of this name is found before docsim's readers, so that the very process that converts misbehaves.
MISBEHAVING = """\
import os, signal, sys, time

def misbehave(data, suffix, name, **how):
    if data.startswith(b"hang"):
        time.sleep(1000)
    if data.startswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"leave"):
        os._exit(3)
    if data.startswith(b"fill"):
        return [bytearray(1 << 28) for _ in range(64)]
    if data.startswith(b"noise"):
        os.write(1, b"x" * 100_000)
        print("noise", flush=True)
    if data.startswith(b"flood"):
        for number in range(3, 20):
            try:
                os.write(number, b"\\xff" * 100_000)
            except OSError:
                pass
    return read(data, suffix, name, **how)

if "docsim.ingest.conversion_worker" in sys.orig_argv:
    from docsim.ingest import formats
    read, formats.read = formats.read, misbehave
"""
"""Run at the start of every process of Python that finds it: the very process that converts misbehaves."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    conversion_pool.rest()
    yield
    conversion_pool.rest()


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that convert hang, crash and more, when a file says so."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(MISBEHAVING)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(conversion_pool, "MEMORY_LIMIT", 1 << 30)


def read(data: bytes, *, suffix: str = ".html", timeout: float | None = None) -> str:
    return conversion_pool.read(data, suffix, "file", how=Conversion(timeout)).text


def test_what_another_process_reads_is_what_this_one_reads() -> None:
    assert conversion_pool.read(PAGE, ".HTML", "a/soup.html") == formats.read(PAGE, ".html", "a/soup.html")
    mail = b"From: a@example.org\nSubject: Soup\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n\nBoil the lentils.\n"
    assert conversion_pool.read(mail, ".eml", "a.eml") == formats.read(mail, ".eml", "a.eml")
    odd = "<p>\ud7ff \U0001f372 \u202e</p>".encode()
    assert read(odd) == formats.read(odd, ".html", "file").text
    with pytest.raises(SourceError, match="the file is damaged, or is not the pdf file"):
        read(b"%PDF-1.4 broken", suffix=".pdf")


def test_text_is_read_right_here() -> None:
    assert read(b"# Soup", suffix=".md") == "# Soup"
    assert not conversion_pool._held or not conversion_pool._held[0]._idle


def test_what_hangs_crashes_fills_memory_or_lies_is_told_and_the_rest_goes_on(misbehaving: None) -> None:
    assert "lentils" in read(PAGE)  # so the next one meets a process that has seen a file
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"took more than 1 seconds; allow it more time"):
        read(b"hang", timeout=1)
    assert time.monotonic() - began < 20
    with pytest.raises(SourceError, match=r"the converter crashed on it \(SIGSEGV\)"):
        read(b"crash")
    with pytest.raises(SourceError, match="the converter ended with code 3"):
        read(b"leave")
    with pytest.raises(SourceError, match="needs more than 1 GB of memory"):
        read(b"fill")
    assert read(b"noise") == "noise"
    with pytest.raises(SourceError):
        read(b"flood")
    assert "lentils" in read(PAGE)


def test_a_source_with_such_files_is_read_but_for_them(
    misbehaving: None, tmp_path: Path, tiny_encoder_dir: Path
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.html").write_bytes(PAGE.replace(b"lentils", b"lentils %d" % number))
    (folder / "05-bad.html").write_bytes(b"crash")
    (folder / "07-slow.html").write_bytes(b"hang")
    (folder / "note.md").write_text("# Note")
    source = open_source(str(folder), reading=ReadingOptions(convert_timeout=4.0))
    encoder = Encoder.load(tiny_encoder_dir)
    report = sync(tmp_path / "index", [source], encoder=encoder).reports[0]
    assert (report.added, [one.path for one in report.failures]) == (13, ["05-bad.html", "07-slow.html"])
    with Index.open(tmp_path / "index") as index:
        assert "lentils 11" in index.document("11.html").document.text
    again = sync(tmp_path / "index", [open_source(str(folder))]).reports[0]  # which remembers the timeout
    assert (again.unchanged, again.failures[1].reason) == (13, report.failures[1].reason)


def test_processes_start_when_files_wait_and_end_when_they_rest(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.html" for number in range(8)]
    for file in files:
        file.write_bytes(PAGE)
    begun = [conversion_pool.Ahead(lambda file=file: read_document(file)) for file in files]  # type: ignore[misc]
    for one in begun:
        one.start()
    assert {one.result().title for one in begun} == {"Soup"}
    children = list(conversion_pool._held[0]._idle)
    assert 1 <= len(children) <= len(os.sched_getaffinity(0))
    conversion_pool.rest()
    assert all(child._process.poll() is not None for child in children)
    assert read_document(files[0]).title == "Soup"


def test_many_threads_share_the_processes() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(read(PAGE))) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert found == [read(PAGE)] * 6


def test_a_process_that_nobody_waits_for_ends_by_itself() -> None:
    child = conversion_pool._Child()
    child._jobs.close()
    assert child._process.wait(20) == 0
    child.close()


def test_a_program_without_a_main_guard_can_use_docsim(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(PAGE)
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the folder was imported')")
    program = (
        "import multiprocessing, os, sys\n"
        "sys.path.remove('') if '' in sys.path else None\n"
        "from pathlib import Path\nfrom docsim.ingest.sources import read_document\n"
        "print(read_document(Path('page.html')).title)\n"
        "if os.fork() == 0:\n    print(read_document(Path('page.html')).title, flush=True)\n    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("Soup\nSoup\n", "")


def test_frames_go_through_a_pipe_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    send(stream, Frame({"a": "\u202e"}, b"\x00\xff"))
    stream.seek(0)
    assert receive(stream) == Frame({"a": "\u202e"}, b"\x00\xff")
    assert receive(stream) is None
    for size in range(len(stream.getvalue())):
        assert receive(io.BytesIO(stream.getvalue()[:size])) is None
    with pytest.raises(ValueError, match="too large"):
        receive(io.BytesIO(b"\xff" * 64), limit=conversion_worker.OUTPUT_LIMIT)


def test_a_process_that_converts_looks_for_garbage_seldom() -> None:
    code = (
        "import gc, io; from docsim.ingest import conversion_worker as worker; "
        "worker.own_pipes = lambda: (io.BytesIO(), io.BytesIO()); worker.main(1 << 40); print(gc.get_threshold()[0])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(said.stdout) >= 10_000  # at 700, which is usual, a table of 50,000 cells took quadratic time
