"""Shards in plain processes of this machine: ``docsim.bulk.worker``, one shard at a time each."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict

from docsim import child_process
from docsim.bulk.embedding import Done, Job
from docsim.bulk.shards import Shard
from docsim.child_process import Frame
from docsim.errors import DocsimError
from docsim.threads import Threads

__all__ = ["run"]

_TRIES = 3
"""How often a shard is given to a process before it is given up, as one that ends every process."""


def run(shards: Sequence[Shard], job: Job, *, workers: int) -> Iterator[Done]:
    """Encode shards in some processes, and yield each as it is done. A process that dies is replaced.

    Raises:
        DocsimError: A shard cannot be encoded; those that were done stay.
    """
    pool = _Pool(job)
    try:
        with Threads(workers, "docsim-bulk") as threads:
            waiting: set[Future[Done]] = {threads.submit(pool.embed, shard) for shard in shards}
            try:
                while waiting:
                    over, waiting = threads.first_of(waiting)
                    yield from (one.result() for one in over)
            except BaseException:
                for one in waiting:
                    one.cancel()
                pool.end()  # so that what is under way ends now
                raise
    finally:
        pool.end()


class _Pool:
    """Processes, made when they are needed; safe to use from several threads."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._over = False

    def embed(self, shard: Shard) -> Done:
        """Encode a shard in an idle process, or in a new one."""
        for _ in range(_TRIES):
            process = self._taken()
            answer = _asked(process, shard)
            if answer is not None:
                self._idle.put(process)
                return _read(answer)
            process.kill()
            process.wait()
            if self._over:
                break
        what = shard.file or f"documents {shard.numbers[0]} to {shard.numbers[-1]}"
        raise DocsimError(f"could not encode {what}: {_TRIES} processes ended before they had; perhaps memory ran out")

    def end(self) -> None:
        """End all processes."""
        self._over = True
        with self._lock:
            for process in self._all:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        with suppress(OSError):  # what was written to a process that is gone
                            pipe.close()
            self._all.clear()

    def _taken(self) -> subprocess.Popen[bytes]:
        with suppress(queue.Empty):
            return self._idle.get_nowait()
        with self._lock:
            process = child_process.start("docsim.bulk.worker", str(self._job.threads))
            self._all.append(process)
        assert process.stdin is not None
        with suppress(OSError):
            child_process.send(process.stdin, Frame(asdict(self._job)))
        return process


def _asked(process: subprocess.Popen[bytes], shard: Shard) -> Frame | None:
    """Return what a process answers; None when it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        child_process.send(process.stdin, Frame(asdict(shard)))
        return child_process.receive(process.stdout)
    except (OSError, ValueError):
        return None


def _read(answer: Frame) -> Done:
    if "error" in answer.header:
        raise DocsimError(str(answer.header["error"]))
    given = dict(answer.header)
    return Done(**given | {"failures": tuple(given["failures"])})
