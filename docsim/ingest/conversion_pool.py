"""The pool of child processes that convert files which are not text, several at a time and within limits.

So are pages of exports, see ``docsim.ingest.forms.apart``.

A process is started when a file needs it, stays for the files that come after, and ends with this one. One that takes
too long is killed; one that crashes, or needs more memory than is allowed, is replaced. Either way the file is reported
as one that could not be read, and the others go on. They run ``docsim.ingest.conversion_worker``.

Nothing is converted in here: the processes call ``docsim.ingest.formats``, and that the readers of each format.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from docsim import child_process
from docsim.child_process import Frame, receive, send
from docsim.errors import SourceError
from docsim.ingest import formats, guarded_readers
from docsim.ingest.content import FileContent
from docsim.ingest.conversion_worker import OUTPUT_LIMIT
from docsim.threads import Threads, require_room

__all__ = ["ALLOW_MORE", "MEMORY_LIMIT", "TIMEOUT", "USUAL", "Ahead", "Conversion", "is_apart", "parse", "read", "rest"]

TIMEOUT = 60.0
"""Seconds that converting one file may take, unless told otherwise."""

ALLOW_MORE = "allow it more time"
"""What is said of a file that took too long."""

MEMORY_LIMIT = 2 << 30
"""Bytes of memory that a process that converts may have."""

_START = 120.0  # seconds that a process may take to start, on a busy machine
_APART = guarded_readers.SUFFIXES | {".html", ".htm", ".xhtml", ".eml"}
_WAITING = 3  # files that wait for each process before one more is started
_MOST_PROCESSES = 8
_MOST_FILES = 500  # a process is replaced after so many, as libraries keep memory

_Result = TypeVar("_Result")


class _Child:
    """A process that converts one file after the other.

    Attributes:
        files: How many it has been given.
        is_fit: Whether it may be given more.
    """

    def __init__(self) -> None:
        self._process = child_process.start("docsim.ingest.conversion_worker", str(MEMORY_LIMIT))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        self.files, self.is_fit = 0, True
        if self._answer(_START) is None:
            self.close()
            raise OSError(errno.ECHILD, "it ended at once, or took too long to start")

    def ask(self, job: Frame, timeout: float) -> Frame:
        """Return the answer about a file, or say in one what went wrong with this process.

        Raises:
            SourceError: It took too long.
        """
        began = time.monotonic()
        answer = self._answer(timeout, job)
        self.files += 1
        self.is_fit = answer is not None and "exhausted" not in answer.header and self.files < _MOST_FILES
        if answer is None and time.monotonic() - began >= timeout:
            raise SourceError(f"converting it took more than {timeout:g} seconds; {ALLOW_MORE}")
        return answer or Frame({"ended": self._ended()})

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for stream in (self._jobs, self._answers):
            with contextlib.suppress(OSError):  # what was not written yet
                stream.close()
        self._process.wait()

    def _answer(self, timeout: float, job: Frame | None = None) -> Frame | None:
        """Return the next frame of the process, which is killed when it takes too long; None when it has ended."""
        require_room()
        clock = threading.Timer(timeout, self._process.kill)
        clock.start()
        try:
            if job is not None:
                send(self._jobs, job)
            return receive(self._answers, limit=OUTPUT_LIMIT)
        except (OSError, ValueError):  # it has ended, or answers with nonsense
            return None
        finally:
            clock.cancel()

    def _ended(self) -> str:
        self._process.kill()
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            return f"the converter crashed on it ({signal.Signals(-code).name})"
        return f"the converter ended with code {code}"


class _Pool:
    """Up to as many processes as there are cores, and as many threads that wait for them."""

    def __init__(self) -> None:
        self._most = min(_cores(), _MOST_PROCESSES)
        self._threads = Threads(self._most, "docsim-convert")
        self._change = threading.Condition()
        self._idle: list[_Child] = []
        self._children = 0
        self._wanted = 0

    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Do something that converts a file in a thread."""
        with self._change:
            self._wanted += 1
            self._change.notify_all()
        return self._threads.submit(self._done, work)

    def result(self, begun: Future[_Result]) -> _Result:
        """Return the result of what was submitted, or raise what went wrong."""
        return self._threads.result(begun)

    def convert(self, job: Frame, timeout: float) -> Frame:
        """Return the answer about a file. What fails in a process that has seen others is tried again in a new one.

        Raises:
            SourceError: It took too long, crashed a new process or needs too much memory.
        """
        while True:
            with self._borrowed() as child:
                is_new = not child.files
                answer = child.ask(job, timeout)
            if child.is_fit or not answer.header.keys() & {"ended", "exhausted"}:
                return answer
            if is_new:
                needs = f"converting it needs more than {MEMORY_LIMIT >> 30} GB of memory"
                raise SourceError(answer.header.get("ended") or needs)

    def rest(self) -> None:
        """End the processes that have nothing to do."""
        with self._change:
            idle, self._idle = self._idle, []
            self._children -= len(idle)
        for child in idle:
            child.close()

    def _done(self, work: Callable[[], _Result]) -> _Result:
        try:
            return work()
        finally:
            with self._change:
                self._wanted -= 1

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[_Child]:
        child = self._taken()
        try:
            yield child
        except BaseException:
            child.is_fit = False
            raise
        finally:
            with self._change:
                if child.is_fit:
                    self._idle.append(child)
                else:
                    self._children -= 1
                self._change.notify()
            if not child.is_fit:
                child.close()

    def _taken(self) -> _Child:
        """Return a process that has nothing to do; a new one when there is none, or when many files wait for few."""
        with self._change:
            while not self._idle:
                if self._children < self._most and self._wanted > _WAITING * self._children:
                    self._children += 1
                    break
                if not self._children:  # asked for by a thread that is not of this pool
                    self._children += 1
                    break
                self._change.wait()
            else:
                return self._idle.pop()
        try:
            return _Child()
        except OSError as error:
            with self._change:
                self._children -= 1
                self._change.notify()
            raise SourceError(f"no process to convert it could be started: {error.strerror}") from error


