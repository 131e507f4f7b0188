"""``docsim generations``, ``rollback`` and ``prune``: the generations of an index, and the way back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from docsim.cli import options
from docsim.cli.building import watching
from docsim.index import Index
from docsim.maintenance.status import GenerationStatus, read_generations
from docsim.reindex import rebuilding

__all__ = ["generations", "prune", "rollback"]


@click.command(
    epilog="\b\nExamples:\n  docsim generations\n  docsim generations --json | jq '.[] | select(.state == \"live\")'\n"
)
@options.index_option
@options.as_json
@options.output
def generations(index_path: Path | None, as_json: bool, quiet: bool) -> None:
    """List the generations of an index: the live one, those it can go back to, and one that is being built."""
    with Index.open(options.index_directory(index_path)) as index:
        found = read_generations(index)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
        return
    if not quiet:
        click.secho(f"{'':4}  {'state':8}  {'documents':>9}  {'size':>8}  {'date':16}  encoder", dim=True)
    for one in found:
        click.echo(_line(one))


@click.command(
    epilog="\b\nExamples:\n  docsim rollback             to the one that was live before\n  docsim rollback --to 2\n"
)
@options.index_option
@click.option("--to", type=click.IntRange(min=1), help="Its number.  [default: the one that was live before]")
@options.wait_option
@options.as_json
@options.output
def rollback(index_path: Path | None, **given: Any) -> None:
    """Make an earlier generation the live one again.

    It takes an instant when the documents are the same as then; those that were added or changed since are embedded
    first, with that generation's own encoder, while the live one goes on answering. Nothing is lost: run again, it
    goes forward to where it was.
    """
    path = options.index_directory(index_path)
    with watching(quiet=given["quiet"] or given["as_json"]) as progress, Index.open(path) as index:
        outcome = rebuilding.rollback(index, to=given["to"], wait=given["wait"], progress=progress)
    if given["as_json"]:
        told = asdict(outcome)
        told["upgrade"] = told.pop("gate")  # its name in JSON since the first version
        click.echo(json.dumps({"index": str(path)} | told, indent=2))
    elif not given["quiet"]:
        click.echo(f"Generation {outcome.generation} is live; before it was {outcome.previous}.")


@click.command(
    epilog="\b\nExamples:\n  docsim prune --keep 2       the live one and the one before\n  docsim prune --keep 1\n"
)
@options.index_option
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Generations to keep, the live one included.")
@options.wait_option
@options.as_json
@options.output
def prune(index_path: Path | None, **given: Any) -> None:
    """Remove old generations and give their room on the disk back; never the live one, nor one that is being built."""
    path = options.index_directory(index_path)
    with Index.open(path) as index:
        pruned = rebuilding.prune(index, keep=given["keep"], wait=given["wait"])
    if given["as_json"]:
        click.echo(json.dumps({"index": str(path)} | asdict(pruned), indent=2))
    elif not given["quiet"]:
        numbers = ", ".join(map(str, pruned.generations))
        what = f"Removed generation {numbers}" if pruned.generations else "There was nothing to remove"
        click.echo(f"{what}; {pruned.bytes / 1e6:.1f} MB were given back.")


def _line(one: GenerationStatus) -> str:
    date = (one.published or one.created)[:16].replace("T", " ")
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in one.metrics.items())
    encoder = f"{one.encoder}, {one.dim} dimensions, {one.fingerprint[:12]}" + (f"; {metrics}" if metrics else "")
    size = f"{one.bytes / 1e6:.1f} MB"
    return f"{one.number:>4}  {one.state:8}  {one.documents:>9}  {size:>8}  {date:16}  {encoder}"
