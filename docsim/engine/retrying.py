"""Retrying: reads again after another process has changed the index in the middle of a read.

What reads may ask whether it would be called again: if so, it can give up a state whose files are gone and be called
with the next one; if not, it has to do without them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from docsim.errors import IndexChanged

__all__ = ["PAUSE", "TRIES", "is_retried", "retried", "retrying"]

TRIES = 20
"""How often something is read before it is given up."""

PAUSE = 0.05
"""Seconds between two tries."""

_again: ContextVar[bool] = ContextVar("again", default=False)

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def retried(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Call a function that only reads again, a few times, when it fails with ``IndexChanged``."""

    @functools.wraps(function)
    def wrapped(*given: _Given.args, **named: _Given.kwargs) -> _Found:
        for _ in range(TRIES - 1):
            try:
                with retrying():
                    return function(*given, **named)
            except IndexChanged:
                time.sleep(PAUSE)
        return function(*given, **named)

    return wrapped


@contextmanager
def retrying(again: bool = True) -> Iterator[None]:
    """Say whether the block is run again when it fails with ``IndexChanged``."""
    token = _again.set(again or _again.get())
    try:
        yield
    finally:
        _again.reset(token)


def is_retried() -> bool:
    """Return whether what runs now, in this thread, is run again when it fails with ``IndexChanged``."""
    return _again.get()
