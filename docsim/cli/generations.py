"""``docsim generations``, ``rollback`` and ``prune``: list the generations of an index, go back, and free room."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json, styled
from docsim.cli.progress import watching
from docsim.engine import opening
from docsim.index import Index
from docsim.jobs import reindex as jobs
from docsim.maintenance.status import GenerationStatus, read_generations

__all__ = ["generations", "prune", "rollback"]


@click.command(
    epilog="\b\nExamples:\n  docsim generations\n  docsim generations --json | jq '.[] | select(.state == \"live\")'\n"
)
@chosen_index.index_option
@options.output
def generations(index_path: Path | None, output: Output) -> None:
    """List the generations of an index.

    A generation holds the embeddings of all documents by one encoder. One is live and answers; the index can go back to
    those that are retired; one may be under construction.
    """
    with chosen_index.open_index(index_path) as index:
        found = read_generations(index)
    if output.as_json:
        print_json([asdict(one) for one in found])
        return
    if not output.quiet:
        styled(f"{'':4}  {'state':8}  {'documents':>9}  {'size':>8}  {'date':16}  encoder", dim=True)
    for one in found:
        echo(_line(one))


@click.command(
    epilog="""\b
Examples:
  docsim rollback             to the generation that was live before
  docsim rollback --to 2      to generation 2
"""
)
@chosen_index.index_option
@click.option(
    "--to", type=click.IntRange(min=1), help="Number of the generation.  [default: the one that was live before]"
)
@chosen_index.wait_option
@options.output
def rollback(index_path: Path | None, to: int | None, wait: bool, output: Output) -> None:
    """Make an earlier generation live again.

    This takes an instant if no documents were added or changed since. Otherwise these are embedded first, with the
    earlier generation's encoder, while the live one goes on answering. Nothing is lost: run it again to go forward.
    """
    path = chosen_index.index_directory(index_path)
    with watching(quiet=not output.for_people) as progress, Index.open(path) as index:
        done = jobs.rollback(index, to=to, wait=wait, progress=progress)
    if output.as_json:
        found = asdict(done)
        found["upgrade"] = found.pop("gate")  # its name in JSON since the first version
        print_json({"index": opening.shown(path)} | found)
    elif not output.quiet:
        echo(f"Generation {done.generation} is live; before it was {done.previous}.")


@click.command(
    epilog="""\b
Examples:
  docsim prune --keep 2       keep the live generation and the one before it
  docsim prune --keep 1       keep the live generation only
"""
)
@chosen_index.index_option
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="Number of generations to keep, with the live one."
)
@chosen_index.wait_option
@options.output
def prune(index_path: Path | None, keep: int, wait: bool, output: Output) -> None:
    """Remove old generations to free disk space.

    The live generation is never removed, nor one under construction.
    """
    path = chosen_index.index_directory(index_path)
    with Index.open(path) as index:
        pruned = jobs.prune(index, keep=keep, wait=wait)
    if output.as_json:
        print_json({"index": opening.shown(path)} | asdict(pruned))
    elif not output.quiet:
        numbers = ", ".join(map(str, pruned.generations))
        what = f"Removed generation {numbers}" if pruned.generations else "There was nothing to remove"
        echo(f"{what}; {pruned.bytes / 1e6:.1f} MB were freed.")


def _line(one: GenerationStatus) -> str:
    date = (one.published or one.created)[:16].replace("T", " ")
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in one.metrics.items())
    encoder = f"{one.encoder}, {one.dim} dimensions, {one.fingerprint[:12]}" + (f"; {metrics}" if metrics else "")
    size = f"{one.bytes / 1e6:.1f} MB"
    return f"{one.number:>4}  {one.state:8}  {one.documents:>9}  {size:>8}  {date:16}  {encoder}"
