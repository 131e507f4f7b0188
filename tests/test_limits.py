"""Little memory and few file descriptors: docsim works, or says in one sentence why not, and loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from effort import thorough

from docsim import Document, Encoder, Index

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.faults

NO_MEMORY = (
    "Error: there is not enough memory for this; what was committed is safe. "
    "Try: again with fewer other programs, or a higher limit"
)
CORPUS = Path(__file__).parents[1] / "corpus" / "handbook"
_DOCSIM = "import sys; sys.argv[0] = 'docsim'; from docsim.cli import run; run()"
_WORDS = [f"{start}{middle}{end}" for start in "bdfgkl" for middle in "aeiou" for end in ("rn", "lt", "mp", "nsk")]


def limited(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


def run(*arguments: str, within: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _DOCSIM, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=within, env=environment, timeout=250
    )


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Path:
    path = tmp_path / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(f"d{number}", f"lentils soup {number}") for number in range(50)])
    return path


def test_32_file_descriptors_are_enough(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.html").write_text(f"<p>keys {number}")
    few = limited(resource.RLIMIT_NOFILE, 32)
    done = run("index", str(folder), "--index", str(index), within=few)
    assert (done.returncode, "20 added" in done.stdout + done.stderr) == (0, True), done.stderr
    done = run("query", "lentils", "--index", str(index), "-k", "3", within=few)
    assert len(done.stdout.splitlines()) == 3, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit does not count what is mapped")
def test_400_mb_of_memory_are_enough_to_index_the_sample_corpus_and_to_search_it(tmp_path: Path) -> None:
    few = limited(resource.RLIMIT_DATA, 400 << 20)
    index = ("--index", str(tmp_path / "index"))
    done = run("index", str(CORPUS), *index, "--encoder", "fast", within=few)
    assert (done.returncode, "154 added" in done.stdout + done.stderr) == (0, True), done.stderr
    done = run("query", "stolen phone", *index, "-k", "1", within=few)
    assert "lost-or-stolen-devices.md" in done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit does not count what is mapped")
@pytest.mark.parametrize("most", [300, *thorough(340)])
def test_less_memory_is_one_sentence_and_loses_nothing(index: Path, tmp_path: Path, most: int) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": f"r{n}", "text": f"keys {n} " * 300}) + "\n" for n in range(1500)))
    done = run("index", str(rows), "--index", str(index), within=limited(resource.RLIMIT_DATA, most << 20))
    assert (done.returncode, done.stderr.splitlines()) in ((0, []), (1, [NO_MEMORY])), done.stderr
    with contextlib.closing(sqlite3.connect(index / "index.db")) as database:
        assert database.execute("SELECT count(*) FROM documents WHERE id LIKE 'd%'").fetchone() == (50,)
    assert run("verify", "--index", str(index), within=lambda: None).returncode == 0


@pytest.mark.parametrize(
    ("kind", "least", "what", "option"),
    [("RLIMIT_AS", 512, "address space", "-v"), ("RLIMIT_DATA", 288, "memory", "-d")],
)
def test_what_libraries_could_not_even_be_loaded_in_is_refused_in_one_sentence(
    index: Path, kind: str, least: int, what: str, option: str
) -> None:
    done = run("query", "lentils", "--index", str(index), within=limited(getattr(resource, kind), 200 << 20))
    assert (done.returncode, done.stdout) == (1, "")
    said = f"Error: expected a limit of at least {least} MB of {what}, got 200 MB. Try: ulimit {option}\n"
    assert done.stderr == said


@pytest.mark.thorough
def test_running_out_of_memory_midway_is_one_sentence_and_keeps_what_was_committed(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    with rows.open("w") as file:
        for number in range(2500):
            text = " ".join(f"{_WORDS[number % 120]}{word}{number % 97}" for word in _WORDS)
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    ends = list[int]()
    for most in (580, 630, 680, 760):  # what is needed depends on the number of cores
        index = tmp_path / f"index{most}"
        made = ("index", str(rows), "--index", str(index), "--encoder", "fast")
        done = run(*made, within=limited(resource.RLIMIT_AS, most << 20))
        ends.append(done.returncode)
        told = [line for line in done.stderr.splitlines() if not line.startswith("Using")]
        assert (done.returncode, told) in ((0, []), (1, [NO_MEMORY])), done.stderr
        if not (index / "index.db").exists() or done.returncode == 0:
            continue
        with contextlib.closing(sqlite3.connect(index / "index.db")) as database:
            (before,) = database.execute("SELECT count(*) FROM documents").fetchone()
        if before and 1 not in ends[:-1]:  # once is enough
            assert run("verify", "--index", str(index), within=lambda: None).returncode == 0
            assert f"{2500 - before} added" in run(*made, within=lambda: None).stdout
    assert 1 in ends


_ENDING = """
import resource, sys, threading, time
wait, room = float(sys.argv.pop(1)), int(sys.argv.pop(1))

