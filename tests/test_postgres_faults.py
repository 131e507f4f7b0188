"""Faults: a writer or the server is killed, or a connection cut; nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from effort import examples
from postgres_server import Server, server
from served import problem, serving
from turned_encoder import turned

from docsim.encoding.encoder import Encoder
from docsim.engine import opening
from docsim.engine.records import SourceName
from docsim.engine.retrying import retrying
from docsim.errors import DocsimError, IndexChanged, StoreError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex import generations, reindexing
from docsim.reindex.examination import GateOptions

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parent.parent
WRITER = """
import sys
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.models import Document

with Index.open(sys.argv[1]) as index:
    for number in range(int(sys.argv[2]), 10_000):
        texts = [Document(f"d{number}-{i}", f"lentils number {number} {i}") for i in range(3)]
        index.sync(texts, source=SourceName("python", f"run {number}", "run"))
        print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server of these tests alone, which may be killed; a test that does so starts it again."""
    server()  # skips where none can be started
    folder = tempfile.mkdtemp(prefix="docsim-pg-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    started = Server(Path(folder))
    yield started
    started.stop()


def made(address: str, encoder: Path) -> None:
    with Index.create(address, encoder=Encoder.load(encoder)) as index:
        index.sync([Document("first", "a soup of lentils")])


def writing(address: str, first: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, address, str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def acknowledged(process: subprocess.Popen[str], count: int) -> list[int]:
    """The runs that a writer says are committed, after so many; it goes on."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def check(address: str, runs: list[int]) -> None:
    """Everything acknowledged is there, every run whole or not at all, and nothing is wrong."""
    with Index.open(address) as index:
        for number in runs:
            assert index.has(f"d{number}-0")
        held = [number for number in range(max(runs, default=0) + 3) if index.has(f"d{number}-0")]
        assert all(index.has(f"d{number}-{i}") for number in held for i in range(3))
        assert index.counts().documents == 1 + 3 * len(held)
        assert verify.problems(index) == []
        assert index.search("lentils number 0 1").hits


@pytest.mark.properties
def test_a_writer_that_is_killed_loses_nothing_that_it_acknowledged(tiny_encoder_dir: Path) -> None:
    address = server().address()
    made(address, tiny_encoder_dir)
    runs: list[int] = []
    for turn in range(examples(2, 3)):
        process = writing(address, len(runs))
        runs += acknowledged(process, 4)
        time.sleep(0.03 * turn)  # somewhere in the next transaction
        process.kill()
        told, _ = process.communicate()
        runs += [int(line) for line in told.split()]
        check(address, runs)
    with Index.open(address) as index, index.engine.writer(wait=True):
        pass  # the lock ended with its process


@pytest.mark.properties
def test_a_server_that_is_killed_loses_nothing_and_is_told_in_a_sentence(own: Server, tiny_encoder_dir: Path) -> None:
    address = own.address("killed")
    made(address, tiny_encoder_dir)
    reader = Index.open(address)
    runs: list[int] = []
    for _ in range(examples(1, 2)):
        process = writing(address, len(runs))
        runs += acknowledged(process, 4)
        own.kill()
        told, failed = process.communicate(timeout=60)
        runs += [int(line) for line in told.split()]
        assert "Unreachable: could not reach the index at postgresql://" in failed.splitlines()[-1]
        started = time.monotonic()
        with pytest.raises(StoreError, match="could not reach the index at postgresql://postgres@"):
            reader.search("lentils")
        assert time.monotonic() - started < 15
        own.start()
        assert reader.search("lentils").hits  # the same object goes on
        check(address, runs)
    reader.close()


def ask_after_a_cut(index: Index, own: Server) -> None:
    with index.engine.snapshot() as snapshot:
        own.cut()
        snapshot.number("first")


def write_through_a_cut(index: Index, own: Server) -> None:
    with index.engine.writer(wait=False) as writer, writer.transaction():
        writer.open_source(None, SourceName("python", "half", "half"))
        own.cut()


def test_a_server_of_docsim_says_that_the_database_is_away_and_goes_on(own: Server, tiny_encoder_dir: Path) -> None:
    address = own.address("served")
    made(address, tiny_encoder_dir)
    with serving(opening.folder(address)) as served, served.client() as client:
        assert client.get("/v1/search", params={"text": "lentils"}).json()["hits"]
        own.kill()
        told = problem(client.get("/v1/search", params={"text": "lentils"}), 503)
        assert told == "the database of the index cannot be reached; ask again"
        own.start()
        assert client.get("/v1/search", params={"text": "lentils"}).json()["hits"]


