"""``docsim index``: bring an index up to date with its sources."""

from __future__ import annotations

from pathlib import Path

import click

from docsim.cli import options
from docsim.cli.options import EncoderOptions
from docsim.cli.output import Output, print_json, warn
from docsim.cli.progress import watching
from docsim.ingest.sources import open_source
from docsim.jobs.sync import Synced, SyncOptions, sync

__all__ = ["index"]

FAILED = 3
"""Exit code when some documents could not be read and all others went in."""

_SHOWN_FAILURES = 20
_TOGETHER = 5  # documents that could not be read for one reason are counted in one line, from this many on

_how = options.grouped(
    SyncOptions,
    "how",
    click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing."),
    click.option(
        "--prune/--no-prune",
        default=None,
        help="Remove documents that are no longer in the source, or keep them.  [default: remove them, except when the "
        "whole source is empty or is standard input]",
    ),
    *options.tuning_options,
    options.wait_option,
)


@click.command(
    epilog="""\b
Examples:
  docsim index handbook/                      a folder: only new and changed files are read
  docsim index handbook/ tickets.jsonl        two sources in one index
  docsim index handbook/ --dim 128            half the space, finds a little less
  docsim index handbook/ --dry-run            show what would be done
  export-tickets | docsim index - --index indexes/tickets
"""
)
@click.argument("source", nargs=-1, required=True)
@options.index_option
@options.encoder("Directory of the encoder for a new index.  [default: the encoder that docsim ships]")
@_how
@options.output
@click.pass_context
def index(
    ctx: click.Context,
    source: tuple[str, ...],
    index_path: Path | None,
    encoder: EncoderOptions,
    how: SyncOptions,
    output: Output,
) -> None:
    """Index folders and files, and keep the index up to date.

    Run it again after any change: only new and changed documents are read and encoded.

    SOURCE is a folder (without what .gitignore and .docsimignore exclude), a document, a .jsonl or .csv file with the
    columns id, title and text (all other columns become metadata), or - for JSONL on standard input.

    Exits with 3 if some documents could not be read.
    """
    sources = [open_source(argument) for argument in source]
    path = options.index_directory(index_path, new=sources[0].name)
    wanted = encoder.load()
    with watching(quiet=output.quiet) as progress:
        synced = sync(path, sources, how, encoder=wanted, progress=progress)
    if output.as_json:
        print_json(_json(synced))
    elif not output.quiet:
        _print(synced)
    _print_failures(synced)
    warn(synced.warnings)
    if synced.failures:
        ctx.exit(FAILED)


def _counts(synced: Synced) -> dict[str, int]:
    total = synced.total
    names = ("added", "changed", "unchanged", "removed", "kept")
    return {name: getattr(total, name) for name in names} | {"failed": len(total.failures)}


def _json(synced: Synced) -> dict[str, object]:
    failures = [{"path": one.path, "reason": one.reason} for one in synced.failures]
    return {"index": str(synced.index), "dry_run": synced.dry_run, **_counts(synced), "failures": failures}


def _print(synced: Synced) -> None:
    counts = _counts(synced)
    kept = counts.pop("kept")
    verb = "Would write to" if synced.dry_run else "Indexed in"
    click.echo(f"{verb} {synced.index}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if kept:
        click.echo(f"{kept} documents that are no longer in their source were kept; remove them with --prune")


def _print_failures(synced: Synced) -> None:
    by_reason: dict[str, list[str]] = {}
    for failure in synced.failures:
        by_reason.setdefault(failure.reason, []).append(failure.path)
    lines = [line for reason, paths in by_reason.items() for line in _not_read(paths, reason)]
    for line in lines[:_SHOWN_FAILURES]:
        click.secho("Not read: ", fg="yellow", nl=False, err=True)
        click.echo(line, err=True)
    if len(lines) > _SHOWN_FAILURES:
        click.echo(f"... and {len(lines) - _SHOWN_FAILURES} more; see them all with: docsim status", err=True)


def _not_read(paths: list[str], reason: str) -> list[str]:
    """Return a line for each document that could not be read, or one line for many with the same reason."""
    if len(paths) < _TOGETHER:
        return [f"{path}: {reason}" for path in paths]
    return [f"{paths[0]} and {len(paths) - 1} more: {reason}; see them all with: docsim status"]
