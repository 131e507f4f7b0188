"""Retrying: reads again after another process has changed the index in the middle of a read."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from docsim.errors import IndexChanged

__all__ = ["PAUSE", "TRIES", "retried"]

TRIES = 20
"""How often something is read before it is given up."""

PAUSE = 0.05
"""Seconds between two tries."""

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def retried(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Call a function that only reads again, a few times, when it fails with ``IndexChanged``."""

    @functools.wraps(function)
    def wrapped(*given: _Given.args, **named: _Given.kwargs) -> _Found:
        for _ in range(TRIES - 1):
            try:
                return function(*given, **named)
            except IndexChanged:
                time.sleep(PAUSE)
        return function(*given, **named)

    return wrapped
