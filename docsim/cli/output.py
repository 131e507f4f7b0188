"""What commands print: text for people, or JSON, and warnings.

Everything printed goes through here, because titles, ids and texts come from documents: their control characters would
move the cursor, rename the window or turn the direction of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict, Unpack

import click

__all__ = ["Output", "Style", "echo", "json_text", "masked", "plural", "print_json", "styled", "visible", "warn"]

_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tabs and line feeds, and marks of the direction of text."""


@dataclass(frozen=True, slots=True)
class Output:
    """What ``--json`` and ``--quiet`` ask for."""

    as_json: bool
    quiet: bool

    @property
    def for_people(self) -> bool:
        """Whether to print text beyond bare results, and progress."""
        return not (self.as_json or self.quiet)


def visible(text: str) -> str:
    """Return a text with its control characters spelled out: an escape as ``x1b`` after a backslash."""
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


def masked(text: str) -> str:
    """Return a text of the same length with a U+FFFD in the place of each control character."""
    return _INVISIBLE.sub("\ufffd", text)


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


def json_text(found: object, *, indent: int | None = None) -> str:
    """Return JSON in which every control character is escaped."""
    written = json.dumps(found, ensure_ascii=False, indent=indent)
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def print_json(found: object) -> None:
    """Print a JSON value, indented."""
    click.echo(json_text(found, indent=2))


def warn(warnings: Iterable[str]) -> None:
    """Print what does not make answers wrong but needs attention, to standard error."""
    for warning in warnings:
        echo(f"Warning: {warning}", err=True)
