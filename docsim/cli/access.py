"""``docsim access``: who sees which document, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index
from docsim.cli.output import echo, print_json
from docsim.cli.token import default_access_option, rules_option, tokens
from docsim.errors import UsageError

if TYPE_CHECKING:
    from docsim.serving.access import Viewer

__all__ = ["access"]


@click.group()
def access() -> None:
    """Say who sees which document of a server, and why."""


@access.command(
    epilog="""\b
Examples:
  docsim access why anna hr/pay.md                      anna is the name of a token
  docsim access why anna hr/pay.md --group hr           anna is a user that a proxy names, in the group hr
  docsim access why anna hr/pay.md --rules rules.yaml --default-access none      as the server was started
"""
)
@click.argument("who", metavar="USER|TOKEN")
@click.argument("document")
@click.option("--group", "groups", multiple=True, help="A group of a user whom a proxy names.")
@click.option("--everybody", is_flag=True, help="A user whom a proxy names, in no group.")
@chosen_index.index_option
@rules_option
@default_access_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(
    who: str,
    document: str,
    groups: tuple[str, ...],
    everybody: bool,
    index_path: Path | None,
    rules: Path | None,
    shown_by_default: str,
    as_json: bool,
) -> None:
    """Say whether somebody sees a document, and what decides it. Exits with 1 if they do not.

    Give --rules and --default-access as the server has them.
    """
    from docsim.serving.access import EVERYONE, Access, read_rules

    viewer = _viewer(who, groups, index_path, named_by_proxy=bool(groups) or everybody)
    ruled = read_rules(rules, shown_by_default=shown_by_default == "all")
    with chosen_index.open_index(index_path) as index:
        stored = index.document(document).document
    reason, theirs = ruled.reason(stored.id, stored.metadata), sorted(ruled.groups(stored.id, stored.metadata))
    is_shown = Access(viewer, ruled).sees(stored)
    if as_json:
        mine = None if viewer.groups is None else sorted({EVERYONE, *viewer.groups})
        print_json({"shown": is_shown, "who": who, "groups": mine, "document_groups": theirs, "decided_by": reason})
    else:
        mine_shown = ", ".join((EVERYONE, *sorted(viewer.groups or ())))
        seen = "all documents" if viewer.groups is None else f"documents of {mine_shown}"
        told = f"{who} sees {seen}; {document} belongs to {', '.join(theirs) or 'nobody'}, by {reason}"
        echo(f"{'shown' if is_shown else 'not shown'}: {told}")
    if not is_shown:
        click.get_current_context().exit(1)


def _viewer(who: str, groups: tuple[str, ...], index_path: Path | None, *, named_by_proxy: bool) -> Viewer:
    """Return whom a name stands for: a token, or a user of some groups.

    Raises:
        UsageError: There is no such token.
    """
    from docsim.serving.access import Viewer

    if named_by_proxy:
        return Viewer(who, frozenset(groups))
    found = next((one for one in tokens(index_path).list() if one.name == who), None)
    if found is None:
        raise UsageError(
            f"expected the name of a token, found no token {who!r}", hint="--group, for a user whom a proxy names"
        )
    return Viewer(who, None if found.groups is None else frozenset(found.groups), found.scope)
