"""Progress of long work: a bar with rate and time left on a terminal, sentences elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from docsim.cli.output import echo
from docsim.progress import SILENT, Progress, Silent, Total, counted
from docsim.text.control_characters import visible

if TYPE_CHECKING:
    from rich import progress as rich

__all__ = ["sentences", "watching"]


class _Sentences(Silent):
    """Writes sentences to standard error."""

    def say(self, text: str) -> None:
        echo(text, err=True)


class _Bar:
    """Draws a bar for the current step on standard error, and writes sentences above it."""

    def __init__(self, bars: rich.Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", visible=False, measured="")

    def say(self, text: str) -> None:
        self._bars.console.print(visible(text), markup=False, highlight=False)

    def begin(self, task: str, total: Total, done: int = 0) -> None:
        self._bars.remove_task(self._task)
        self._task = self._bars.add_task(visible(task), total=counted(total), completed=done, measured="")

    def advance(self, count: int = 1) -> None:
        self._bars.advance(self._task, count)

    def measure(self, text: str) -> None:
        self._bars.update(self._task, measured=text)


def sentences(*, quiet: bool) -> Progress:
    """Return what writes sentences to standard error, and nothing when ``quiet``; it shows no progress."""
    return SILENT if quiet else _Sentences()


@contextmanager
def watching(*, quiet: bool) -> Iterator[Progress]:
    """Give what shows progress, on standard error; nothing is shown when ``quiet``."""
    if quiet or not sys.stderr.isatty():
        yield sentences(quiet=quiet)
    else:
        with _bars() as bars:
            yield _Bar(bars)


def _bars() -> rich.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} a second" if task.speed else "")

    name, measured = (TextColumn(f"{{task.{what}}}", markup=False) for what in ("description", "fields[measured]"))
    columns = (name, BarColumn(), MofNCompleteColumn(), Rate(), TimeLeft(), measured)
    return Progress(*columns, console=Console(stderr=True), transient=True)
