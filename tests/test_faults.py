"""Faults: whenever the process dies or the disk fills up, the last committed state answers and a new run finishes.

Run as a script, this file is the harness that dies: ``tests/test_faults.py SCENARIO ENCODER DIRECTORY KILLS EVERY``
forks a child for every kill, and one that looks at what it left, and prints one JSON object for each.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from effort import examples, thorough
from encoder_variants import with_other_dim
from kill_jobs import JOBS, NEW, OLD, OTHER_DIM, Job, check, create_and_sync, documents
from opened import faiss_file, ids_of, store_of, texts_of

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann, generations
from docsim.errors import DocsimError, IndexLocked, StoreError
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex import reindexing
from docsim.reindex.examination import GateOptions

pytestmark = pytest.mark.faults

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
INTERRUPTED = 130
"""The exit code of a child that was interrupted from the keyboard."""

A_BATCH = 250
"""Characters a batch, for some three documents each."""

_COMMITS = (
    *("BEGIN IMMEDIATE", "COMMIT", "UPDATE meta", "UPDATE generations", "CREATE", "PRAGMA user_version", "DELETE"),
    *(
        "INSERT INTO embeddings",
        "INSERT INTO words",
        "INSERT OR REPLACE INTO verdicts",
        "PRAGMA incremental_vacuum",
        "PRAGMA wal_checkpoint",
    ),
)
_FILES = {"os.rename", "os.remove", "os.mkdir", "shutil.copyfile", "shutil.rmtree"}


# The harness, in a process of its own


def forked(work: Callable[[], None]) -> int:
    """Run ``work`` in a child; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def die_at(number: int, log: Path) -> None:
    """Kill this process just before its ``number``-th event: a statement that counts, or a change of a file."""
    seen = 0

    def tick(what: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            log.write_text(what[:80])
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(sql: str) -> None:
        if sql.startswith(_COMMITS):
            tick(sql)

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(statement)
        return connection

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect
    setattr(sqlite3, "connect", traced)  # noqa: B010 - its type says that it cannot be replaced
    sys.addaudithook(lambda event, _: tick(event) if event in _FILES else None)


def examined(job: Job, path: Path, encoder: Encoder) -> None:
    """Look at what a kill left, run the job again, and look at that."""
    try:
        found: Index | None = Index.open(path)
    except StoreError:
        assert job.states[0] == {}, "an index that was finished cannot be opened"
        found = None
    if found is not None:
        with found as index:
            check(index, job.states, is_damaged=job.is_damaged)
            assert index.encoder.dim in job.live
        job.before(path)
    job.run(path, encoder)
    with Index.open(path) as index:
        check(index, job.states[-1:])
        assert index.encoder.dim == job.live[1]
        accelerated = job is JOBS["approximate"]
        assert len(list(path.rglob("approximate.*"))) == (3 if accelerated else 0)
        kept = {f"{one.number:04}" for one in store_of(index).generations()}
    assert {one.name for one in path.glob("generations/*")} == kept
    leftovers = {one.name for one in path.rglob("*") if one.suffix == ".tmp"}
    assert not leftovers, f"left behind: {leftovers}"
    job.after(path)


@dataclass(frozen=True)
class Trial:
    """One kill: at an event, or some seconds after the start, which may be by another signal."""

    event: int = 0
    seconds: float = 0
    signal: signal.Signals = signal.SIGKILL

    def run(self, work: Callable[[], None], log: Path) -> bool:
        """Run ``work`` in a child that is killed; return whether it was, and write what it was about to do."""

        def dying() -> None:
            if self.event:
                die_at(self.event, log)
            work()

        log.write_text(self.signal.name if self.seconds else "the end")
        child = forked(dying)
        if self.seconds:
            time.sleep(self.seconds)
            os.kill(child, self.signal)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code <= 0 or code == INTERRUPTED, "the job failed"
        return code != 0


def killed_once(job: Job, trial: Trial, encoder: Path, directory: Path) -> bool:
    """Run a job that is killed, examine what is left and print it; return whether it was killed."""
    path, prepared, log = directory / "index", directory / "prepared", directory / "log"
    for old in (path, *(directory / name for name in job.beside)):
        shutil.rmtree(old, ignore_errors=True)
    if not prepared.exists():
        os.waitpid(forked(lambda: job.prepare(prepared, Encoder.load(encoder))), 0)
    if prepared.exists():
        shutil.copytree(prepared, path)
    killed = trial.run(lambda: job.run(path, Encoder.load(encoder)), log)

    def examine() -> None:
        with (directory / "problem").open("w") as problem:
            os.dup2(problem.fileno(), 2)
            examined(job, path, Encoder.load(encoder))

    _, status = os.waitpid(forked(examine), 0)
    problem = (directory / "problem").read_text()[-1500:] if status else ""
    sys.stdout.write(json.dumps({"at": log.read_text(), "killed": killed, "problem": problem}) + "\n")
    sys.stdout.flush()  # or the next child would write it too
    return killed


def seconds_of(job: Job, encoder: Path, directory: Path) -> float:
    """Return how long a job takes that is not killed, at best: others may have stopped it for a while."""
    timed, found = directory / "timed", []
    path = timed / "index"
    for _ in range(3):
        shutil.rmtree(timed, ignore_errors=True)
        timed.mkdir(parents=True)
        os.waitpid(forked(lambda: job.prepare(path, Encoder.load(encoder))), 0)
        began = time.monotonic()
        os.waitpid(forked(lambda: job.run(path, Encoder.load(encoder))), 0)
        found.append(time.monotonic() - began)
    return min(found)


def harness(scenario: str, encoder: Path, directory: Path, random_kills: int, every: int) -> None:
    """Kill at one of ``every`` events until the job finishes; or at random times, if ``random_kills`` are asked for."""
    import sqlite_utils.migrations  # noqa: F401 - takes seconds, so before any fork

    Index.batch = A_BATCH
    generations.STALE = 0.0
    ann.LEAST = ann.PROPOSED = ann.TUNED_NEIGHBOURS = 1
    ann.BROADEST = 4.0  # so that a dozen passages are searched approximately
    chance = random.Random(0)
    whole = seconds_of(JOBS[scenario], encoder, directory) if random_kills else 0
    for number in range(random_kills):
        trial = Trial(seconds=chance.uniform(0.001, whole), signal=SIGNALS[number % len(SIGNALS)])
        killed_once(JOBS[scenario], trial, encoder, directory)
    for event in itertools.count(1, every):
        if random_kills or not killed_once(JOBS[scenario], Trial(event=event), encoder, directory):
            return


# The tests


def kills(
    scenario: str, encoder: Path, directory: Path, *, random_kills: int = 0, every: int = 1
) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, scenario, str(encoder), str(directory), str(random_kills), str(every)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("scenario", "every"), [("sync", 20), ("prune", 12)])
def test_killed_at_one_of_some_steps_it_answers_and_is_finished_by_the_next_run(
    scenario: str, every: int, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    found = kills(scenario, tiny_encoder_dir, tmp_path, every=every)
    assert [one for one in found if one["problem"]] == []
    assert len({one["at"] for one in found}) > 3
    assert found[-1]["at"] == "the end"


@pytest.mark.parametrize("scenario", thorough("sync", "create", "remove", "rm", "approximate"))
def test_killed_before_any_commit_it_answers_and_is_finished_by_the_next_run(
    scenario: str, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    found = kills(scenario, tiny_encoder_dir, tmp_path)
    assert [one for one in found if one["problem"]] == []
    events = {one["at"].split()[0] for one in found}
    assert {"BEGIN", "COMMIT", "UPDATE", "os.rename"} <= events
    assert found[-1]["at"] == "the end"


@pytest.mark.parametrize(
    ("scenario", "steps"),
    [
        pytest.param(
            *("reindex", {"os.mkdir", "shutil.copyfile", "os.rename", "COMMIT", "INSERT"}), marks=pytest.mark.thorough
        ),
        pytest.param("rollback", {"COMMIT", "INSERT", "UPDATE"}, marks=pytest.mark.thorough),
        pytest.param("prune", {"DELETE", "COMMIT", "shutil.rmtree", "PRAGMA"}, marks=pytest.mark.thorough),
    ],
)
def test_killed_at_any_step_of_changing_generations_it_answers_from_a_whole_one_and_is_finished_by_the_next_run(
    scenario: str, steps: set[str], tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    found = kills(scenario, tiny_encoder_dir, tmp_path)
    assert [one for one in found if one["problem"]] == []
    assert steps <= {one["at"].split()[0] for one in found}
    assert found[-1]["at"] == "the end"


@pytest.mark.thorough
@pytest.mark.properties
def test_killed_at_any_time_it_answers_and_is_finished_by_the_next_run(tiny_encoder_dir: Path, tmp_path: Path) -> None:
    count = examples(4, 20)
    for scenario in ("sync", "reindex"):
        found = kills(scenario, tiny_encoder_dir, tmp_path / scenario, random_kills=count)
        assert len(found) == count
        assert [one for one in found if one["problem"]] == []


# Two writers

_SLOW_WRITER = """
import sys
from docsim import Document, Index

def documents():
    yield Document("slow", "text")
    print("writing", flush=True)
    sys.stdin.readline()

with Index.open(sys.argv[1]) as index:
    index.sync(documents(), prune=False)
"""


@pytest.fixture
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(documents(OLD))
        yield index


@contextmanager
def slow_writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a sync, which goes on when it is sent a line."""
    command = [sys.executable, "-c", _SLOW_WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        try:
            yield writer
        finally:
            writer.kill()


def test_a_second_process_that_writes_is_refused_at_once(index: Index) -> None:
    with slow_writer(index.path):
        started = time.monotonic()
        with pytest.raises(IndexLocked, match="another process is writing"):
            index.sync(documents(NEW))
        assert time.monotonic() - started < 5
        with pytest.raises(IndexLocked):
            verify.repair(index)
        assert {hit.id for hit in index.search("soup", 50).hits} == set(OLD)


def test_a_second_process_that_waits_goes_on_when_the_first_has_finished(index: Index) -> None:
    with slow_writer(index.path) as first:
        waiting = threading.Thread(target=index.sync, args=(documents(NEW),), kwargs={"wait": True, "prune": False})
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
        assert texts_of(index)["d3"] == OLD["d3"]
        first.communicate("go on\n", timeout=60)
        assert first.returncode == 0
        waiting.join(60)
    assert ids_of(index) == {*OLD, *NEW, "slow"}


def test_the_lock_of_a_process_that_was_killed_is_free(index: Index) -> None:
    with slow_writer(index.path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait(60)
        assert index.sync(documents(NEW)).changed == 3
    assert verify.problems(index) == []


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def only_free(disk: Path, kilobytes: int) -> Iterator[None]:
    """Fill the disk up to the last few kilobytes."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - kilobytes * 1024))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("kilobytes", [0, 40, 400, *thorough(8, 150, 900)])
def test_a_full_disk_is_one_clear_error_and_loses_nothing(small_disk: Path, encoder: Encoder, kilobytes: int) -> None:
    much = [*documents(OLD), *(Document(f"more{i}", f"restore the database {i} " * 400) for i in range(300))]
    with Index.create(small_disk / "index", encoder=encoder) as index:
        index.sync(documents(OLD))
        with only_free(small_disk, kilobytes), pytest.raises(DocsimError, match="could not write"):
            index.sync(much)
        assert verify.problems(index) == []
        assert {hit.id for hit in index.search("soup", 1000).hits} >= set(OLD)
        small = [*documents(OLD), Document("small", "a small one")]
        assert index.sync(small).failures == ()
        assert {hit.id for hit in index.search("soup", 1000).hits} == {*OLD, "small"}


@pytest.mark.parametrize("kilobytes", [0, 40, *thorough(4, 120, 180)])
def test_a_disk_that_is_full_at_the_start_leaves_nothing_in_the_way(
    small_disk: Path, encoder: Encoder, kilobytes: int
) -> None:
    path = small_disk / "index"
    with only_free(small_disk, kilobytes), pytest.raises(DocsimError, match="could not write"):
        Index.create(path, encoder=encoder)
    with Index.create(path, encoder=encoder) as index:
        index.sync(documents(OLD))
        check(index, (OLD,))


@pytest.mark.parametrize("kilobytes", [8, *thorough(0, 40, 80)])
def test_a_disk_that_is_full_during_a_reindex_is_one_clear_error_and_the_next_run_finishes(
    small_disk: Path, tmp_path: Path, encoder: Encoder, kilobytes: int
) -> None:
    path, much = small_disk / "index", {f"d{i}": f"restore the database {i} " * 40 for i in range(200)}
    create_and_sync(path, encoder, much)
    other = Encoder.load(with_other_dim(encoder.path, tmp_path / "other", OTHER_DIM))
    with (
        Index.open(path) as index,
        only_free(small_disk, kilobytes),
        pytest.raises(DocsimError, match="could not write"),
    ):
        reindexing.reindex(index, other, gate=GateOptions(max_loss=1))
    with Index.open(path) as index:
        assert verify.problems(index) == []
        assert index.search("database").generation == 1
        assert reindexing.reindex(index, other, gate=GateOptions(max_loss=1)).published
        assert index.search("database").generation == 2
        assert verify.problems(index) == []


def test_a_snapshot_that_cannot_be_written_keeps_what_was_committed(small_disk: Path, encoder: Encoder) -> None:
    with Index.create(small_disk / "index", encoder=encoder) as index:
        index.sync(documents(OLD))
        blocked = faiss_file(index)
        blocked.unlink()
        blocked.mkdir()
        with pytest.raises(StoreError, match="committed before is safe"):
            index.sync(documents(NEW))
        assert texts_of(index) == NEW
        blocked.rmdir()
        index.sync(documents(NEW))
        check(index, (NEW,))


if __name__ == "__main__":
    harness(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