def end():
    time.sleep(wait)
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (most, most))

threading.Thread(target=end, daemon=True).start()
from docsim.cli import run
run()
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the size of a process is not told in /proc")
@pytest.mark.timeout(900)
def test_memory_that_ends_at_any_moment_is_one_sentence_and_nothing_waits_for_it(tmp_path: Path) -> None:
    waited = [seed for seed in range(12) if not _ends_well(tmp_path / str(seed), Random(seed))]
    assert len(waited) < 2, waited  # Python 3.11 itself may go round in circles when it cannot even keep a traceback


def _ends_well(place: Path, chance: Random) -> bool:
    """Index with memory that ends at some moment, and return whether it ended; check what it said and what it kept."""
    place.mkdir()
    rows = place / "rows.jsonl"
    with rows.open("w") as file:
        for number in range(1500):
            text = " ".join(f"{chance.choice(_WORDS)}{chance.randrange(100)}" for _ in range(120))
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    index = ("index", str(rows), "--index", str(place / "index"), "--encoder", "fast")
    wait, room = chance.uniform(0.4, 4), chance.choice([0, chance.randrange(100_000), chance.randrange(20_000_000)])
    command = (sys.executable, "-c", _ENDING, str(wait), str(room), *index)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    told = [line for line in done.stderr.splitlines() if not line.startswith("Using")]
    if done.returncode == -signal.SIGABRT:  # in the midst of a library in Rust, which had asked for room before
        assert told[0].startswith("memory allocation of"), done.stderr
    else:
        assert (done.returncode, told) in ((0, []), (1, [NO_MEMORY])), done.stderr
    done = run(*index, within=lambda: None)
    assert done.returncode == 0, done.stderr
    assert run("verify", *index[2:4], within=lambda: None).returncode == 0
    return True


@pytest.mark.parametrize(("options", "told"), [((), ""), (("--debug",), "MemoryError: no room")])
@pytest.mark.parametrize("when", ["then", *thorough("at the end")])
def test_an_error_that_python_ignores_is_told_with_debug_only(
    index: Path, options: tuple[str, ...], told: str, when: str
) -> None:
    code = f"""
import sys
from docsim import cli

class Full:
    def __del__(self):
        raise MemoryError("no room")

@cli.main.result_callback()
def leave(*_, **__):
    if {when == "then"}:
        Full()
    cli.last = Full()

cli.run()
"""
    command = (sys.executable, "-c", code, *options, "sources", "--index", str(index))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert when != "then" or told in done.stderr
    assert "unraisablehook" not in done.stderr
    assert options or done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    "command", [("--help",), ("query", "keys"), *thorough(("--version",), ("query", "--help"), ("status",))]
)
def test_output_that_cannot_be_written_is_one_sentence(index: Path, command: tuple[str, ...]) -> None:
    asked = () if command[-1].startswith("--") else ("--index", str(index))
    call = (sys.executable, "-c", _DOCSIM, *command, *asked)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    said = "Error: could not read or write: No space left on device; what was committed is safe"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)
    assert "Traceback" not in done.stderr
