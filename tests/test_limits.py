"""Little memory and few file descriptors: docsim works, or says in one sentence why not, and loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from docsim import Document, Encoder, Index

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.faults

_DOCSIM = "import sys; sys.argv[0] = 'docsim'; from docsim.cli import run; run()"


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


def test_400_mb_of_memory_are_refused_in_one_sentence(index: Path) -> None:
    done = run("query", "lentils", "--index", str(index), within=limited(resource.RLIMIT_AS, 400 << 20))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: expected a limit of at least 512 MB of memory, got 400 MB. Try: ulimit -v\n"
