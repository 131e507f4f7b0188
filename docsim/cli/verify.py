"""``docsim verify`` and ``docsim repair``: find damage in an index, and mend what can be mended."""

from __future__ import annotations

from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.chosen_index import told
from docsim.cli.options import TuningOptions
from docsim.cli.output import Output, echo, print_json, warn
from docsim.maintenance import verify as verification

__all__ = ["repair", "verify"]


@click.command(epilog="\b\nExamples:\n  docsim verify && echo sound\n  docsim verify --json | jq '.problems[]'\n")
@chosen_index.index_option
@options.output
@click.pass_context
def verify(ctx: click.Context, index_path: Path | None, output: Output) -> None:
    """Check an index for damage; exit with 1 if anything is wrong.

    Checks texts, embeddings, encoders, words, FAISS files and counts. Also warns when an approximate index
    finds too little or should be tuned again.
    """
    with chosen_index.open_index(index_path) as index:
        problems, warnings = verification.problems(index), verification.warnings(index)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "warnings": warnings})
    else:
        for problem in problems:
            echo(problem)
        warn(warnings)
        if not output.quiet:
            _advise(index_path, problems, warnings)
    if problems:
        ctx.exit(1)


@click.command(
    epilog="""\b
Examples:
  docsim repair --index indexes/handbook
  docsim repair --index-type ivf --recall 0.98     search approximately from now on, tuned to this recall
"""
)
@chosen_index.index_option
@options.tuning
@chosen_index.wait_option
@options.output
@click.pass_context
def repair(ctx: click.Context, index_path: Path | None, tuning: TuningOptions, wait: bool, output: Output) -> None:
    """Rebuild what can be rebuilt from the stored documents.

    Rebuilds the words and the FAISS file, and encodes documents again whose embeddings are damaged.

    A damaged text cannot be rebuilt. It is named, here and by docsim verify, until its source is indexed again. Exits
    with 1 if problems remain.
    """
    with chosen_index.open_index(index_path) as index:
        lost = verification.repair(index, wait=wait, index_type=tuning.index_type, recall=tuning.recall)
        problems, warnings = verification.problems(index), verification.warnings(index)
    warn(warnings)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "lost": lost})
    elif not output.quiet:
        echo("Rebuilt." if not problems else "Rebuilt what can be rebuilt; these problems remain:")
        for problem in problems:
            echo(problem)
    if lost:
        echo(
            f"What is stored of {_listed(lost)} is damaged and cannot be rebuilt. Index the source again to bring it "
            "back: docsim index SOURCE",
            err=True,
        )
    if problems:
        ctx.exit(1)


def _advise(index_path: Path | None, problems: list[str], warnings: list[str]) -> None:
    """Say that nothing is wrong, or which command mends what is."""
    chosen = f" --index {told(index_path)}" if index_path else ""
    if problems:
        echo(f"To rebuild what can be rebuilt: docsim repair{chosen}")
    else:
        echo("The index is sound.")
    if warnings:
        echo(f"To change how it is searched: docsim repair{chosen} --index-type TYPE", err=True)


def _listed(ids: list[str], most: int = 5) -> str:
    """Return some ids as one phrase."""
    named = ", ".join(ids[:most])
    return f"{named} and {len(ids) - most} more documents" if len(ids) > most else named
