"""The command line: one module per job, imported only when its command runs. The only layer that prints."""

from __future__ import annotations

import gc
import logging
import os
import sys
from importlib import import_module
from typing import IO, Any

import click

from docsim import __version__
from docsim.errors import DocsimError

__all__ = ["main", "run"]

_COMMANDS = {
    "index": "docsim.cli.index:index",
    "query": "docsim.cli.search:query",
    "similar": "docsim.cli.search:similar",
    "explain": "docsim.cli.explain:explain",
    "duplicates": "docsim.cli.duplicates:duplicates",
    "map": "docsim.cli.map:draw_map",
    "show": "docsim.cli.inspect:show",
    "status": "docsim.cli.inspect:status",
    "verify": "docsim.cli.inspect:verify",
    "repair": "docsim.cli.inspect:repair",
    "adapt": "docsim.cli.adapt:adapt",
    "reindex": "docsim.cli.reindex:reindex",
    "generations": "docsim.cli.generations:generations",
    "rollback": "docsim.cli.generations:rollback",
    "prune": "docsim.cli.generations:prune",
    "eval": "docsim.cli.evaluate:evaluate",
    "eval-pairs": "docsim.cli.evaluate:evaluate_pairs",
    "distill": "docsim.cli.distill:distill",
    "train": "docsim.cli.train:train",
    "sweep": "docsim.cli.sweep:sweep",
    "encoder": "docsim.cli.encoder:encoder",
}

_ONE_QUESTION = ("query", "similar")
"""Commands whose matrix products are so small that a second thread only costs: 25 times as long on a busy machine."""


class _Failed(click.ClickException):
    """An error that docsim raised on purpose: its message and its hint on one line, and an exit code."""

    def __init__(self, error: DocsimError) -> None:
        super().__init__(_with_hint(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(self.message, err=True)


def _with_hint(error: DocsimError) -> str:
    """Return an error's message, followed by the command or option that its hint names."""
    message = str(error)
    if error.hint is None:
        return message
    return f"{message}{'' if message.endswith(('.', '?', '!')) else '.'} Try: {error.hint}"


class _Group(click.Group):
    """Loads a command's module when it is asked for, and turns errors into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _ONE_QUESTION:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DocsimError as error:
            raise _Failed(error) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if logging.getLogger().isEnabledFor(logging.DEBUG):
                raise
            kind = type(error).__name__
            message = (
                f"{kind}: {error}. This should not happen; what was committed is safe. For a traceback: docsim --debug"
            )
            raise _Failed(DocsimError(message)) from error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: docsim index FOLDER. Each command's --help has examples.",
)
@click.version_option(__version__, prog_name="docsim")
@click.option("--debug", is_flag=True, help="Log everything to standard error, and show tracebacks.")
def main(debug: bool) -> None:
    """Find what you already have that is like this: document similarity search, trained on your own documents."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.ERROR, format="%(name)s: %(message)s", stream=sys.stderr
    )


def run() -> None:
    """Run the command line as a process of its own: the console script.

    A single question is answered in a quarter of a second, of which collecting garbage while modules are imported takes
    a tenth, and taking everything down at the end another. So it does neither: its index is closed, and what is left is
    the system's to free.
    """
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if command not in _ONE_QUESTION:
        main()
    gc.set_threshold(100_000)
    try:
        main()
    except SystemExit as done:
        if not isinstance(done.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code)
