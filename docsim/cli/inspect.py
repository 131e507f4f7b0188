"""``docsim status``, ``show``, ``verify`` and ``repair``: look after an index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import options
from docsim.cli.options import TuningOptions
from docsim.cli.output import Output, print_json, warn
from docsim.engine.records import SearchFacts, StoredDocument
from docsim.maintenance import verify as verification
from docsim.maintenance.status import GenerationStatus, Status, read_status

__all__ = ["repair", "show", "status", "verify"]


@click.command(epilog="\b\nExamples:\n  docsim status\n  docsim status --json | jq .failed\n")
@options.index_option
@options.output
def status(index_path: Path | None, output: Output) -> None:
    """Show what an index holds, what it answers with, and what could not be read."""
    with options.open_index(index_path) as index:
        found = read_status(index)
    if output.as_json:
        print_json(asdict(found))
    else:
        _print_status(found)


@click.command(
    epilog="\b\nExamples:\n  docsim show people/annual-leave.md\n  docsim show people/annual-leave.md --json\n"
)
@click.argument("id")
@options.index_option
@options.output
def show(id: str, index_path: Path | None, output: Output) -> None:
    """Show the metadata and the text of an indexed document.

    The text is that which was indexed: for a PDF, what could be extracted from it.
    """
    with options.open_index(index_path) as index:
        stored = index.document(id)
        passages = index.passages(id)
    document = stored.document
    if output.as_json:
        shown = {"id": document.id, "title": document.title, "metadata": document.metadata, "text": document.text}
        print_json({**shown, "passages": [asdict(one) for one in passages]})
        return
    if not output.quiet:
        _print_head(stored)
    click.echo(document.text)


@click.command(epilog="\b\nExamples:\n  docsim verify && echo sound\n  docsim verify --json | jq '.problems[]'\n")
@options.index_option
@options.output
@click.pass_context
def verify(ctx: click.Context, index_path: Path | None, output: Output) -> None:
    """Check an index for damage; exit with 1 if anything is wrong.

    Checks texts, embeddings, encoders, full-text search, snapshots and counts. Also warns when an approximate index
    finds too little or should be tuned again.
    """
    with options.open_index(index_path) as index:
        problems, warnings = verification.problems(index), verification.warnings(index)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "warnings": warnings})
    else:
        for problem in problems:
            click.echo(problem)
        warn(warnings)
        if not problems and not output.quiet:
            click.echo("The index is sound.")
    if problems:
        ctx.exit(1)


@click.command(
    epilog="""\b
Examples:
  docsim repair --index indexes/handbook
  docsim repair --index-type ivf --recall 0.98     search approximately from now on, tuned to this recall
"""
)
@options.index_option
@options.tuning
@options.wait_option
@options.output
@click.pass_context
def repair(ctx: click.Context, index_path: Path | None, tuning: TuningOptions, wait: bool, output: Output) -> None:
    """Rebuild what can be rebuilt from the stored documents.

    Rebuilds full-text search and the FAISS snapshot, and encodes documents again whose embeddings are damaged. Exits
    with 1 if problems remain.
    """
    with options.open_index(index_path) as index:
        verification.repair(index, wait=wait, index_type=tuning.index_type, recall=tuning.recall)
        problems, warnings = verification.problems(index), verification.warnings(index)
    warn(warnings)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems})
    elif not output.quiet:
        click.echo("Rebuilt." if not problems else "Rebuilt; these remain, and need a backup or a new index:")
        for problem in problems:
            click.echo(problem)
    if problems:
        ctx.exit(1)


def _print_head(stored: StoredDocument) -> None:
    document = stored.document
    click.secho(document.title or document.id, bold=True)
    click.secho(f"{document.id}, {len(document.text)} characters, {stored.passages} passages", dim=True)
    for name, value in document.metadata.items():
        click.secho(f"{name}: {value}", dim=True)
    click.echo()


def _search_described(search: SearchFacts) -> str:
    if search.factory is None:
        return f"exact ({search.index_type})"
    return (
        f"{search.factory} ({search.index_type}), finds {search.recall:.3f} of the nearest, asked for {search.target}"
    )


def _print_listed(index: Index, what: str, *, as_json: bool) -> None:
    """Print what is not read of the sources, or of single documents, one a line."""
    if what == "incomplete":
        incomplete = read_incomplete(index)
        listed = [{"id": id, "lost": lost} for id, lost in incomplete]
        lines = [f"{id}\t{', '.join(lost)}" for id, lost in incomplete]
    else:
        left_out = read_left_out(index)
        listed = [{"source": source, "path": one.path, "reason": one.reason} for source, one in left_out]
        lines = [f"{one.reason}\t{source}\t{one.path}" for source, one in left_out]
    if as_json:
        print_json(listed)
    for line in () if as_json else lines:
        echo(line)


def _print_status(found: Status) -> None:
    encoder = found.encoder
    click.secho(found.index, bold=True)
    click.echo(f"documents   {found.documents}")
    click.echo(f"passages    {found.passages}")
    click.echo(f"generation  {found.generation}")
    click.echo(f"encoder     {encoder.name}, {encoder.dim} dimensions, fingerprint {encoder.fingerprint[:12]}")
    if found.building:
        click.echo(f"building    {_building(found.building, found.documents)}; see: docsim reindex --status")
    click.echo(f"search      {_search_described(found.search)}")
    for warning in found.search.warnings:
        click.echo(f"  Warning: {warning}")
    click.echo(f"size        {sum(asdict(found.sizes).values()) / 1e6:.1f} MB")
    for source in found.sources:
        state = f"read completely {source.finished}" if source.complete else "NOT read completely: run docsim index again"
        click.echo(f"source      {source.location} ({source.documents} documents, {state})")
    click.echo(f"failed      {found.failed}")
    for failure in found.failures:
        click.echo(f"  {failure.path}: {failure.reason}")


def _building(one: GenerationStatus, total: int) -> str:
    state = "did not pass" if one.passed is False else "unfinished"
    return f"generation {one.number} with {one.encoder}, {one.documents} of {total} documents, {state}"
