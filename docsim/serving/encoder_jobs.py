"""Encoder jobs: jobs that change which encoder answers, each in a process of its own, one after the other.

They take minutes, and training needs packages that a server does without. So the process that writes starts another
one, which is told what to do and tells how far it is: see ``docsim.jobs.job_process``. Documents are written
meanwhile. When the server ends, so does that process; the next server does the job again, which goes on where it can.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from docsim import threads
from docsim.serving.writing import Jobs, Rebuild

__all__ = ["EncoderJobs"]

logger = logging.getLogger(__name__)

_PAUSE = 0.5
"""Seconds between two looks for jobs."""


class EncoderJobs:
    """A thread that has jobs done, while this process is the one that does jobs."""

    def __init__(self, index: Path, jobs: Jobs) -> None:
        """Make it for an index; ``running`` starts the thread."""
        self._index, self._jobs = index, jobs
        self._ending = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have jobs done for the length of the block; one that is being done at its end is broken off."""
        self._ending.clear()
        thread = threads.start(self._run, name="docsim-rebuilding")
        try:
            yield
        finally:
            self._ending.set()
            if process := self._process:
                process.terminate()
            thread.join(2)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                if job := self._jobs.next(get_args(Rebuild)):
                    self._do(*job)
                else:
                    self._ending.wait(_PAUSE)
            except Exception:
                logger.exception("a job that changes the encoder could not be done, and is tried again")
                self._ending.wait(5 * _PAUSE)

    def _do(self, number: int, kind: str, asked: dict[str, Any]) -> None:
        logger.warning("job %d, %s, begins", number, kind)
        told: dict[str, Any] = {}
        with subprocess.Popen(
            [sys.executable, "-m", "docsim.jobs.job_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the server
        ) as process:
            self._process = process
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"index": str(self._index), "kind": kind, "asked": asked}) + "\n")
            process.stdin.flush()  # and it stays open: the process ends with it
            if self._ending.is_set():
                process.terminate()
            for line in process.stdout:
                told = json.loads(line)
                if "progress" in told:
                    self._jobs.note(number, told["progress"])
        self._process = None
        if "result" in told:
            self._jobs.finish(number, "done", told["result"])
        elif "error" in told or not self._ending.is_set():
            ended = f"the process that did it ended with {process.returncode}; the server's log may say why"
            self._jobs.finish(number, "failed", {"error": told.get("error", ended)})
