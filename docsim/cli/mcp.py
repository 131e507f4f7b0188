"""``docsim mcp``: let an assistant search an index."""

from __future__ import annotations

from pathlib import Path

import click

from docsim.cli import chosen_index
from docsim.cli.grouping import needs
from docsim.cli.output import print_json
from docsim.engine import opening
from docsim.index import Index

__all__ = ["mcp"]


@click.command(
    epilog="""\b
Examples:
  docsim mcp --index indexes/handbook --print-config     what to add to the settings of an assistant
  docsim mcp --index indexes/handbook                    what the assistant then starts
"""
)
@chosen_index.index_option
@click.option("--print-config", is_flag=True, help="Print what to add to the settings of an assistant, and end.")
@click.option("--record", is_flag=True, help="Record what is asked and found good, for docsim judge and adapt.")
@needs("serve")
def mcp(index_path: Path | None, print_config: bool, record: bool) -> None:
    """Let an assistant search an index, over standard input and output (Model Context Protocol).

    The assistant starts this command itself. It may search and read everything in the index, and change nothing. For
    many people and assistants, use docsim serve, which has the same tools at /mcp.
    """
    directory = chosen_index.index_directory(index_path).resolve()
    if print_config:
        command = {
            "command": "docsim",
            "args": ["mcp", "--index", opening.shown(directory), *(("--record",) if record else ())],
        }
        print_json({"mcpServers": {"docsim": command}})
        return
    with Index.open(directory) as index:
        from docsim.serving.assistants import serve_standard_input
        from docsim.serving.use import Use
        from docsim.use.recording import Recorder

        serve_standard_input(index, Use(Recorder(directory) if record else None))
