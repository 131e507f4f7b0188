"""Decorators of commands: several options as one record, and what a command needs to have installed.

``grouped`` makes one decorator of several options, and hands their values to the command as one record::

    @options.tuning
    def repair(tuning: TuningOptions) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import click

from docsim import extras

__all__ = ["Command", "Option", "grouped", "needs"]

Command = Callable[..., None]
Option = Callable[[Command], Command]


def grouped(record: Callable[..., object], name: str, *options: Option) -> Option:
    """Return a decorator that adds options and hands their values to the command as one argument.

    Args:
        record: A dataclass whose fields are named as the parameters of ``options``.
        name: The argument that gets the record.
        options: The options, in the order in which ``--help`` lists them.
    """
    wanted = tuple(inspect.signature(record).parameters)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def collected(*arguments: object, **given: object) -> None:
            given[name] = record(**{key: given.pop(key) for key in wanted})
            command(*arguments, **given)

        decorated: Command = collected
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def needs(extra: str) -> Option:
    """Return a decorator: where an extra is not installed the command says so, before it does any work.

    Args:
        extra: A key of ``extras.PACKAGES``.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def checked(*arguments: object, **given: object) -> None:
            extras.require(extra, click.get_current_context().command_path)
            command(*arguments, **given)

        decorated: Command = checked
        return decorated

    return decorate
