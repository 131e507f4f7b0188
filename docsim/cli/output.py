"""What commands print: text for people, or JSON, and warnings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import click

__all__ = ["Output", "print_json", "warn"]


@dataclass(frozen=True, slots=True)
class Output:
    """What ``--json`` and ``--quiet`` ask for."""

    as_json: bool
    quiet: bool

    @property
    def for_people(self) -> bool:
        """Whether to print text beyond bare results, and progress."""
        return not (self.as_json or self.quiet)


def print_json(found: object) -> None:
    """Print a JSON value, indented."""
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def warn(warnings: Iterable[str]) -> None:
    """Print what does not make answers wrong but needs attention, to standard error."""
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
