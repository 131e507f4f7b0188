"""Background: segments are made by a thread of its own, while the next documents are encoded and committed.

Encoding leaves the interpreter to other threads most of the time, so finding words then costs little time. A document
is handed over when its transaction is committed, and a few transactions wait at most. What the thread makes counts only
once ``keeping.write`` says so; until then a kill, an error or a deletion in between loses nothing but time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import Queue

from docsim.engine.local.words import building, segment
from docsim.engine.local.words.building import Text

__all__ = ["Beside", "Made"]

logger = logging.getLogger(__name__)

WAITING = 2
"""Transactions whose words are not found yet; a third one has to wait. This bounds memory."""


@dataclass(frozen=True, slots=True)
class Made:
    """Segments of all documents that were committed after a point.

    Attributes:
        after: The point: all their first passage numbers are above this.
        deletion: The sequence number of the last deletion before that.
        segments: For each its checksum and the first passage number of its last document.
    """

    after: int
    deletion: int
    segments: tuple[tuple[str, int], ...]


class Beside:
    """Makes segments of documents that are handed over in ascending order of their first passage numbers."""

    def __init__(self, place: Path, *, after: int, deletion: int) -> None:
        """Start the thread.

        Args:
            place: The folder of the segments.
            after: The last passage number before the first document.
            deletion: The sequence number of the last deletion before the first document.
        """
        self._after, self._deletion, self._place = after, deletion, place
        self._queue: Queue[Sequence[Text] | None] = Queue(WAITING)
        self._found: list[tuple[str, int]] = []
        self._failure: Exception | None = None
        self._is_wanted, self._is_over = True, False
        self._thread = threading.Thread(target=self._run, name="docsim-words", daemon=True)
        self._thread.start()

    def add(self, texts: Sequence[Text]) -> None:
        """Hand over the documents of a committed transaction; waits while too many are waiting."""
        if texts:
            self._queue.put(texts)

    def finish(self) -> Made | None:
        """Wait until all segments are written, and return them; None when that failed."""
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            logger.info("could not make words beside encoding (%s); making them again", self._failure)
            return None
        return Made(self._after, self._deletion, tuple(self._found))

    def abandon(self) -> None:
        """Stop the thread; what it has made is not wanted."""
        self._is_wanted = False
        self.finish()

    def _run(self) -> None:
        try:
            for one in building.segments(chain.from_iterable(self._handed_over())):
                self._found.append((segment.save(one, self._place), int(one.firsts[-1])))
        except _AbandonedError:
            pass
        except Exception as error:  # whoever makes the words again meets it again
            self._failure = error
            while not self._is_over:
                self._next()

    def _handed_over(self) -> Iterator[Sequence[Text]]:
        while (texts := self._next()) is not None:
            yield texts
        if not self._is_wanted:
            raise _AbandonedError

    def _next(self) -> Sequence[Text] | None:
        texts = self._queue.get()
        self._is_over = texts is None
        return texts


class _AbandonedError(Exception):
    """Nobody wants the segments any more."""
