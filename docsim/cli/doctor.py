"""``docsim doctor``: look at what an index needs to work well."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, print_json, styled
from docsim.errors import UsageError
from docsim.maintenance.doctor import checks

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(
    epilog="\b\nExamples:\n  docsim doctor\n  docsim doctor --index indexes/handbook --quiet || mail -s docsim admin\n"
)
@chosen_index.index_option
@options.output
@click.pass_context
def doctor(ctx: click.Context, index_path: Path | None, output: Output) -> None:
    """Check the installation and an index: packages, encoder, sources, permissions, room on the disk.

    Prints a line for each check, with --quiet only for those that are not ok. Exits with 1 if one failed; warnings are
    no failures. It takes a second and changes nothing; docsim verify checks everything that is stored.
    """
    try:
        path: Path | None = chosen_index.index_directory(index_path)
    except UsageError:  # there is none yet
        path = None
    found = list(checks(path))
    if output.as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            if not output.quiet or one.state != "ok":
                styled(f"{one.state:8}", fg=_COLOURS[one.state], nl=False)
                echo(f"{one.name:12}{one.told}")
    if any(one.state == "failed" for one in found):
        ctx.exit(1)
