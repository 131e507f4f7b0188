"""Options of encoding in bulk, which ``docsim embed`` and ``docsim reindex`` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from docsim.cli.grouping import Option, grouped

if TYPE_CHECKING:
    from docsim.jobs.embed import BulkOptions, Where

__all__ = ["BulkFlags", "bulk"]


@dataclass(frozen=True, slots=True)
class BulkFlags:
    """How to encode in bulk; every field is None where nothing was said."""

    on: Where | None
    address: str | None
    workers: int | None
    threads: int | None
    shard: int | None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return any(value is not None for value in (self.on, self.address, self.workers, self.threads, self.shard))

    def load(self) -> BulkOptions:
        """Return the options.

        Raises:
            UsageError: There is the address of a cluster, but not ``--on ray``.
        """
        from docsim.jobs.embed import BulkOptions

        said = {name: getattr(self, name) for name in ("on", "address", "workers", "threads", "shard")}
        return BulkOptions(**{name: value for name, value in said.items() if value is not None})


def bulk(on: str) -> Option:
    """Return a decorator that adds ``--on`` and what belongs to it.

    Args:
        on: What ``--on`` is for, a sentence.
    """
    return grouped(
        BulkFlags,
        "flags",
        click.option("--on", type=click.Choice(["processes", "ray"]), help=on),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="Ray cluster to use; auto for the one that Ray finds.  [default: a new one on this machine]",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Number of workers that encode at the same time.  [default: as many as there are cores for]",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Threads of each worker.  [default: 1]"),
        click.option(
            "--shard", type=click.IntRange(min=1), metavar="N", help="Documents in each file.  [default: 256]"
        ),
    )
