"""Watching: tells when a source has to be read again: when its files change, and every so often all the same.

Events tell within a second, but not on network drives, and some are lost when very many files change at once. So each
source is also read again from time to time, which costs little when nothing has changed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import watchfiles

from docsim import threads
from docsim.errors import UsageError
from docsim.ingest.sources import Source, open_source

__all__ = ["Watching", "watched_sources"]

logger = logging.getLogger(__name__)

SCAN_SECONDS = 300.0
"""A source is read again after this long, whether or not events told of changes."""

_DEBOUNCE = 400
"""Milliseconds that files have to be left alone, or at most, before what has changed is told."""


def watched_sources(arguments: Sequence[str]) -> list[Source]:
    """Return the sources at some paths.

    Raises:
        UsageError: One is standard input, or nothing that can be read.
    """
    if "-" in arguments:
        raise UsageError("expected folders and files to watch, got standard input, which does not change")
    return [open_source(argument) for argument in arguments]


class Watching:
    """Watches some sources in a thread of its own."""

    def __init__(self, sources: Sequence[Source], index: Path, wake: Callable[[], None]) -> None:
        """Make the thread; ``running`` starts it.

        Args:
            sources: What to watch.
            index: The index's directory, whose own files are no change.
            wake: Called when a source has changed.
        """
        self._sources, self._index, self._wake = list(sources), index.resolve(), wake
        self._read = dict.fromkeys(range(len(sources)), -SCAN_SECONDS)
        self._changed = set[int]()
        self._lock = threading.Lock()
        self._ending = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch for the length of the block."""
        if not self._sources:
            yield
            return
        self._ending.clear()
        thread = threads.start(self._watch, name="docsim-watching")
        try:
            yield
        finally:
            self._ending.set()
            thread.join(2)

    def due(self) -> Source | None:
        """Return a source that has to be read now, which then counts as read; None when there is none."""
        now = time.monotonic()
        with self._lock:
            for number, source in enumerate(self._sources):
                if number in self._changed or now - self._read[number] >= SCAN_SECONDS:
                    self._changed.discard(number)
                    self._read[number] = now
                    return source
        return None

    def _watch(self) -> None:
        """Take note of changes until the end; where they cannot be watched, sources are only read from time to time."""
        folders = {_folder(source) for source in self._sources}
        while not self._ending.is_set():
            try:
                found = watchfiles.watch(
                    *(folder for folder in folders if folder.exists()),
                    watch_filter=self._is_of_interest,
                    debounce=_DEBOUNCE,
                    stop_event=self._ending,
                    raise_interrupt=False,
                )
                for changes in found:
                    self._note([Path(path) for _, path in changes])
            except (OSError, RuntimeError) as error:
                logger.error("changes cannot be watched (%s); sources are read every %d s", error, SCAN_SECONDS)
            self._ending.wait(SCAN_SECONDS)

    def _is_of_interest(self, _: watchfiles.Change, path: str) -> bool:
        return not Path(path).is_relative_to(self._index) and ".git" not in Path(path).parts

    def _note(self, paths: Sequence[Path]) -> None:
        with self._lock:
            for number, source in enumerate(self._sources):
                place = Path(source.location)
                if any(path == place or path.is_relative_to(place) for path in paths):
                    self._changed.add(number)
        self._wake()


def _folder(source: Source) -> Path:
    """Return the folder in which changes of a source are seen; a single file may be replaced by a new one."""
    place = Path(source.location)
    return place if source.kind == "folder" else place.parent
