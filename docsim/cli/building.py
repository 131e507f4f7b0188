"""How commands show a generation being built: a bar with rate and time left on a terminal, sentences elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from docsim.reindex.rebuild import SILENT, Watch

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["watching"]


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """Return what to call meanwhile; all of it goes to standard error."""
    if quiet:
        yield SILENT
    elif not sys.stderr.isatty():
        yield Watch(lambda text: click.echo(text, err=True), SILENT.begin, SILENT.advance)
    else:
        with _bar() as bar:
            task = bar.add_task("documents", visible=False)
            yield Watch(
                say=bar.console.print,
                begin=lambda done, total: bar.update(task, completed=done, total=total, visible=True),
                advance=lambda count: bar.advance(task, count),
            )


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
