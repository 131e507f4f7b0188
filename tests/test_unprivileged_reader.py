"""A reader that may not write to the index's folder sees what others commit, and never a mixture or damage."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docsim.encoding.encoder import Encoder
from docsim.engine.local import writer
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.indexing.sync import Sync
from docsim.models import Document

NOBODY = 65534
PAGES = 40

READER = """
import json, os, re, sys
from docsim import Index
from docsim.errors import DocsimError
from docsim.maintenance import verify as verification
def texts(index, mode):
    hits = index.search("visitors and guests", 5, mode=mode).hits
    return sorted({name for hit in hits for one in hit.passages for name in re.findall("state\\d+", one.text)})
def asked(index):
    return [texts(index, mode) for mode in ("hybrid", "dense", "lexical")]
path, stop, copy, user = sys.argv[1:]
with Index.open(copy) as index:  # imports all that is needed, which that user may not be able to read
    assert asked(index) and not verification.problems(index)
os.setgroups([])
os.setresgid(*[int(user)] * 3)
os.setresuid(*[int(user)] * 3)
with Index.open(path) as index:
    for line in sys.stdin:
        try:
            if line == "verify\\n":
                told = verification.problems(index)
            elif line == "go on\\n":
                told = []
                while not os.path.exists(stop):
                    told += asked(index)
            elif line == "hold\\n":
                told = []
                with index.engine.snapshot():
                    print(json.dumps(index.document("p0").document.text.split()[0]), flush=True)
                    sys.stdin.readline()
                    index.document("p0")
            else:
                told = asked(index)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
        print(json.dumps(told), flush=True)
"""


class Reader:
    """A process of another user that has an index open."""

    def __init__(self, path: Path, *, stop: Path, copy: Path) -> None:
        command = [sys.executable, "-c", READER, *map(str, (path, stop, copy, NOBODY))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what: str = "search") -> Any:
        self.begin(what)
        return self.answer()

    def begin(self, what: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def pages(state: int) -> list[Document]:
    """Return the documents of a state, whose texts begin with its name; each state is of another size."""
    filler, paragraphs = random.Random(state), 1 + 30 * (state % 3)
    return [
        Document(f"p{n}", "\n\n".join(f"state{state} visitors and guests {filler.random()}" for _ in range(paragraphs)))
        for n in range(PAGES)
    ]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may look into, but only its owner write to."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@dataclass(frozen=True)
class Written:
    """An index, to be written to by its owner."""

    path: Path
    encoder: Encoder

    @contextmanager
    def writing(self) -> Iterator[Callable[[int], None]]:
        """Hold the one connection that writes; yield what commits a state, which is in the log until the end."""
        with writer.opened(self.path, wait=False) as opened:

            def commit(state: int) -> None:
                source = SourceName("python", "python", "python")
                Sync(opened, source, lambda: self.encoder, batch=Index.batch).run(pages(state))
                opened.optimize()

            yield commit

    def commit(self, state: int) -> None:
        with self.writing() as commit:
            commit(state)


@pytest.fixture
def index(place: Path, tiny_encoder_dir: Path) -> Written:
    index = Written(place / "index", Encoder.load(tiny_encoder_dir))
    Index.create(index.path, encoder=index.encoder).close()
    index.commit(0)
    for file in index.path.glob("index.db-*"):  # by which SQLite keeps readers from changes; a copied index has none
        assert file.suffix != ".db-wal" or file.stat().st_size == 0
        file.unlink()
    return index


@pytest.fixture
def reader(index: Written, place: Path) -> Iterator[Reader]:
    shutil.copytree(index.path, place / "copy")
    reader = Reader(index.path, stop=place / "stop", copy=place / "copy")
    yield reader
    reader.process.communicate()


def just(state: int) -> Sequence[Sequence[str]]:
    """Return what the reader tells of one state, in each mode of search."""
    return [[f"state{state}"]] * 3


def test_what_was_committed_after_it_was_opened_is_found(reader: Reader, index: Written) -> None:
    assert reader.ask() == just(0)
    for state in (1, 2):
        index.commit(state)
        assert reader.ask() == just(state)
    with Index.open(index.path) as written:
        written.sync([], prune=True)
    assert reader.ask() == [[]] * 3
    assert reader.ask("verify") == []


def test_what_is_committed_but_not_yet_in_the_database_file_is_found(reader: Reader, index: Written) -> None:
    assert reader.ask() == just(0)
    with index.writing() as commit:
        commit(1)
        assert (index.path / "index.db-wal").stat().st_size > 0
        assert reader.ask() == just(1)
        commit(2)
        assert reader.ask() == just(2)
    assert reader.ask() == just(2)


def test_a_log_that_cannot_be_read_is_one_sentence_until_it_is_in_the_database_file(
    reader: Reader, index: Written
) -> None:
    assert reader.ask() == just(0)
    with index.writing() as commit:
        commit(1)
        for file in index.path.glob("index.db-*"):
            file.chmod(0o600)
        assert reader.ask().startswith("StoreError: the last writes to")
    assert reader.ask() == just(1)


def test_what_was_read_while_the_file_changed_is_not_used(reader: Reader, index: Written) -> None:
    assert reader.ask("hold") == "state0"
    index.commit(1)
    assert reader.ask("go on reading").startswith("IndexChanged: the index at")
    assert reader.ask() == just(1)


@pytest.mark.thorough
def test_no_answer_is_a_mixture_of_two_states_and_none_tells_of_damage(
    reader: Reader, index: Written, place: Path
) -> None:
    assert reader.ask() == just(0)
    reader.begin("go on")
    for state in range(1, 13):
        index.commit(state)
    (place / "stop").touch()
    told = reader.answer()
    assert not isinstance(told, str), told
    assert {len(states) for states in told} == {1}
    assert len({states[0] for states in told}) > 3
    assert reader.ask() == just(12)
    assert reader.ask("verify") == []
