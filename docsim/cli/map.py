"""``docsim map``: a picture of the knowledge base."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import options
from docsim.errors import UsageError
from docsim.index import Index

if TYPE_CHECKING:
    from docsim.analysis.topic_map import KnowledgeMap

__all__ = ["draw_map"]


@click.command(
    "map",
    epilog="""\b
Examples:
  docsim map                                  writes map/map.png and map/map.html
  docsim map --out pictures --index indexes/handbook
  docsim map --json | jq '.topics[].terms'
""",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="map",
    show_default=True,
    help="Folder to write to.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another one, another picture.")
@options.index_option
@options.as_json
@options.output
@options.needs("map")
def draw_map(out: Path, *, seed: int, index_path: Path | None, as_json: bool, quiet: bool) -> None:
    """Draw all documents as a map, grouped by topic: a picture, and an HTML page to look around in.

    What lies close together is alike. The page tells titles under the pointer, switches topics on and off and finds
    words in titles; it is one file and needs no network.
    """
    directory = options.index_directory(index_path)
    with Index.open(directory) as index:
        found = index.map(seed=seed)
    files = _write(found, out, title=directory.resolve().name)
    if as_json:
        click.echo(json.dumps({"files": files, **asdict(found)}, ensure_ascii=False, indent=2))
        return
    for topic in found.topics:
        click.echo(f"{topic.documents}\t{', '.join(topic.terms)}")
    if not quiet and sys.stdout.isatty():
        click.secho(f"Written to {' and '.join(files)}", dim=True)


def _write(found: KnowledgeMap, out: Path, *, title: str) -> list[str]:
    from docsim.analysis.map_page import map_page
    from docsim.analysis.topic_map import drawn

    files = {"map.png": drawn(found, title=title), "map.html": map_page(found, title=title).encode()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise UsageError(f"expected a folder that can be written to at {out}; {error.strerror or error}") from error
    return [str(out / name) for name in files]
