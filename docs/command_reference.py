"""The command reference: the help of every command as Markdown."""

from __future__ import annotations

import click

from docsim.cli import main as cli

__all__ = ["reference"]

WIDTH = 92


def reference() -> str:
    """Return the help of every command as Markdown."""
    parts = ["# Command line\n\nThese are the help texts of all commands, as `docsim COMMAND --help` prints them.\n"]
    for path, command in _commands(cli, ("docsim",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=WIDTH, terminal_width=WIDTH)
        with context:
            help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"## {' '.join(path)}\n\n```\n{help_text}\n```\n")
    return "\n".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                found.extend(_commands(child, (*path, name)))
    return found
