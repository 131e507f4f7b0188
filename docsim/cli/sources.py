"""``docsim sources`` and ``forget``: what an index was made from."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json
from docsim.jobs.forget import forget as forget_source
from docsim.maintenance.status import SourceStatus, read_sources

__all__ = ["forget", "sources"]


@click.command(epilog="\b\nExamples:\n  docsim sources\n  docsim sources --json | jq -r '.[].location'\n")
@chosen_index.index_option
@options.output
def sources(index_path: Path | None, output: Output) -> None:
    """List what an index was made from, and how many documents each source has."""
    with chosen_index.open_index(index_path) as index:
        found = read_sources(index)
    if output.as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        echo(f"{one.documents}\t{one.kind}\t{one.location}\t{_state(one)}")


@click.command(
    epilog="\b\nExamples:\n  docsim forget ~/old-handbook\n  docsim forget old-handbook --index indexes/handbook\n"
)
@click.argument("source")
@chosen_index.index_option
@chosen_index.wait_option
@options.output
def forget(source: str, index_path: Path | None, wait: bool, output: Output) -> None:
    """Remove a source from an index, with the documents that no other source has.

    SOURCE is its path, or its short name, as docsim sources lists them. It need not exist any longer.
    """
    with chosen_index.open_index(index_path) as index:
        known, removed = forget_source(index, source, wait=wait)
    if output.as_json:
        print_json({"source": known.source.location, "removed": removed})
    elif not output.quiet:
        echo(f"Forgot {known.source.location}: {removed} documents removed")


def _state(one: SourceStatus) -> str:
    if one.gone:
        return f"gone; remove its documents with: docsim forget {shlex.quote(one.location)}"
    return f"read {one.finished}" if one.complete else "NOT read completely: run docsim index again"
