"""``docsim index``: bring an index up to date with its sources."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.grouping import grouped
from docsim.cli.options import EncoderOptions
from docsim.cli.output import Output, echo, plural, print_json, styled, warn
from docsim.cli.progress import watching
from docsim.engine import opening
from docsim.errors import UsageError
from docsim.ingest import conversion_pool
from docsim.ingest.conversion_pool import ALLOW_MORE
from docsim.ingest.forms import NAMES
from docsim.ingest.sources import ReadingOptions, Source, open_source
from docsim.jobs import first_encoder
from docsim.jobs.sync import Synced, SyncOptions, holds, sync
from docsim.models import SyncReport

__all__ = ["chosen", "index"]

FAILED = 3
"""Exit code when some documents could not be read and the others went in, or when a source holds none."""

_SHOWN_FAILURES = 20
_TOGETHER = 5  # documents that could not be read for one reason are counted in one line, from this many on

_how = grouped(
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
    click.option(
        "--read-all",
        is_flag=True,
        help="Read every file, even those whose size and times have not changed since the last time.",
    ),
    chosen_index.wait_option,
)
_reading = grouped(
    ReadingOptions,
    "reading",
    click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Read files of a folder whose names match, such as '*.json', as text, whatever their suffix.",
    ),
    click.option("--text-column", metavar="NAME", help="Column or field of records that is the text.  [default: text]"),
    click.option("--title-column", metavar="NAME", help="Column or field that is the title.  [default: title]"),
    click.option("--id-column", metavar="NAME", help="Column or field that is the id.  [default: id]"),
    click.option(
        "--convert-timeout",
        type=click.FloatRange(0, 86_400, min_open=True),
        callback=options.finite,
        metavar="S",
        help=f"Seconds that converting one file, such as a PDF, may take.  [default: {conversion_pool.TIMEOUT:g}]",
    ),
    click.option(
        "--as",
        "form",
        metavar="KIND",
        help=f"Read an export as {', '.join(NAMES[:-1])} or {NAMES[-1]}.  [default: recognised by its content]",
    ),
    click.option(
        "--hidden/--no-hidden",
        default=None,
        help="Read hidden sheets of workbooks and hidden slides, or leave them out.  [default: read them]",
    ),
    click.option(
        "--keep-repeated/--drop-repeated",
        default=None,
        help="Compare pages with or without what most pages of the source repeat, such as menus and cookie banners.  "
        "[default: without]",
    ),
    click.option(
        "--since",
        metavar="DATE",
        help="Leave out pages of an export that were last changed before, such as 2026-01-31.",
    ),
)


@click.command(
    epilog="""\b
Examples:
  docsim index handbook/                      a folder: only new and changed files are read
  docsim index handbook/ tickets.jsonl        two sources in one index
  docsim index tickets.csv --text-column Description
  docsim index slack-export.zip --since 2025-01-01
  docsim index handbook/ --dim 128            half the space, finds a little less
  docsim index handbook/ --dry-run            show what would be done
  export-tickets | docsim index - --index indexes/tickets
