"""Words that are found beside encoding: by a thread, and by a process of its own when there are many texts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from docsim import child_process
from docsim.encoding.encoder import Encoder
from docsim.engine.words import segment_process
from docsim.engine.words.beside_encoding import Beside, Made
from docsim.engine.words.building import Text
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document

TEXTS = [
    Text(1, 1, "Émile's notes", "Straße, naïve façade and 日本語の文書"),
    Text(2, 4, "", "an unpaired \ud800 surrogate, and e-mail to jane@example.org"),
    Text(3, 5, "Third", "max_retry_count = 3\n" * 50),
]


def made(place: Path, *, most: int, texts: list[Text] = TEXTS) -> Made | None:
    place.mkdir(exist_ok=True)
    beside = Beside(place, after=0, deletion=0, most=most)
    beside.add(texts[:1])
    beside.add(texts[1:])
    return beside.finish()


def test_a_process_makes_the_same_segments_as_a_thread(tmp_path: Path) -> None:
    thread, process = made(tmp_path / "thread", most=10**9), made(tmp_path / "process", most=0)
    assert thread is not None
    assert thread == process
    assert len(thread.segments) == 1
    files = [{one.name: one.read_bytes() for one in (tmp_path / kind).iterdir()} for kind in ("thread", "process")]
    assert files[0] == files[1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return the processes that are started from now on."""
    found: list[subprocess.Popen[bytes]] = []
    start: Callable[..., subprocess.Popen[bytes]] = child_process.start

    def kept(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        found.append(start(module, *arguments))
        return found[-1]

    monkeypatch.setattr(child_process, "start", kept)
    return found


def test_a_process_that_nobody_wants_is_ended(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    beside = Beside(tmp_path, after=0, deletion=0, most=0)
    beside.add(TEXTS[:1])
    beside.add(TEXTS[1:])
    beside.abandon()
    (process,) = started
    assert process.poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_no_process_is_started_for_texts_that_nothing_follows(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    beside = Beside(tmp_path, after=0, deletion=0, most=0)
    beside.add(TEXTS)
    found = beside.finish()
    assert found is not None
    assert (len(found.segments), started) == (1, [])


def test_a_process_whose_input_ends_early_makes_nothing(tmp_path: Path) -> None:
    """As it does when the process that started it is killed."""
    process = child_process.start(segment_process.__name__, str(tmp_path))
    assert process.stdin
    child_process.send(process.stdin, segment_process.packed(TEXTS))
    process.stdin.close()
    assert process.wait(60) == 1
    assert process.stdout
    assert process.stdout.read() == b""
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_killed_has_made_nothing(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """``word_writing.write`` then makes the words from the stored texts."""
    beside = Beside(tmp_path, after=0, deletion=0, most=0)
    beside.add(TEXTS[:1])
    beside.add(TEXTS[1:])
    while not started:
        time.sleep(0.01)
    started[0].kill()
    assert beside.finish() is None


def test_an_index_of_many_texts_is_the_same_as_if_no_process_could_be_started(
    tmp_path: Path, tiny_encoder_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Document(f"{n}.md", f"Page {n}. " + "gardens trees " * 40_000) for n in range(14)]

    def words(path: Path) -> set[str]:
        with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
            index.sync(pages)
            assert verify.problems(index) == []
            assert index.search("page 7", mode="lexical").hits[0].id == "7.md"
        return {one.name for one in (path / "words").iterdir()}

    apart = words(tmp_path / "apart")

    def fails(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        raise OSError("no more processes")

    monkeypatch.setattr(child_process, "start", fails)
    assert words(tmp_path / "here") == apart
