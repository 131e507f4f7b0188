"""A progress that remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable

from docsim.progress import Total, counted

__all__ = ["Told"]


def _nothing() -> None:
    pass


class Told:
    """A ``docsim.progress.Progress``; does something at the first step, at each step, or at each sentence if asked.

    Attributes:
        said: The sentences.
        begun: The steps: what is done, how many there are, how many were done before.
        advanced: What was counted since.
        measured: The measurements.
    """

    def __init__(
        self,
        *,
        at_first: Callable[[], object] = _nothing,
        each: Callable[[], object] = _nothing,
        at_words: Callable[[], object] = _nothing,
    ) -> None:
        self.said: list[str] = []
        self.begun: list[tuple[str, int | None, int]] = []
        self.advanced: list[int] = []
        self.measured: list[str] = []
        self._at_first, self._each, self._at_words = at_first, each, at_words

    def say(self, text: str) -> None:
        self.said.append(text)
        self._at_words()

    def begin(self, task: str, total: Total, done: int = 0) -> None:
        self.begun.append((task, counted(total), done))

    def measure(self, text: str) -> None:
        self.measured.append(text)

    def advance(self, count: int = 1) -> None:
        first = not self.advanced
        self.advanced.append(count)
        if first:
            self._at_first()
        self._each()
