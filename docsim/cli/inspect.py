"""``docsim status``, ``show``, ``verify`` and ``repair``: look after an index."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from docsim.cli import options
from docsim.engine.records import SearchFacts
from docsim.index import Index
from docsim.maintenance import verify as verification
from docsim.maintenance.status import Status, read_status

__all__ = ["repair", "show", "status", "verify"]


@click.command(epilog="\b\nExamples:\n  docsim status\n  docsim status --json | jq .failed\n")
@options.index_option
@options.as_json
@options.output
def status(index_path: Path | None, as_json: bool, quiet: bool) -> None:
    """Say what the index holds, what it answers with, and what could not be read."""
    with Index.open(options.index_directory(index_path)) as index:
        found = read_status(index)
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        _print_status(found)


@click.command(
    epilog="\b\nExamples:\n  docsim show people/annual-leave.md\n  docsim show people/annual-leave.md --json\n"
)
@click.argument("id")
@options.index_option
@options.as_json
@options.output
def show(id: str, **given: Any) -> None:
    """Show an indexed document: its metadata, and its text as it was indexed."""
    with Index.open(options.index_directory(given["index_path"])) as index:
        stored = index.document(id)
        spans = index.passages(id)
    document = stored.document
    if given["as_json"]:
        shown = {
            "id": document.id,
            "title": document.title,
            "metadata": document.metadata,
            "text": document.text,
            "passages": [asdict(span) for span in spans],
        }
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    if not given["quiet"]:
        click.secho(document.title or document.id, bold=True)
        click.secho(f"{document.id}, {len(document.text)} characters, {len(spans)} passages", dim=True)
        for name, value in document.metadata.items():
            click.secho(f"{name}: {value}", dim=True)
        click.echo()
    click.echo(document.text)


@click.command(epilog="\b\nExamples:\n  docsim verify && echo sound\n")
@options.index_option
@options.as_json
@options.output
@click.pass_context
def verify(ctx: click.Context, index_path: Path | None, as_json: bool, quiet: bool) -> None:
    """Check counts, checksums, unit norms, orphans, full text and snapshot. Exit 1 if anything is wrong.

    An approximate index that misses its recall, or was tuned for far fewer passages, is warned of.
    """
    with Index.open(options.index_directory(index_path)) as index:
        problems, warnings = verification.problems(index), verification.warnings(index)
    if as_json:
        found = {"sound": not problems, "problems": problems, "warnings": warnings}
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for problem in problems:
            click.echo(problem)
        options.warn(warnings)
        if not problems and not quiet:
            click.echo("The index is sound.")
    if problems:
        ctx.exit(1)


@click.command(
    epilog="""\b
Examples:
  docsim repair --index indexes/handbook
  docsim repair --index-type ivf --recall 0.98     search approximately from now on, tuned to a recall
"""
)
@options.index_option
@options.tuning
@options.wait_option
@options.as_json
@options.output
@click.pass_context
def repair(
    ctx: click.Context, /, index_path: Path | None, wait: bool, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Rebuild the full-text index and the FAISS snapshot from the stored rows, and re-encode damaged embeddings."""
    with Index.open(options.index_directory(index_path)) as index:
        verification.repair(index, **given)
        problems, warnings = verification.problems(index), verification.warnings(index)
    options.warn(warnings)
    if as_json:
        click.echo(json.dumps({"sound": not problems, "problems": problems}, ensure_ascii=False, indent=2))
    elif not quiet:
        click.echo("Rebuilt." if not problems else "Rebuilt; these remain, and need a backup or a new index:")
        for problem in problems:
            click.echo(problem)
    if problems:
        ctx.exit(1)


def _search_described(search: SearchFacts) -> str:
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
    if building := found.building:
        state = "did not pass" if building.passed is False else "unfinished"
        done = f"{building.documents} of {found.documents} documents, {state}"
        click.echo(
            f"building    generation {building.number} with {building.encoder}, {done}; see: docsim reindex --status"
        )
    click.echo(f"search      {_search_described(found.search)}")
    for warning in found.search.warnings:
        click.echo(f"  Warning: {warning}")
    click.echo(f"size        {sum(asdict(found.sizes).values()) / 1e6:.1f} MB")
    for source in found.sources:
        state = (
            f"read to its end {source.finished}" if source.complete else "NOT read to its end: run docsim index again"
        )
        click.echo(f"source      {source.location} ({source.documents} documents, {state})")
    click.echo(f"failed      {found.failed}")
    for failure in found.failures:
        click.echo(f"  {failure.path}: {failure.reason}")