def is_apart(suffix: str) -> bool:
    """Return whether files with a suffix are converted in a process of their own."""
    return suffix.lower() in _APART


@dataclass(frozen=True, slots=True)
class Conversion:
    """How files are converted.

    Attributes:
        timeout: Seconds that one file may take; ``TIMEOUT`` when not given.
        hidden: Whether hidden sheets and slides are read.
    """

    timeout: float | None = None
    hidden: bool = True


USUAL = Conversion()
"""How files are converted, unless told otherwise."""


def read(data: bytes, suffix: str, name: str, *, how: Conversion = USUAL) -> FileContent:
    """Read the content of one file, as ``formats.read`` does; in another process where that is safer.

    Args:
        data: The raw content.
        suffix: The file's suffix, which decides the format.
        name: The file's path or name.
        how: How it is converted.

    Raises:
        SourceError: The file cannot be read, or not within the limits. The message is one clause for people.
    """
    if not is_apart(suffix):
        return formats.read(data, suffix, name)
    guarded_readers.require(suffix)
    return _converted(data, how, suffix=suffix, name=name, hidden=how.hidden)


def parse(data: bytes, form: str, *, how: Conversion = USUAL) -> FileContent:
    """Have a module of ``docsim.ingest.forms`` parse a page in another process.

    Args:
        data: The page.
        form: The module's name. Its function ``parsed`` gets ``data``, and returns a ``FileContent``.
        how: How it is converted.

    Raises:
        SourceError: The page cannot be parsed, or not within the limits. The message is one clause for people.
    """
    return _converted(data, how, form=form)


def _converted(data: bytes, how: Conversion, **asked: object) -> FileContent:
    seconds = TIMEOUT if how.timeout is None else how.timeout
    answer = _pool().convert(Frame({**asked, "timeout": seconds}, data), seconds)
    header = answer.header
    if "error" in header:
        raise SourceError(header["error"])
    text = answer.data.decode("utf-8", "surrogatepass")
    return FileContent(text, header["title"], header["metadata"], tuple(header["lost"]))


class Ahead(Generic[_Result]):
    """Something that calls ``read``, and can begin before its result is asked for."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._work = work
        self._begun: Future[_Result] | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        if self._begun is None:
            self._begun = _pool().submit(self._work)

    def result(self) -> _Result:
        """Return the result, or raise what went wrong. It is kept no longer."""
        begun, self._begun = self._begun, None
        return self._work() if begun is None else _pool().result(begun)


def rest() -> None:
    """End the processes that have nothing to do. They are started again when they are needed."""
    if _held:
        _held[0].rest()


_held: list[_Pool] = []
_holding = threading.Lock()


def _pool() -> _Pool:
    with _holding:
        if not _held:
            _held.append(_Pool())
            atexit.register(rest)
        return _held[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)  # the processes belong to the parent
