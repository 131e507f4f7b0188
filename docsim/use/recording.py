"""Recording: what is asked goes into a queue, which one thread of the process writes to the log now and then.

A search only puts a record into the queue. Whatever goes wrong with the log - a full disk, a lock, damage - is told to
the program's own log, and costs records, never an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from docsim import threads
from docsim.use.log import KEEP_DAYS, UseLog
from docsim.use.people import People
from docsim.use.records import Event, Question

__all__ = ["Recorder"]

logger = logging.getLogger(__name__)

_WAITING = 10_000  # records in the queue; more are dropped
_GATHERED_SECONDS = 0.2  # what comes within this time is written together
_FORGETTING_SECONDS = 3600.0  # between two looks for what is too old
_COMPLAINT_SECONDS = 60.0  # between two complaints


class Recorder:
    """Records the use of an index; safe to use from several threads."""

    def __init__(self, index: Path, *, keep_days: float = KEEP_DAYS) -> None:
        """Begin to record.

        Args:
            index: The index's directory.
            keep_days: What is older than this is deleted, once an hour.

        Raises:
            StoreError: The log or the key cannot be read or made.
        """
        self.people = People(index)
        UseLog(index).close()
        self._index, self._keep_days = index, keep_days
        self._waiting: deque[Question | Event] = deque()
        self._ending, self._writing = threading.Event(), threading.Lock()
        self._complained, self._forgotten = -_COMPLAINT_SECONDS, -_FORGETTING_SECONDS
        self.dropped = 0
        """Records that were lost, because they came too fast or could not be written."""
        self._thread = threads.start(self._run, name="docsim-recording")

    def record(self, one: Question | Event) -> None:
        """Take in a record; it is written within a second, or dropped when too many are waiting.

        The thread that writes is not woken: switching to it would take longer than all else here.
        """
        if len(self._waiting) >= _WAITING:
            self.dropped += 1
        else:
            self._waiting.append(one)

    def flush(self) -> None:
        """Write everything taken in so far."""
        with self._writing:
            self._write()

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._ending.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ending.wait(_GATHERED_SECONDS):
            self.flush()
        self.flush()

    def _write(self) -> None:
        """Write what is waiting, and delete what is too old if that was not looked for lately."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        is_due = time.monotonic() - self._forgotten > _FORGETTING_SECONDS
        if not batch and not is_due:
            return
        try:
            with UseLog.opened(self._index) as log:
                log.write(batch)
                if is_due:
                    self._forgotten = time.monotonic()
                    log.forget_before(self._keep_days)
        except Exception as error:  # whatever it is, the next records may be written
            self._complain(len(batch), error)

    def _complain(self, lost: int, error: Exception) -> None:
        self.dropped += lost
        if time.monotonic() - self._complained >= _COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            logger.error("%d records of use were lost: %s", lost, error)
