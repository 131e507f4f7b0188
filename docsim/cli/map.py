"""``docsim map``: draw all documents as a map."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index, options
from docsim.cli.grouping import needs
from docsim.cli.output import Output, echo, print_json, styled
from docsim.errors import UsageError
from docsim.index import Index
from docsim.text.control_characters import visible

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
@click.option("--out", type=options.directory, default="map", show_default=True, help="Folder to write to.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed draws another map."
)
@chosen_index.index_option
@options.output
@needs("map")
def draw_map(out: Path, seed: int, index_path: Path | None, output: Output) -> None:
    """Draw all documents as a map, grouped by topic.

    Writes a picture and an HTML page; similar documents are close together. On the page you can read titles under the
    pointer, switch topics on and off, and search titles. It is one file and needs no network.
    """
    directory = chosen_index.index_directory(index_path)
    with Index.open(directory) as index:
        found = index.map(seed=seed)
    files = _write(found, out, title=visible(directory.resolve().name))
    if output.as_json:
        print_json({"files": files, **asdict(found)})
        return
    for topic in found.topics:
        echo(f"{topic.documents}\t{', '.join(topic.terms)}")
    if not output.quiet and sys.stdout.isatty():
        styled(f"Written to {' and '.join(files)}", dim=True)


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
