"""Threads that never make a program hang when memory runs out.

Python waits for a thread that it starts until the thread runs, and for a future until it is done. Where the thread gets
no memory to begin, or to keep its result in, neither happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from docsim import allocation

__all__ = ["Threads", "require_room", "start"]

_STACK = 8 << 20  # bytes, unless the system gives more or less
_BEGINNING = 1 << 20  # bytes that Python takes before a thread says that it runs
_LOOK = 1.0  # seconds between two looks whether a thread still runs

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def require_room() -> None:
    """Raise ``MemoryError`` unless there is memory for one more thread."""
    allocation.require((threading.stack_size() or _STACK) + _BEGINNING)


def start(function: Callable[..., object], *args: Any, name: str | None = None) -> threading.Thread:
    """Call a function in a thread that ends with the process at the latest.

    Raises:
        MemoryError: There is too little memory for a thread.
    """
    require_room()
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    thread.start()
    return thread


class Threads(ThreadPoolExecutor):
    """A ``ThreadPoolExecutor`` that raises ``MemoryError`` where another one would wait for ever."""

    def __init__(self, most: int, name: str, *, begin: Callable[[], object] | None = None) -> None:
        """Prepare threads; each is started when there is something to do for it.

        Args:
            most: The most threads.
            name: What the threads' names begin with.
            begin: Called by each thread first.
        """
        super().__init__(most, name, self._begin, (begin,))
        self._begun: list[threading.Thread] = []

    def submit(self, function: Callable[..., _Result], /, *args: Any, **options: Any) -> Future[_Result]:
        """Call a function in one of the threads.

        Raises:
            MemoryError: There is too little memory for one more thread.
        """
        require_room()
        return super().submit(function, *args, **options)

    def results(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Call a function with each item in the threads, and yield the results in the order of the items."""
        futures = [self.submit(function, item) for item in items]
        try:
            for future in futures:
                yield self.result(future)
        finally:
            for future in futures:
                future.cancel()

    def result(self, future: Future[_Result]) -> _Result:
        """Wait for what a function returns, or raise what it raised.

        Raises:
            MemoryError: A thread has ended because there was too little memory.
        """
        self.first_of({future})
        return future.result()

    def first_of(self, futures: set[Future[_Result]]) -> tuple[set[Future[_Result]], set[Future[_Result]]]:
        """Wait until any of some futures are done, and return those, and the others.

        Raises:
            MemoryError: A thread has ended because there was too little memory.
        """
        while True:
            are_alive = all(thread.is_alive() for thread in self._begun)
            done, others = wait(futures, _LOOK, FIRST_COMPLETED)
            if done:
                return done, others
            if not are_alive:
                raise MemoryError("a thread has ended before its time")

    def _begin(self, begin: Callable[[], object] | None) -> None:
        self._begun.append(threading.current_thread())
        if begin:
            begin()