def test_a_connection_that_is_cut_costs_at_most_one_answer(own: Server, tiny_encoder_dir: Path) -> None:
    address = own.address("cut")
    made(address, tiny_encoder_dir)
    with Index.open(address) as index:
        assert index.search("lentils").hits
        own.cut()
        assert index.search("lentils").hits  # those that waited are made anew
        with pytest.raises(StoreError, match="try again"):
            ask_after_a_cut(index, own)
        assert index.search("lentils").hits


def test_a_writer_whose_connection_is_cut_commits_nothing_more(own: Server, tiny_encoder_dir: Path) -> None:
    address = own.address("cut_writer")
    made(address, tiny_encoder_dir)
    with Index.open(address) as index:
        with pytest.raises(StoreError):
            write_through_a_cut(index, own)
        assert [one.source.name for one in index.engine.sources().sources()] == ["python"]
        assert index.sync([Document("second", "stew")], prune=False).added == 1
        assert verify.problems(index) == []


def test_answers_never_mix_generations_while_documents_and_generations_change(
    tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    address = server().address()
    other = Encoder.load(turned(tiny_encoder_dir, tmp_path / "turned"))
    documents = [Document(f"d{i}", f"lentils soup number {i}") for i in range(40)]
    with Index.create(address, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(documents)
    stop, wrong, count = threading.Event(), list[str](), [0]

    def ask() -> None:
        with Index.open(address) as index:
            while not stop.is_set():
                try:
                    found = index.search("lentils soup number 7", k=3)
                except DocsimError as error:
                    wrong.append(str(error))
                    continue
                count[0] += 1
                if not found.hits or found.hits[0].similarity < 0.9:  # turned vectors of another space would be far
                    wrong.append(f"{found.hits[:1]} of generation with {found.encoder[:8]}")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with Index.open(address) as index:
            for turn in range(2):
                index.sync([*documents, Document(f"new{turn}", "zebra")])
                done = reindexing.reindex(
                    index,
                    other if turn == 0 else Encoder.load(tiny_encoder_dir),
                    gate=GateOptions(publish_anyway=True, report=tmp_path / f"report{turn}"),
                )
                assert done.published
            generations.rollback(index)
            generations.prune(index, keep=1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert count[0] > 20


def test_a_generation_that_is_pruned_before_a_search_came_to_it_is_no_damage(
    tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    address = server().address()
    with Index.create(address, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(f"d{i}", f"lentils soup number {i}") for i in range(9)])
        other = Encoder.load(turned(tiny_encoder_dir, tmp_path / "turned"))
        with Index.open(address) as reader:
            gone = pytest.raises(IndexChanged, match='relation "embeddings_1" does not exist')
            with gone, retrying(), reader.engine.snapshot(encoder=True) as snapshot:
                query = snapshot.encoder.encode(["lentils"])
                assert reindexing.reindex(index, other, gate=GateOptions(publish_anyway=True)).published
                generations.prune(index, keep=1)
                snapshot.knn(query, 3)
            assert reader.search("lentils soup", 3).hits


def test_two_processes_cannot_write_at_once_and_one_waits(tiny_encoder_dir: Path) -> None:
    address = server().address()
    made(address, tiny_encoder_dir)
    engine = opening.open_engine(address)
    with engine.writer(wait=False):
        process = writing(address, 0)
        _, failed = process.communicate(timeout=60)
        assert "IndexLocked: another process is writing to the index at postgresql://" in failed
    engine.close()


def test_a_server_that_hangs_is_given_up_within_a_bound(own: Server, tiny_encoder_dir: Path) -> None:
    address = own.address("hangs").replace("schema=", "connect_timeout=2&schema=")
    made(address, tiny_encoder_dir)
    os.kill(own.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(StoreError, match="could not reach"):
            opening.open_engine(address)
        assert time.monotonic() - started < 10
    finally:
        os.kill(own.pid, signal.SIGCONT)
    with Index.open(address) as index:
        assert index.search("lentils").hits
