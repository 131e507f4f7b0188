"""``docsim copy``: copies an index from a directory to PostgreSQL, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.engine import opening

__all__ = ["copy"]


@click.command(
    epilog="""\b
Examples:
  docsim copy indexes/handbook 'postgresql://db.example.com/search?schema=handbook'
  docsim copy 'postgresql://db.example.com/search?schema=handbook' indexes/handbook
"""
)
@click.argument("source", metavar="FROM", type=options.index_path)
@click.argument("target", metavar="TO", type=options.index_path)
@chosen_index.wait_option
@options.output
def copy(source: Path, target: Path, wait: bool, output: Output) -> None:
    """Copy an index to PostgreSQL, to a directory, or to another place of the same kind, and verify the copy.

    The copy has everything but tokens and the record of use: documents, sources, embeddings, all generations with their
    encoders and reports. Meanwhile the index can be searched but not changed. If copying is interrupted, run the
    command again to continue; until it is finished, the copy cannot be searched.
    """
    from docsim.jobs.copying import copy_index

    with watching(quiet=output.quiet) as progress:
        copied = copy_index(source, target, wait=wait, progress=progress)
    shown = opening.shown(target)
    if output.as_json:
        print_json({"index": shown} | asdict(copied))
    elif not output.quiet:
        counts = f"{copied.documents} documents, {copied.generations} generations"
        echo(f"Copied to {shown}: {counts}; verified.")
