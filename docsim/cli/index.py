"""``docsim index``: bring an index up to date with its sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from docsim.cli import options
from docsim.encoding.encoder import Encoder
from docsim.engine.local.store import Store
from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.indexing.sync import Plan
from docsim.ingest.sources import Source, open_source
from docsim.maintenance import verify as verification
from docsim.models import SyncReport

__all__ = ["index"]

FAILED = 3
"""Exit code when some documents could not be read and all others went in."""

_TOGETHER = 5  # documents with one reason that are told in one line
_SHOWN_FAILURES = 20


@dataclass(frozen=True, slots=True)
class _Request:
    """How to sync: what the options say."""

    directory: Path
    prune: bool | None
    dry_run: bool
    wait: bool
    quiet: bool
    index_type: str | None
    recall: float | None


@click.command(
    epilog="""\b
Examples:
  docsim index handbook/                      a folder: new and changed files only
  docsim index handbook/ tickets.jsonl        two sources in one index
  docsim index handbook/ --dim 128            half the space, a little less found
  docsim index handbook/ --dry-run            what would be done
  export-tickets | docsim index - --index indexes/tickets
"""
)
@click.argument("source", nargs=-1, required=True)
@options.index_option
@click.option(
    "--encoder",
    type=click.Path(path_type=Path),
    help="Encoder of a new index.  [default: the one docsim ships]",
)
@options.dim_option
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@click.option(
    "--prune/--no-prune",
    default=None,
    help="Remove documents that vanished from the source, or keep them.  [default: remove, but never all of a source, "
    "nor for standard input]",
)
@options.tuning
@options.wait_option
@options.as_json
@options.output
@click.pass_context
def index(ctx: click.Context, /, **given: Any) -> None:
    """Index folders, files, JSONL or CSV; run it again after any change.

    SOURCE is a folder (read with all below it, but for what .gitignore and .docsimignore name), a document, a .jsonl or
    .csv file with the columns id, title and text (all others become metadata), or - for JSONL on standard input. Only
    what is new or changed is read and encoded. Exit code 3 when some documents could not be read.
    """
    sources = [open_source(argument) for argument in given["source"]]
    directory = options.index_directory(given["index_path"], new=sources[0].name)
    names = ("prune", "dry_run", "wait", "quiet", "index_type", "recall")
    request = _Request(directory, *(given[name] for name in names))
    encoder = options.encoder_of(given["encoder"], given["dim"])
    reports = _sync_all(sources, request, encoder)
    if given["as_json"]:
        click.echo(json.dumps(_summary(reports, request), ensure_ascii=False, indent=2))
    elif not request.quiet:
        _print(reports, request)
    _print_failures(reports)
    if not request.dry_run:
        with Index.open(directory) as made:
            options.warn(verification.warnings(made))
    if any(report.failures for report in reports):
        ctx.exit(FAILED)


def _sync_all(sources: list[Source], request: _Request, encoder: Encoder | None) -> list[SyncReport]:
    if request.dry_run and not (request.directory / "index.db").exists():
        return [_plan_new(source, request) for source in sources]
    if request.dry_run:
        opened = Index.open(request.directory, encoder=encoder)
    else:
        opened = Index.create(
            request.directory,
            encoder=encoder,
            index_type=request.index_type,
            recall=request.recall,
            wait=request.wait,
        )
    with opened:
        return [_sync(opened, source, request) for source in sources]


def _sync(opened: Index, source: Source, request: _Request) -> SyncReport:
    with _progress(source, request) as advance:
        return opened.sync(
            source.entries(),
            source=_name(source),
            prune=request.prune,
            dry_run=request.dry_run,
            wait=request.wait,
            progress=advance,
        )


def _plan_new(source: Source, request: _Request) -> SyncReport:
    """Count what would go into an index that does not exist yet."""
    with TemporaryDirectory() as empty, _progress(source, request) as advance:
        store = Store(Path(empty), writable=True)
        try:
            return Plan(store, _name(source)).run(source.entries(), prune=request.prune, progress=advance)
        finally:
            store.close()


def _name(source: Source) -> SourceName:
    return SourceName(source.kind, source.location, source.name)


@contextmanager
def _progress(source: Source, request: _Request) -> Iterator[Callable[[], object] | None]:
    """Show a progress bar on a terminal."""
    if request.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(source.name, total=source.total())
        yield lambda: progress.advance(task)


def _counts(report: SyncReport) -> dict[str, int]:
    names = ("added", "changed", "unchanged", "removed", "kept")
    return {name: getattr(report, name) for name in names} | {"failed": len(report.failures)}


def _summary(reports: list[SyncReport], request: _Request) -> dict[str, object]:
    counts = [_counts(report) for report in reports]
    total = {name: sum(one[name] for one in counts) for name in counts[0]}
    failures = [{"path": one.path, "reason": one.reason} for report in reports for one in report.failures]
    return {"index": str(request.directory), "dry_run": request.dry_run, **total, "failures": failures}


def _print(reports: list[SyncReport], request: _Request) -> None:
    summary = _summary(reports, request)
    names = ("added", "changed", "unchanged", "removed", "failed")
    counts = ", ".join(f"{summary[name]} {name}" for name in names)
    verb = "Would write to" if request.dry_run else "Indexed in"
    click.echo(f"{verb} {request.directory}: {counts}")
    if summary["kept"]:
        click.echo(f"{summary['kept']} no longer in their source were kept; remove them with --prune")


def _print_failures(reports: list[SyncReport]) -> None:
    by_reason: dict[str, list[str]] = {}
    for failure in (failure for report in reports for failure in report.failures):
        by_reason.setdefault(failure.reason, []).append(failure.path)
    lines = [line for reason, paths in by_reason.items() for line in _not_read(paths, reason)]
    for line in lines[:_SHOWN_FAILURES]:
        click.secho("Not read: ", fg="yellow", nl=False, err=True)
        click.echo(line, err=True)
    if len(lines) > _SHOWN_FAILURES:
        click.echo(f"... and {len(lines) - _SHOWN_FAILURES} more; see them all with: docsim status", err=True)


def _not_read(paths: list[str], reason: str) -> list[str]:
    """Return a line for each document that could not be read, or one for many that have the same reason."""
    if len(paths) < _TOGETHER:
        return [f"{path}: {reason}" for path in paths]
    return [f"{paths[0]} and {len(paths) - 1} more: {reason}; see them all with: docsim status"]
