"""``docsim show``: print a document as it was indexed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json, styled
from docsim.engine.records import StoredDocument
from docsim.models import composed

__all__ = ["show"]


@click.command(
    epilog="\b\nExamples:\n  docsim show people/annual-leave.md\n  docsim show people/annual-leave.md --json\n"
)
@click.argument("id")
@chosen_index.index_option
@options.output
def show(id: str, index_path: Path | None, output: Output) -> None:
    """Show the metadata and the text of an indexed document.

    The text is that which was indexed: for a PDF, what could be extracted from it.
    """
    with chosen_index.open_index(index_path) as index:
        id = id if index.has(id) else composed(id)
        stored = index.document(id)
        passages = index.passages(id)
    document = stored.document
    if output.as_json:
        shown = {"id": document.id, "title": document.title, "metadata": document.metadata, "text": document.text}
        print_json({**shown, "passages": [asdict(one) for one in passages]})
        return
    if not output.quiet:
        _print_head(stored)
    echo(document.text)


def _print_head(stored: StoredDocument) -> None:
    document = stored.document
    styled(document.title or document.id, bold=True)
    styled(f"{document.id}, {len(document.text)} characters, {stored.passages} passages", dim=True)
    for name, value in document.metadata.items():
        styled(f"{name}: {value}", dim=True)
    echo()
