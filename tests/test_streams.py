"""Standard streams: a program that asks line by line is answered line by line, and closed streams do no harm."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from effort import thorough

from docsim import Encoder, Index, cores
from docsim.cli.streams import chunks
from docsim.models import Document

DOCSIM = [sys.executable, "-c", "from docsim.cli import run; run()"]


def test_what_is_there_comes_together_and_what_comes_later_is_not_waited_for() -> None:
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield from range(5)
        gate.wait(30)
        yield 5

    found = chunks(items(), most=3)
    seen: list[int] = []
    while len(seen) < 5:
        chunk = next(found)
        assert len(chunk) <= 3
        seen += chunk
    gate.set()
    assert list(found) == [[5]]


def test_what_a_stream_raises_is_raised_where_it_is_read() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("odd")

    found = chunks(items(), most=9)
    with pytest.raises(ValueError, match="odd"):
        list(found)


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Path:
    with Index.create(tmp_path / "ix", encoder=Encoder.load(tiny_encoder_dir)) as made:
        made.sync([Document("soup", "Boil the lentils"), Document("keys", "Rotate the keys")])
    return tmp_path / "ix"


def test_each_line_is_answered_before_the_next_is_asked(index: Path) -> None:
    command = [*DOCSIM, "query", "-", "--json", "--index", str(index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for question in ("lentils", "keys"):
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == question
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-", *thorough("<&-", "2>&-")])
def test_closed_streams_end_in_no_traceback_and_harm_no_index(index: Path, closed: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# Lentils")
    for command in (f"query lentils --index {index}", f"index {tmp_path}/docs --index {index}"):
        shell = ["sh", "-c", f'"$0" "$@" {closed}', *DOCSIM, *command.split()]
        done = subprocess.run(shell, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    with Index.open(index) as opened:
        assert opened.counts().documents == 3


def test_the_time_of_a_batch_is_shared_among_its_queries(index: Path) -> None:
    with Index.open(index) as opened:
        opened.search("warm")
        start = time.perf_counter()
        found = opened.search_many(["lentils"] * 50)
        took = (time.perf_counter() - start) * 1000
    assert sum(one.took_ms for one in found) <= took * cores.available()  # which answer side by side
