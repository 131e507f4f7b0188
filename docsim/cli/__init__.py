"""The command line: thin over ``docsim.Index`` and ``docsim.jobs``, and the only package that prints.

Each command has its module, which is imported only when the command runs.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import IO

import click

from docsim import __version__, allocation
from docsim.cli.output import echo, styled
from docsim.cli.settings_file import nearest
from docsim.cli.streams import open_closed_streams
from docsim.errors import DocsimError
from docsim.text.control_characters import log_to_standard_error, visible

__all__ = ["main", "run"]

_LEAST_MEMORY = {"address space": 512 << 20, "memory": 288 << 20}
_ULIMIT = {"address space": "ulimit -v", "memory": "ulimit -d"}
"""Bytes of address space without which the libraries crash while they are loaded."""

_SECTIONS = {
    "Search": {
        "query": "docsim.cli.search:query",
        "similar": "docsim.cli.search:similar",
        "explain": "docsim.cli.explain:explain",
        "show": "docsim.cli.show:show",
        "open": "docsim.cli.documents:open_hit",
        "ls": "docsim.cli.documents:ls",
        "duplicates": "docsim.cli.duplicates:duplicates",
        "map": "docsim.cli.map:draw_map",
    },
    "Index": {
        "index": "docsim.cli.index:index",
        "adapt": "docsim.cli.adapt:adapt",
        "reindex": "docsim.cli.reindex:reindex",
        "embed": "docsim.cli.embed:embed",
        "rollback": "docsim.cli.generations:rollback",
    },
    "Learn from use": {
        "judge": "docsim.cli.judge:judge",
        "feedback": "docsim.cli.use:feedback",
        "use": "docsim.cli.use:use",
        "gaps": "docsim.cli.gaps:gaps",
        "hygiene": "docsim.cli.gaps:hygiene",
    },
    "Look after an index": {
        "status": "docsim.cli.status:status",
        "sources": "docsim.cli.sources:sources",
        "forget": "docsim.cli.sources:forget",
        "trust": "docsim.cli.trust:trust",
        "rm": "docsim.cli.documents:rm",
        "verify": "docsim.cli.verify:verify",
        "repair": "docsim.cli.verify:repair",
        "generations": "docsim.cli.generations:generations",
        "prune": "docsim.cli.generations:prune",
        "backup": "docsim.cli.backup:backup",
        "restore": "docsim.cli.backup:restore",
        "copy": "docsim.cli.copy:copy",
        "doctor": "docsim.cli.doctor:doctor",
    },
    "Encoders": {
        "train": "docsim.cli.train:train",
        "distill": "docsim.cli.distill:distill",
        "sweep": "docsim.cli.sweep:sweep",
        "encoder": "docsim.cli.encoder:encoder",
    },
    "Serve": {
        "serve": "docsim.cli.serve:serve",
        "watch": "docsim.cli.watch:watch",
        "token": "docsim.cli.token:token",
        "access": "docsim.cli.access:access",
        "mcp": "docsim.cli.mcp:mcp",
    },
    "Evaluate": {
        "eval": "docsim.cli.evaluate:evaluate",
        "eval-pairs": "docsim.cli.evaluate:evaluate_pairs",
    },
}
"""The commands by name, in the sections of ``docsim --help``: where each of them is."""

_COMMANDS = {name: place for section in _SECTIONS.values() for name, place in section.items()}

_ONE_QUESTION = ("query", "similar")
"""Commands whose matrix products are so small that a second thread only costs time: 25 times on a busy machine."""

_SERVERS = ("serve", "mcp")
"""Commands that answer from many threads."""

_LARGE_TEXTS = ("index", "reindex", "embed", "repair")
"""Commands that hold whole documents, however long, and embeddings of many."""

_MANY_QUESTIONS = ("serve", "mcp")
"""Commands that answer several questions at once: each does better with one thread than all with all threads."""


class _Failed(click.ClickException):
    """An error that docsim raised on purpose: its message and its hint on one line, and an exit code."""

    def __init__(self, error: DocsimError) -> None:
        super().__init__(_with_hint(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[str] | None = None) -> None:
        styled("Error: ", fg="red", bold=True, nl=False, err=True)
        echo(self.message, err=True)


def _with_hint(error: DocsimError) -> str:
    """Return an error's message, followed by the command or option that its hint names."""
    message = str(error)
    if error.hint is None:
        return message
    return f"{message}{'' if message.endswith(('.', '?', '!')) else '.'} Try: {error.hint}"


_NO_MEMORY = DocsimError(
    "there is not enough memory for this; what was committed is safe",
    hint="again with fewer other programs, or a higher limit",
)


