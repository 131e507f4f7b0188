"""Progress: how long work tells what it is doing, to whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["SILENT", "Progress", "Silent", "Total", "counted"]

Total = int | Callable[[], int | None] | None
"""How many of something there are; None when that is not known, and a function where counting takes long."""


class Progress(Protocol):
    """Told what is being done. A command line draws a bar; a server keeps the numbers of a job."""

    def say(self, text: str) -> None:
        """Take a sentence for people, about once a step."""

    def begin(self, task: str, total: Total, done: int = 0) -> None:
        """Start a step.

        Args:
            task: What is done, in a word or two, such as ``documents``.
            total: How many of them there are. A function is called only where the number is shown.
            done: How many of them were done before.
        """

    def advance(self, count: int = 1) -> None:
        """Count what was done since the last call."""

    def measure(self, text: str) -> None:
        """Take the latest measurement of a step, such as ``loss 0.412``; it replaces the one before."""


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def begin(self, task: str, total: Total, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def measure(self, text: str) -> None:
        """Do nothing."""


SILENT: Progress = Silent()
"""For who does not want to know."""


def counted(total: Total) -> int | None:
    """Return how many there are, or None when that is not known; counts them now."""
    return total() if callable(total) else total