"""
)
@click.argument("source", nargs=-1, required=True)
@chosen_index.index_option
@options.encoder(
    "Encoder for a new index: accurate, fast, or a directory.  [default: $DOCSIM_ENCODER; without it, accurate for up "
    f"to {first_encoder.LARGEST // 1_000_000} MB of sources, else fast]"
)
@_reading
@_how
@options.output
@click.pass_context
def index(
    ctx: click.Context,
    source: tuple[str, ...],
    index_path: Path | None,
    encoder: EncoderOptions,
    reading: ReadingOptions,
    how: SyncOptions,
    output: Output,
) -> None:
    """Index folders and files, and keep the index up to date.

    Run it again after any change: only new and changed documents are encoded. A source is read with the options of the
    last time, unless you give others.

    SOURCE is a folder (without what .gitignore and .docsimignore exclude), a document, a .jsonl or .csv file with the
    columns id, title and text (all other columns become metadata), an archive (.zip, .tar.gz), or - for JSONL on
    standard input. Exports of Slack, Notion, Confluence, mail and other tools are recognised, as archive or folder.

    Exits with 3 if some documents could not be read, or if a source other than - holds none.
    """
    sources = [open_source(argument, reading=reading) for argument in source]
    path = chosen_index.named_index(index_path) or chosen(sources, source)
    named = encoder.load() if encoder.encoder else None
    with watching(quiet=output.quiet) as progress:
        synced = sync(path, sources, how, encoder=named, dim=encoder.dim, progress=progress)
    if output.as_json:
        print_json(_json(synced))
    elif not output.quiet:
        _print(synced)
    _print_failures(synced)
    _print_left_out(synced, quiet=output.quiet)
    empty = [(one, report) for one, report in zip(sources, synced.reports, strict=True) if report.is_empty]
    for one, report in empty:
        echo(_emptiness(one, report), err=True)
    warn(synced.warnings)
    if synced.failures or any(one.kind != "stdin" for one, _ in empty):
        ctx.exit(FAILED)


def chosen(sources: Sequence[Source], arguments: Sequence[str]) -> Path:
    """Return the index that holds one of the sources already, or a new one; never one that holds others only.

    Raises:
        UsageError: There are other indexes only, or several that hold one of the sources.
    """
    known = chosen_index.known_indexes(above=False)
    new = chosen_index.INDEXES / sources[0].name
    holding = [one for one in known or chosen_index.known_indexes() if holds(one, sources)]
    if not known and not holding:
        return new
    if len(holding) == 1:
        return holding[0]
    found = ", ".join(map(str, holding or known))
    given = shlex.join(arguments)
    if holding:
        raise UsageError(f"expected --index, because several indexes hold {given}: {found}")
    another = new if new not in known else chosen_index.INDEXES / f"{sources[0].name}-2"
    raise UsageError(
        f"expected --index, because {found} holds other sources than {given}. To add to it: docsim index {given} "
        f"--index {chosen_index.told(known[0])}. For an index of its own: "
        f"docsim index {given} --index {chosen_index.told(another)}"
    )


def _counts(synced: Synced) -> dict[str, int]:
    total = synced.total
    names = ("added", "changed", "unchanged", "removed", "kept")
    return {name: getattr(total, name) for name in names} | {"failed": len(total.failures)}


def _json(synced: Synced) -> dict[str, object]:
    failures = [{"path": one.path, "reason": one.reason} for one in synced.failures]
    left_out = dict(Counter(one.reason for one in synced.left_out).most_common())
    counts = _counts(synced)
    return {
        "index": opening.shown(synced.index),
        "dry_run": synced.dry_run,
        **counts,
        "failures": failures,
        "left_out": left_out,
    }


def _print(synced: Synced) -> None:
    counts = _counts(synced)
    kept = counts.pop("kept")
    verb = "Would write to" if synced.dry_run else "Indexed in"
    echo(f"{verb} {opening.shown(synced.index)}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if kept:
        echo(f"{kept} documents that are no longer in their source were kept; remove them with --prune")


def _print_left_out(synced: Synced, *, quiet: bool) -> None:
    """Say how many files are left out, by reason; of those that the user left out only where there are others."""
    counts = Counter(one.reason for one in synced.left_out if not one.is_expected)
    if not counts or quiet:
        return
    reasons = ", ".join(f"{count} {plural(reason, count)}" for reason, count in counts.most_common(8))
    more = ", ..." if len(counts) > 8 else ""
    suffixes = [reason for reason in counts if reason.startswith(".")]
    read = f"; read them with --include '*{suffixes[0]}'" if suffixes else ""
    total = counts.total()
    noun = "file" if total == 1 else "files"
    listed = "" if synced.dry_run else "; list them with docsim status --left-out"
    echo(f"{total} {noun} left out: {reasons}{more}{listed}{read}", err=True)


def _emptiness(source: Source, report: SyncReport) -> str:
    """Return a sentence that says that a source holds no document."""
    if not report.left_out:
        what = "is an empty folder" if source.kind == "folder" else "holds no records"
        return f"Nothing to index: {source.location} {what}"
    why = "everything in it is hidden or ignored" if all(one.is_expected for one in report.left_out) else "see above"
    return f"Nothing to index: {source.location} holds no document that docsim reads ({why})"


def _print_failures(synced: Synced) -> None:
    by_reason: dict[str, list[str]] = {}
    for failure in synced.failures:
        by_reason.setdefault(failure.reason, []).append(failure.path)
    lines = [line for reason, paths in by_reason.items() for line in _not_read(paths, reason)]
    for line in lines[:_SHOWN_FAILURES]:
        styled("Not read: ", fg="yellow", nl=False, err=True)
        echo(line, err=True)
    if len(lines) > _SHOWN_FAILURES:
        echo(f"... and {len(lines) - _SHOWN_FAILURES} more; see them all with: docsim status", err=True)
    if any(reason.endswith(ALLOW_MORE) for reason in by_reason):
        echo("Allow more time with --convert-timeout SECONDS.", err=True)


def _not_read(paths: list[str], reason: str) -> list[str]:
    """Return a line for each document that could not be read, or one line for many with the same reason."""
    if len(paths) < _TOGETHER:
        return [f"{path}: {reason}" for path in paths]
    return [f"{paths[0]} and {len(paths) - 1} more: {reason}; see them all with: docsim status"]
