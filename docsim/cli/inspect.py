"""``docsim status``, ``show``, ``verify`` and ``repair``: look after an index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import options
from docsim.cli.options import TuningOptions
from docsim.cli.output import Output, print_json, warn
from docsim.engine.records import StoredDocument
from docsim.maintenance import verify as verification
from docsim.maintenance.status import GenerationStatus, SearchStatus, Status, read_status

__all__ = ["repair", "show", "status", "verify"]


@click.command(epilog="\b\nExamples:\n  docsim status\n  docsim status --json | jq .failed\n")
@options.index_option
@options.output
def status(index_path: Path | None, output: Output) -> None:
    """Show what an index holds, and what could not be read."""
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

    Rebuilds full-text search and the FAISS file, and encodes documents again whose embeddings are damaged.

    A damaged text cannot be rebuilt. It is named, here and by docsim verify, until its source is indexed again. Exits
    with 1 if problems remain.
    """
    with options.open_index(index_path) as index:
        lost = verification.repair(index, wait=wait, index_type=tuning.index_type, recall=tuning.recall)
        problems, warnings = verification.problems(index), verification.warnings(index)
    warn(warnings)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "lost": lost})
    elif not output.quiet:
        click.echo("Rebuilt." if not problems else "Rebuilt what can be rebuilt; these problems remain:")
        for problem in problems:
            click.echo(problem)
    if lost:
        click.echo(
            f"What is stored of {_listed(lost)} is damaged and cannot be rebuilt. Index the source again to bring it "
            "back: docsim index SOURCE",
            err=True,
        )
    if problems:
        ctx.exit(1)


def _listed(ids: list[str], most: int = 5) -> str:
    """Return some ids as one phrase."""
    named = ", ".join(ids[:most])
    return f"{named} and {len(ids) - most} more documents" if len(ids) > most else named


def _print_head(stored: StoredDocument) -> None:
    document = stored.document
    click.secho(document.title or document.id, bold=True)
    click.secho(f"{document.id}, {len(document.text)} characters, {stored.passages} passages", dim=True)
    for name, value in document.metadata.items():
        click.secho(f"{name}: {value}", dim=True)
    click.echo()


def _search_described(search: SearchStatus) -> str:
    if search.factory is None:
        return f"exact ({search.index_type})"
    return (
        f"{search.factory} ({search.index_type}), finds {search.recall:.3f} of the nearest, asked for {search.target}"
    )


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
        state = (
            f"read completely {source.finished}" if source.complete else "NOT read completely: run docsim index again"
        )
        click.echo(f"source      {source.location} ({source.documents} documents, {state})")
    click.echo(f"failed      {found.failed}")
    for failure in found.failures:
        click.echo(f"  {failure.path}: {failure.reason}")


def _building(one: GenerationStatus, total: int) -> str:
    state = "did not pass" if one.passed is False else "unfinished"
    return f"generation {one.number} with {one.encoder}, {one.documents} of {total} documents, {state}"
