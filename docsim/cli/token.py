"""``docsim token``: who may use a server of an index, and what they see."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import echo, print_json
from docsim.engine import opening
from docsim.errors import StoreError

if TYPE_CHECKING:
    from docsim.serving.access import Scope
    from docsim.serving.tokens import Tokens

__all__ = ["default_access_option", "rules_option", "token", "tokens"]

rules_option = click.option(
    "--rules",
    type=options.existing_file,
    help='YAML file of paths and the groups that see what is below them, such as "hr: [people, legal]".',
)
default_access_option = click.option(
    "--default-access",
    "shown_by_default",
    type=click.Choice(("all", "none")),
    default="all",
    show_default=True,
    help="Who sees documents that neither their metadata nor a rule gives to a group.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def token() -> None:
    """Make, list and revoke tokens for docsim serve.

    Only the SHA-256 of a token is kept, in serving.db in the index's directory.
    """


@token.command(
    epilog="""\b
Examples:
  docsim token add anna --group hr --group legal     sees documents for everybody, hr or legal
  docsim token add ci --scope write --days 90        may change documents, and sees all of them
"""
)
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(("read", "write", "admin")),
    default="read",
    show_default=True,
    help="What the token allows: to search (read), also to change documents (write), or everything (admin).",
)
@click.option("--group", "groups", multiple=True, help="Show only documents of this group, and of everybody.")
@click.option("--everybody", is_flag=True, help="Show only documents that are for everybody.")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="Days until the token expires.  [default: never]"
)
@chosen_index.index_option
@_as_json
def add(
    name: str,
    scope: Scope,
    groups: tuple[str, ...],
    everybody: bool,
    days: float | None,
    index_path: Path | None,
    as_json: bool,
) -> None:
    """Make a token and print it. It cannot be shown again.

    A token without --group and --everybody shows all documents.
    """
    limited = list(groups) if groups or everybody else None
    made = tokens(index_path).add(name, scope=scope, groups=limited, days=days)
    if as_json:
        print_json({"name": name, "token": made})
    else:
        echo(made)


@token.command("list")
@chosen_index.index_option
@_as_json
def list_(index_path: Path | None, as_json: bool) -> None:
    """List tokens by name."""
    found = tokens(index_path).list()
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        shown = "all documents" if one.groups is None else ", ".join(("everyone", *one.groups))
        echo("\t".join((one.name, one.scope, shown, f"until {one.expires}" if one.expires else "for good")))


@token.command()
@click.argument("name")
@chosen_index.index_option
def revoke(name: str, index_path: Path | None) -> None:
    """End a token, and the sessions that it began, at once."""
    tokens(index_path).revoke(name)


def tokens(index_path: Path | None) -> Tokens:
    """Return the tokens of an index.

    Raises:
        StoreError: There is no index.
    """
    from docsim.serving.server_database import ServerDatabase
    from docsim.serving.tokens import Tokens

    directory = chosen_index.index_directory(index_path)
    if not opening.exists(directory):
        raise StoreError(f"expected an index at {opening.shown(directory)}, found none", hint="docsim index FOLDER")
    return Tokens(ServerDatabase(directory))
