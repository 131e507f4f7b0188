"""``docsim trust``: allow a ``docsim.toml`` to be used."""

from __future__ import annotations

from pathlib import Path

import click

from docsim.cli.output import echo
from docsim.cli.settings import trust_file
from docsim.cli.settings_file import FILE, nearest
from docsim.errors import UsageError

__all__ = ["trust"]


@click.command(epilog="\b\nExamples:\n  docsim trust\n  docsim trust ~/handbook\n  docsim trust ~/handbook --revoke\n")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--revoke", is_flag=True, help="Do not use the file any longer.")
@click.pass_context
def trust(ctx: click.Context, path: Path | None, revoke: bool) -> None:
    """Allow a docsim.toml to be used, as it is now.

    PATH is the file, or the folder that it is in; by default the nearest one here or above. It holds options of
    commands, and so says what is read and where it is written. Once it is changed it has to be trusted again.
    """
    found = nearest(Path.cwd()) if path is None else path / FILE if path.is_dir() else path
    if found is None or not (found.is_file() or revoke):
        raise UsageError(f"expected a {FILE} {'here or above' if path is None else f'at {path}'}, found none")
    trust_file(found, ctx.find_root(), revoke=revoke)
    echo(f"{'No longer trusted' if revoke else 'Trusted as it is now'}: {found}")
