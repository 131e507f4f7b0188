"""What tests of encoding in bulk share: an index to encode, and what the files of embeddings hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray
from toy_training import documents

from docsim import Document, Encoder, Index

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-c", "from docsim.cli import run; run()")


def pages(count: int) -> list[Document]:
    """Return some documents, each different from all others, some of several passages."""
    found = documents(count)
    return [
        Document(f"page{number:04}.md", f"{one.text} number {number}\n\n" * (1 + number % 3 * 8), f"Page {number}")
        for number, one in enumerate(found)
    ]


def made(path: Path, encoder: Path, count: int) -> Path:
    """Make an index of some pages with an encoder."""
    with Index.create(path, encoder=Encoder.load(encoder)) as index:
        index.sync(pages(count))
    return path


def start(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command of docsim."""
    given = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(*arguments: str | Path, code: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run a command of docsim, and return its output."""
    process = start(*arguments, environment=environment)
    stdout, stderr = process.communicate()
    assert process.returncode == code, stdout + stderr
    return stdout


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of embeddings below a folder, by name; fail where there is anything else."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= {".arrow"}
    return {path.name: path.read_bytes() for path in found}


def wait_for_files(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process has written some files."""
    while len(list(folder.rglob("*.arrow"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all files, as another program reads them."""
    tables = [pa.ipc.open_file(pa.BufferReader(content)).read_all() for content in files(folder).values()]
    return [row for table in tables for row in table.to_pylist()]


def vectors(folder: Path) -> dict[tuple[str, int], NDArray[np.float16]]:
    """Return the embeddings in the files by document and start of the passage; fail where a passage is there twice."""
    every = rows(folder)
    found = {(row["id"], row["start"]): np.array(row["embedding"], np.float16) for row in every}
    assert len(found) == len(every)
    return found


def stored(index: Index) -> dict[tuple[str, int], NDArray[np.float16]]:
    """Return the embeddings that an index holds, likewise."""
    with index.engine.snapshot() as snapshot:
        numbers = snapshot.embedded()
        spans, every = snapshot.passages(numbers.tolist()), snapshot.documents(numbers.tolist())
        return {
            (every[number].document.id, span.start): row.copy()
            for number, embeddings in zip(numbers.tolist(), snapshot.embeddings(numbers), strict=True)
            for span, row in zip(spans[number], embeddings, strict=True)
        }


def check_equal(found: dict[tuple[str, int], Any], expected: dict[tuple[str, int], Any]) -> None:
    """Check that nothing is lost, nothing is there that should not be, and vectors are within 1e-4."""
    assert found.keys() == expected.keys()
    for place, row in expected.items():
        np.testing.assert_allclose(found[place].astype(np.float32), row.astype(np.float32), atol=1e-4, rtol=0)
