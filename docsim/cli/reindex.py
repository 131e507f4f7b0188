"""``docsim reindex``: change the encoder of an index that goes on answering."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from docsim import reindexing
from docsim.cli import options
from docsim.cli.building import watching
from docsim.encoder import Encoder

__all__ = ["reindex"]

_directory = click.Path(path_type=Path, file_okay=False)


@click.command(
    epilog="""\b
Examples:
  docsim reindex --encoder encoders/handbook
"""
)
@options.index_option
@click.option("--encoder", type=_directory, help="The encoder to change to.  [default: that of an unfinished re-index]")
@options.wait_option
@options.as_json
@options.output
def reindex(index_path: Path | None, **given: Any) -> None:
    """Change an index to another encoder, while it goes on answering.

    A new generation is built beside the live one from the stored texts; documents may be indexed meanwhile. Killed and
    run again, it continues.
    """
    path = options.index_directory(index_path)
    encoder = Encoder.load(given["encoder"]) if given["encoder"] else None
    with watching(quiet=given["quiet"] or given["as_json"]) as watch:
        outcome = reindexing.reindex(path, encoder, wait=given["wait"], watch=watch)
    if given["as_json"]:
        click.echo(json.dumps({"index": str(path)} | asdict(outcome), indent=2))
    elif not given["quiet"]:
        click.echo(f"Generation {outcome.generation} is live; before it was {outcome.previous}.")
