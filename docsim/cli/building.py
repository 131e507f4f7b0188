"""Progress of long work: a bar with rate and time left on a terminal, sentences elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from docsim import progress
from docsim.progress import SILENT

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["watching"]


class _Sentences:
    """Writes sentences to standard error."""

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        pass

    def advance(self, count: int = 1) -> None:
        pass


class _Bar:
    """Draws a bar on standard error, and writes sentences above it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", visible=False)

    def say(self, text: str) -> None:
        self._bar.console.print(text)

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        self._bar.reset(self._task, description=task, total=total, completed=done, visible=True)

    def advance(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)


@contextmanager
def watching(*, quiet: bool) -> Iterator[progress.Progress]:
    """Return what shows progress: nothing when ``quiet``; all of it goes to standard error."""
    if quiet:
        yield SILENT
    elif not sys.stderr.isatty():
        yield _Sentences()
    else:
        with _bar() as bar:
            yield _Bar(bar)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} a second" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeLeft())
    return Progress(*columns, console=Console(stderr=True), transient=True)
