"""Beside encoding: segments are made while the next documents are encoded and committed.

A document is handed over when its transaction is committed, and a few transactions wait at most. Few documents are left
to a thread. Many get a process of their own, ``segment_process``: finding words keeps the interpreter busy, which a
thread would have to share with those that read and commit. What is made counts only once the engine says so;
until then a kill, an error or a deletion in between loses nothing but time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import Full, Queue

from docsim import child_process, threads
from docsim.engine.words import building, segment, segment_process
from docsim.engine.words.building import Text

__all__ = ["FEW", "Beside", "Made"]

logger = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks whether the thread still runs

WAITING = 2
"""Transactions whose words are not found yet; a third one has to wait. This bounds memory."""

FEW = 4_000_000
"""Characters of text whose words are found before a process would have started."""


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

    def __init__(self, place: Path, *, after: int, deletion: int, most: int = FEW) -> None:
        """Start the thread.

        Args:
            place: The folder of the segments.
            after: The last passage number before the first document.
            deletion: The sequence number of the last deletion before the first document.
            most: Characters of text after which a process works on what follows.
        """
        self._after, self._deletion, self._place = after, deletion, place
        self._most = most
        self._queue: Queue[Sequence[Text] | None] = Queue(WAITING)
        self._found: list[tuple[str, int]] = []
        self._failure: Exception | None = MemoryError("the thread has ended")  # unless it says how it ends
        self._is_wanted, self._is_over = True, False
        self._thread = threads.start(self._run, name="docsim-words")

    def add(self, texts: Sequence[Text]) -> None:
        """Hand over the documents of a committed transaction; waits while too many are waiting."""
        if texts:
            self._put(texts)

    def finish(self) -> Made | None:
        """Wait until all segments are written, and return them; None when that failed."""
        self._put(None)
        self._thread.join()
        if self._failure is not None:
            logger.info("could not make words beside encoding (%s); making them again", self._failure)
            return None
        return Made(self._after, self._deletion, tuple(self._found))

    def abandon(self) -> None:
        """Stop the thread; what it has made is not wanted."""
        self._is_wanted = False
        self.finish()

    def _put(self, texts: Sequence[Text] | None) -> None:
        while self._thread.is_alive():
            with suppress(Full):
                self._queue.put(texts, timeout=_LOOK)
                break

    def _run(self) -> None:
        try:
            self._found = self._made(self._handed_over())
            self._failure = None
        except _AbandonedError:
            self._failure = None
        except Exception as error:  # whoever makes the words again meets it again
            self._failure = error
            while not self._is_over:
                self._next()

    def _made(self, handed_over: Iterator[Sequence[Text]]) -> list[tuple[str, int]]:
        """Return the checksums and last first passage numbers of segments that are made here, or apart if many.

        A single long document that nothing follows is left to this thread: there is nothing to do beside it.
        """
        first, characters = list[Sequence[Text]](), 0
        for texts in handed_over:
            if characters > self._most:
                return self._made_apart(chain(first, [texts], handed_over))
            first.append(texts)
            characters += sum(len(one.text) for one in texts)
        made = building.segments(chain.from_iterable(first))
        return [(segment.save(one, self._place), int(one.firsts[-1])) for one in made]

    def _made_apart(self, handed_over: Iterable[Sequence[Text]]) -> list[tuple[str, int]]:
        """Return the checksums and last first passage numbers of segments that another process makes.

        Raises:
            OSError: It could not be started, or has ended.
        """
        with child_process.start(segment_process.__name__, str(self._place)) as process:
            assert process.stdin
            assert process.stdout
            try:
                for texts in handed_over:
                    child_process.send(process.stdin, segment_process.packed(texts))
                child_process.send(process.stdin, segment_process.END)
                answer = child_process.receive(process.stdout)
                if answer is None:
                    raise OSError("the process that finds words has ended")
                return [(digest, last) for digest, last in answer.header["segments"]]
            finally:
                process.kill()

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
