"""``docsim backup`` and ``restore``: copy an index while it is used, and bring it back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json
from docsim.engine.records import Copied
from docsim.jobs import backup as jobs

__all__ = ["backup", "restore"]


@click.command(
    epilog="""\b
Examples:
  docsim backup backups/2026-11-29
  docsim backup /mnt/backups/handbook-$(date +%F) --index indexes/handbook --quiet      every night
"""
)
@click.argument("target", metavar="DIR", type=options.directory)
@chosen_index.index_option
@options.output
def backup(target: Path, index_path: Path | None, output: Output) -> None:
    """Copy an index to a new directory, and verify the copy.

    Searching, serving, indexing and training go on meanwhile. The copy is the index at one moment: documents,
    embeddings, all generations with their encoders, words, tokens. It is there when it is complete and sound, or not at
    all. It is an index like any other.
    """
    _tell("Backed up to", target, jobs.back_up(chosen_index.index_directory(index_path), target), output)


@click.command(
    epilog="""\b
Examples:
  docsim restore backups/2026-11-29 --index indexes/handbook
  docsim restore backups/2026-11-29 --index indexes/handbook --replace
"""
)
@click.argument("source", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@chosen_index.index_option
@click.option("--replace", is_flag=True, help="Replace the index that is there.")
@options.output
def restore(source: Path, index_path: Path | None, replace: bool, output: Output) -> None:
    """Bring an index back from a backup, which is verified first and stays as it is.

    An existing index is replaced only with --replace, and only while no server or other command writes to it.
    """
    path = chosen_index.index_directory(index_path)
    _tell("Restored to", path, jobs.restore(source, path, replace=replace), output)


def _tell(what: str, path: Path, copied: Copied, output: Output) -> None:
    if output.as_json:
        print_json({"path": str(path)} | asdict(copied))
    elif not output.quiet:
        counts = f"{copied.documents} documents, {copied.generations} generations, {copied.bytes / 1e6:.1f} MB"
        echo(f"{what} {path}: {counts}, revision {copied.revision}; verified.")
