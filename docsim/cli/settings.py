"""``docsim.toml``: options of commands, kept beside the documents.

Each table is a command and each key one of its options; what is in the table ``all`` counts for every command that has
such an option. What is given on the command line counts more. The file may say what is read and where it is written, so
it is only used after its user has trusted its very content.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from docsim.cli import state
from docsim.cli.output import warn
from docsim.cli.settings_file import FILE, nearest
from docsim.encoding import shipped
from docsim.engine import opening
from docsim.errors import UsageError

__all__ = ["ALL", "apply", "trust_file"]

ALL = "all"
"""The table whose options count for every command that has them."""

_LARGEST = 1 << 20
_TRUSTED = "trusted"


def apply(ctx: click.Context) -> None:
    """Make what the nearest file says the defaults of the command that is to run; warn where it is not trusted.

    Raises:
        UsageError: The file is trusted, but cannot be read or names an option that the command lacks.
    """
    path = nearest(Path.cwd())
    if path is None:
        return
    content = _content(path)
    if _trusted().get(_name(path)) != _digest(content):
        allowing = f"docsim trust {shlex.quote(str(path))}"
        warn([f"{path} is not used, because you have not trusted it as it is now. Read it, then: {allowing}"])
        return
    assert isinstance(ctx.command, click.Group)
    chosen = ctx.invoked_subcommand or ""
    if command := ctx.command.get_command(ctx, chosen):
        ctx.default_map = {chosen: _defaults(chosen, command, _parsed(path, content), path)}


def trust_file(path: Path, ctx: click.Context, *, revoke: bool = False) -> None:
    """Note that a file is trusted as it is now, or no longer.

    Args:
        path: The file.
        ctx: That of the group whose commands the file's tables are named as.
        revoke: Whether it is trusted no longer.

    Raises:
        UsageError: It cannot be read, is not in order, or the note cannot be kept.
    """
    known = {name: digest for name, digest in _trusted().items() if name != _name(path)}
    if not revoke:
        content = _content(path)
        _check(ctx, _parsed(path, content), path)
        known[_name(path)] = _digest(content)
    try:
        state.write(_TRUSTED, known)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"expected a place to note what is trusted, below $XDG_STATE_HOME: {error}") from error


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"expected a {FILE} that can be read at {path}: {error.strerror or error}") from error
    if len(content) > _LARGEST:
        raise UsageError(f"expected a {FILE} of at most {_LARGEST >> 20} MB, got a larger one at {path}")
    return content


def _parsed(path: Path, content: bytes) -> Mapping[str, Any]:
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected TOML in {path}: {error}") from error
    for name, table in found.items():
        if not isinstance(table, dict):
            raise UsageError(f"expected {name!r} of {path} in a table, such as [{ALL}] or [query]")
    return found


def _check(ctx: click.Context, tables: Mapping[str, Any], path: Path) -> None:
    """Refuse tables that are no commands, and keys that are no options of theirs."""
    assert isinstance(ctx.command, click.Group)
    commands = {name: ctx.command.get_command(ctx, name) for name in ctx.command.list_commands(ctx)}
    known = {name: list(_parameters(command)) for name, command in commands.items() if command}
    known[ALL] = [option for each in known.values() for option in each]
    for name, table in tables.items():
        if name not in known:
            raise UsageError(
                f"expected tables of {path} named as commands, or {ALL}; got {name!r}{_close(name, known)}"
            )
        for key in table:
            _check_option(key, name, known[name], path)


def _check_option(key: str, name: str, known: Iterable[str], path: Path) -> None:
    if key not in known:
        raise UsageError(f"expected options of [{name}] in {path}, got {key!r}{_close(key, known)}")


def _defaults(name: str, command: click.Command, tables: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the defaults of a command's parameters, by their names."""
    known = _parameters(command)
    for key in tables.get(name, {}):
        _check_option(key, name, known, path)
    given = {key: value for key, value in tables.get(ALL, {}).items() if key in known} | tables.get(name, {})
    return {str(known[key].name): _located(known[key], value, path) for key, value in given.items()}


def _parameters(command: click.Command) -> dict[str, click.Parameter]:
    """Return the parameters of a command by the names that people write, without dashes in front."""
    return {option.lstrip("-"): one for one in command.params for option in one.opts}


def _located(parameter: click.Parameter, value: Any, path: Path) -> Any:
    """Return a value whose paths, which count from the folder of the file, count from here."""
    if isinstance(value, list):
        return [_located(parameter, one, path) for one in value]
    if (
        not isinstance(value, str)
        or value == "-"
        or opening.is_url(value)
        or (value in shipped.NAMES and not (path.parent / value / "manifest.json").is_file())
    ):
        return value
    is_path = isinstance(parameter.type, click.Path) or parameter.name == "source"
    return os.path.relpath(path.parent / value) if is_path else value


def _close(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _trusted() -> dict[str, str]:
    kept = state.read(_TRUSTED)
    return {str(name): str(digest) for name, digest in kept.items()} if isinstance(kept, dict) else {}


def _name(path: Path) -> str:
    return os.path.realpath(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
