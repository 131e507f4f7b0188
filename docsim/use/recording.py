"""Recording: what is asked goes into a queue, which one thread of the process writes to the log.

A search only puts a record into the queue. Whatever goes wrong with the log - a full disk, a lock, damage - is told to
the program's own log, and costs records, never an answer.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path

from docsim.errors import DocsimError
from docsim.use.log import UseLog
from docsim.use.people import People
from docsim.use.records import Event, Question

__all__ = ["KEEP_DAYS", "Recorder"]

logger = logging.getLogger(__name__)

KEEP_DAYS = 180
"""For so many days records are kept, unless told otherwise."""

_WAITING = 10_000  # records in the queue; more are dropped
_TOGETHER = 500  # records in one transaction
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
        self._queue: queue.SimpleQueue[Question | Event | threading.Event | None] = queue.SimpleQueue()
        self._complained = -_COMPLAINT_SECONDS
        self.dropped = 0
        """Records that were lost, because they came too fast or could not be written."""
        self._thread = threading.Thread(target=self._run, name="docsim-recording", daemon=True)
        self._thread.start()

    def record(self, one: Question | Event) -> None:
        """Take in a record; it is written within a second, or dropped when too many are waiting."""
        if self._queue.qsize() >= _WAITING:
            self.dropped += 1
        else:
            self._queue.put(one)

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything taken in so far was written or given up; return whether it was in time."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(timeout)

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._queue.put(None)
        self._thread.join(5)

    def _run(self) -> None:
        forgotten, open_ = -_FORGETTING_SECONDS, True
        while open_:
            batch, flushed, open_ = self._gathered()
            try:
                with UseLog.opened(self._index) as log:
                    log.write(batch)
                    if time.monotonic() - forgotten > _FORGETTING_SECONDS:
                        forgotten = time.monotonic()
                        log.forget_before(self._keep_days)
            except DocsimError as error:
                self._complain(len(batch), error)
            except Exception as error:  # whatever it is, the next records may be written
                self._complain(len(batch), error)
            for one in flushed:
                one.set()

    def _gathered(self) -> tuple[list[Question | Event], list[threading.Event], bool]:
        """Wait for records; return them, who waits for them to be written, and whether there will be more."""
        batch: list[Question | Event] = []
        flushed: list[threading.Event] = []
        end: float | None = None
        while len(batch) < _TOGETHER and not flushed:
            try:
                one = self._queue.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if one is None:
                return batch, flushed, False
            if isinstance(one, threading.Event):
                flushed.append(one)
            else:
                batch.append(one)
                end = end or time.monotonic() + _GATHERED_SECONDS
        return batch, flushed, True

    def _complain(self, lost: int, error: Exception) -> None:
        self.dropped += lost
        if time.monotonic() - self._complained >= _COMPLAINT_SECONDS:
            self._complained = time.monotonic()
            logger.error("%d records of use were lost: %s", lost, error)
