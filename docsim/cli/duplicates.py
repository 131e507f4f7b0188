"""``docsim duplicates``: documents that say the same in the same words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import options
from docsim.errors import UsageError
from docsim.index import Index

if TYPE_CHECKING:
    from docsim.analysis.duplicates import Duplicates, Group

__all__ = ["duplicates"]

_SHOWN = 20
"""Groups, and members of each, that a terminal shows."""


class _Threshold(click.ParamType[float | None]):
    """A share, or ``auto``, which becomes None."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value == "auto":
            return None
        try:
            share = float(str(value))
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"expected auto, or a number above 0 and up to 1; got {value!r}", param, ctx)
        return share


@click.command(
    epilog="""\b
Examples:
  docsim duplicates
  docsim duplicates --report duplicates.html     every group, with what differs
  docsim duplicates --threshold 0.8              only what has most of its wording in common
  docsim duplicates --json | jq '.groups[].members[].id'
"""
)
@click.option(
    "--threshold",
    type=_Threshold(),
    metavar="auto|SHARE",
    default="auto",
    show_default=True,
    help="Wording that near-duplicates have in common, above 0 and up to 1.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page as well.")
@options.index_option
@options.as_json
@options.output
def duplicates(
    threshold: float | None, report: Path | None, *, index_path: Path | None, as_json: bool, quiet: bool
) -> None:
    """List documents that are equal, nearly equal, or contained in another, in groups. Nothing is deleted.

    A group has a representative, and documents that were each compared with it by their wording.
    """
    with Index.open(options.index_directory(index_path)) as index:
        with _progress(quiet=quiet) as advance:
            found = index.duplicates(threshold=threshold, advance=advance)
        if report is not None:
            _write(report, found, index)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    elif sys.stdout.isatty():
        _show(found, report, quiet=quiet)
    else:
        for group in found.groups:
            for member in group.members:
                click.echo(f"{member.kind}\t{member.overlap:.2f}\t{member.similarity:.3f}\t{group.id}\t{member.id}")


def _write(report: Path, found: Duplicates, index: Index) -> None:
    from docsim.analysis.duplicates_page import duplicates_page

    try:
        with index.engine.snapshot() as snapshot:
            report.write_text(duplicates_page(found, snapshot), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"expected a file that can be written at {report}; {error.strerror or error}") from error


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], object] | None]:
    """Show what is being done, on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = progress.add_task(doing, total=total)
            progress.advance(tasks[doing], done)

        yield advance


def _show(found: Duplicates, report: Path | None, *, quiet: bool) -> None:
    """Print groups for people, the largest first."""
    from rich.console import Console

    console = Console(highlight=False)
    for group in found.groups[:_SHOWN]:
        _show_group(console.print, group)
    if len(found.groups) > _SHOWN and report is None:
        more = len(found.groups) - _SHOWN
        console.print(f"... and {more} more groups; see them all with: docsim duplicates --report duplicates.html")
    if not quiet:
        members = sum(len(group.members) for group in found.groups)
        how = "chosen by what is common here" if found.calibrated else "as asked for"
        told = f"{members} of {found.documents} documents duplicate {len(found.groups)} others"
        console.print(f"{told}; threshold {found.threshold:.2f}, {how}", style="dim")
        if report is not None:
            console.print(f"Written to {report}", style="dim", markup=False)


def _show_group(show: Callable[..., None], group: Group) -> None:
    _show_named(show, group.id, group.title, style="bold")
    for member in group.members[:_SHOWN]:
        show(f"  {member.kind:9}", style="cyan", end=" ")
        show(f"{member.covered:4.0%}", end="  ")
        _show_named(show, member.id, member.title)
    if len(group.members) > _SHOWN:
        show(f"  ... and {len(group.members) - _SHOWN} more")
    show()


def _show_named(show: Callable[..., None], id: str, title: str, *, style: str | None = None) -> None:
    show(title or id, style=style, markup=False, end="  ")
    show(id if title not in ("", id) else "", style="dim", markup=False)
