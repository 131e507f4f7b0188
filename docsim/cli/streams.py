"""Streams: reads standard input as it arrives, and replaces standard streams that are closed."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from docsim import threads

__all__ = ["chunks", "open_closed_streams"]

_One = TypeVar("_One")


def chunks(items: Iterable[_One], *, most: int) -> Iterator[list[_One]]:
    """Yield items in lists: what is there already together, without waiting for what comes later.

    Args:
        items: Read by a thread of its own, no more than ``most`` ahead.
        most: The most items of a list.
    """
    waiting: queue.Queue[tuple[_One | None, BaseException | None]] = queue.Queue(most)

    def read() -> None:
        try:
            for item in items:
                waiting.put((item, None))
            waiting.put((None, StopIteration()))
        except BaseException as error:  # raised again where the items are used
            waiting.put((None, error))

    threads.start(read)
    end: BaseException | None = None
    while end is None:
        found = [waiting.get()]
        while len(found) < most and found[-1][1] is None and not waiting.empty():
            found.append(waiting.get())
        end = found[-1][1]
        if ready := [item for item, error in found if error is None]:
            yield ready  # type: ignore[misc]  # None stands for an end only
    if not isinstance(end, StopIteration):
        raise end


def open_closed_streams() -> None:
    """Put nothing in the place of each standard stream that is closed.

    Otherwise the next file that is opened would get its number, and what libraries print would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
