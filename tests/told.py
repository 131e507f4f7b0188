"""A progress that keeps what it is told, and may do something when it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Told", "at_first"]


class Told:
    """A ``docsim.progress.Progress``.

    Attributes:
        said: The sentences.
        begun: What was begun: ``(task, total, done before)``.
    """

    def __init__(
        self, *, say: Callable[[str], object] | None = None, advance: Callable[[int], object] | None = None
    ) -> None:
        self.said: list[str] = []
        self.begun: list[tuple[str, int | None, int]] = []
        self._say = say
        self._advance = advance

    def say(self, text: str) -> None:
        self.said.append(text)
        if self._say is not None:
            self._say(text)

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        self.begun.append((task, total, done))

    def advance(self, count: int = 1) -> None:
        if self._advance is not None:
            self._advance(count)


def at_first(act: Callable[[], object]) -> Told:
    """Do something when the first batch was encoded."""
    done: list[bool] = []

    def advance(_: int) -> None:
        if not done:
            done.append(True)
            act()

    return Told(advance=advance)