def _not_written(error: OSError) -> _Failed:
    """Return the failure of a file, or of the output, that could not be read or written."""
    name = f" {error.filename}" if error.filename else ""
    reason = error.strerror or type(error).__name__
    return _Failed(DocsimError(f"could not read or write{name}: {reason}; what was committed is safe"))


def _unexpected(error: Exception) -> _Failed:
    """Return the failure for an error that nobody has thought of."""
    said = f"{type(error).__name__}: {error}. This should not happen; what was committed is safe"
    return _Failed(DocsimError(f"{said}. For a traceback: docsim --debug"))


class _Group(click.Group):
    """Loads a command's module when it is asked for, and turns errors into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _ONE_QUESTION:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if cmd_name in _MANY_QUESTIONS:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            os.environ.setdefault("OMP_NUM_THREADS", "1")
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; where there is none, name those that look like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, n=2)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"{error.message}{meant}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in their sections."""
        longest = max(len(name) for name in _COMMANDS)  # not map(), which the command of that name hides
        for title, names in _SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                rows = [(name, one.get_short_help_str(formatter.width - longest - 6)) for name, one in commands if one]
                formatter.write_dl([(name.ljust(longest), short) for name, short in rows])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except DocsimError as error:
            raise _Failed(error) from error
        except click.ClickException as error:
            error.message = visible(error.message)  # type: ignore[misc]  # it may quote names of files
            raise
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if allocation.is_exceeded(error):
                raise _Failed(_NO_MEMORY) from error
            if logging.getLogger().isEnabledFor(logging.DEBUG):
                raise
            raise _not_written(error) if isinstance(error, OSError) else _unexpected(error) from error


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start with:        docsim index FOLDER
Help:              docsim COMMAND --help, with examples
Shell completion:  eval "$(_DOCSIM_COMPLETE=bash_source docsim)"   (or zsh_source, fish_source)
""",
)
@click.version_option(__version__, prog_name="docsim")
@click.option("--debug", is_flag=True, help="Log everything to standard error, and show tracebacks.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Find documents similar to a question or to another document, with an encoder trained on your own documents."""
    log_to_standard_error(logging.DEBUG if debug else logging.ERROR)
    if ctx.invoked_subcommand != "trust" and nearest(Path.cwd()):
        from docsim.cli import settings

        settings.apply(ctx)


def _check_memory() -> None:
    """End with a sentence where libraries could not even be loaded: those in C++ crash then."""
    limits = allocation.limits()
    if limits:  # threads of libraries take some hundred megabytes before they do anything
        allocation.share_one_heap()
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if min(limits.values()) < 2 * _LEAST_MEMORY["address space"]:
            os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name, most in limits.items():
        if most < _LEAST_MEMORY[name]:
            needed, given, hint = _LEAST_MEMORY[name] >> 20, most >> 20, _ULIMIT[name]
            error = DocsimError(f"expected a limit of at least {needed} MB of {name}, got {given} MB", hint=hint)
            failed = _Failed(error)
            failed.show()
            raise SystemExit(failed.exit_code)


def _log_ignored(error: sys.UnraisableHookArgs) -> None:
    """Log an error that Python ignores, as of a generator that ran out of memory while it was closed: not for users.

    At the end of the process, when modules are empty already, it is not even logged.
    """
    try:
        exc_info = (error.exc_type, error.exc_value or error.exc_type(), error.exc_traceback)
        logging.getLogger(__name__).debug("%s: %r", error.err_msg or "ignored in", error.object, exc_info=exc_info)
    except Exception:  # which Python would print
        pass


def _main() -> None:
    try:
        main()
    except OSError as error:  # help could not be printed; what commands raise is a failure already
        failed = _not_written(error)
        failed.show()
        raise SystemExit(failed.exit_code) from error


def run() -> None:
    """Run the command line as a process of its own: the console script.

    A single question is answered in a quarter of a second. A tenth of that would go into collecting garbage while
    modules are imported, and another tenth into tearing everything down at the end. Both are skipped: the index is
    closed, and the operating system frees the rest.
    """
    open_closed_streams()
    sys.unraisablehook = _log_ignored
    _check_memory()
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if command == "serve":
        gc.disable()  # until the server is ready: a tenth of its start goes into looking for garbage in what it imports
    if command in _SERVERS:
        allocation.share_one_heap()  # one for each thread takes a fifth of all memory, and answers no faster
    if command in _LARGE_TEXTS:
        allocation.give_back_large_pieces()
    if command == "index":  # sqlite-utils, which makes the database, would import pandas: 45 MB
        sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    if command not in _ONE_QUESTION:
        _main()
    gc.set_threshold(100_000)
    try:
        _main()
    except SystemExit as done:
        if not isinstance(done.code, int):
            raise
        with contextlib.suppress(OSError):  # who was to read it has gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(done.code)
