"""``docsim duplicates``: documents that say the same in the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.engine.retrying import retried
from docsim.errors import UsageError
from docsim.index import Index
from docsim.text.control_characters import visible

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
  docsim duplicates --report duplicates.html     all groups, with the differences marked
  docsim duplicates --threshold 0.8              only documents with most of their wording in common
  docsim duplicates --json | jq '.groups[].members[].id'
"""
)
@click.option(
    "--threshold",
    type=_Threshold(),
    metavar="auto|SHARE",
    default="auto",
    show_default=True,
    help="Share of their wording that near-duplicates have in common, above 0 and up to 1; auto chooses it "
    "from how much the documents of this index have in common.",
)
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML page to this file.")
@chosen_index.index_option
@options.output
def duplicates(threshold: float | None, report: Path | None, index_path: Path | None, output: Output) -> None:
    """List groups of equal and nearly equal documents.

    Also finds documents that are contained in another. Documents are compared by wording, not by meaning. Each group
    has a representative, which every other document of the group was compared with. Nothing is deleted.
    """
    with chosen_index.open_index(index_path) as index:
        with watching(quiet=output.quiet) as progress:
            found = index.duplicates(threshold=threshold, progress=progress)
        if report is not None:
            _write(report, found, index)
    if output.as_json:
        print_json(asdict(found))
    elif sys.stdout.isatty():
        _show(found, report, quiet=output.quiet)
    else:
        for group in found.groups:
            for member in group.members:
                echo(f"{member.kind}\t{member.overlap:.2f}\t{member.similarity:.3f}\t{group.id}\t{member.id}")


def _write(report: Path, found: Duplicates, index: Index) -> None:
    try:
        report.write_text(_page(index, found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"expected a file that can be written at {report}; {error.strerror or error}") from error


@retried
def _page(index: Index, found: Duplicates) -> str:
    from docsim.analysis.duplicates_page import duplicates_page

    with index.engine.snapshot() as snapshot:
        return duplicates_page(found, snapshot)


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
        how = "chosen for these documents" if found.calibrated else "as given"
        told = f"{members} of {found.documents} documents duplicate {len(found.groups)} others"
        console.print(f"{told}; threshold {found.threshold:.2f}, {how}", style="dim")
        if report is not None:
            console.print(f"Written to {visible(str(report))}", style="dim", markup=False)


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
    show(visible(title or id), style=style, markup=False, end="  ")
    show(visible(id) if title not in ("", id) else "", style="dim", markup=False)
