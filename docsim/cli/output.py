"""What commands print: text for people, or JSON, and warnings.

Everything printed goes through here, because titles, ids and texts come from documents: their control characters would
move the cursor, rename the window or turn the direction of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict, Unpack

import click

from docsim.text.control_characters import json_text, visible

__all__ = ["Output", "Style", "echo", "plural", "print_json", "styled", "warn"]


@dataclass(frozen=True, slots=True)
class Output:
    """What ``--json`` and ``--quiet`` ask for."""

    as_json: bool
    quiet: bool

    @property
    def for_people(self) -> bool:
        """Whether to print text beyond bare results, and progress."""
        return not (self.as_json or self.quiet)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, without control characters."""
    click.echo(visible(text), err=err, nl=nl)


class Style(TypedDict, total=False):
    """How a text looks: what ``click.style`` takes and docsim uses."""

    fg: str
    bold: bool
    dim: bool


def styled(text: str, *, err: bool = False, nl: bool = True, **style: Unpack[Style]) -> None:
    """Print a text in a colour or a weight, without control characters of its own."""
    click.secho(visible(text), err=err, nl=nl, **style)


def plural(reason: str, count: int) -> str:
    """Return a reason why files were left out, such as ``.json``, ``hidden`` or ``script``, as it is counted."""
    if count == 1 or reason.startswith(".") or reason in ("hidden", "ignored"):
        return reason
    return f"{reason}es" if reason.endswith("x") else f"{reason}s"


def print_json(found: object) -> None:
    """Print a JSON value, indented."""
    click.echo(json_text(found, indent=2))


def warn(warnings: Iterable[str]) -> None:
    """Print what does not make answers wrong but needs attention, to standard error."""
    for warning in warnings:
        echo(f"Warning: {warning}", err=True)
