"""``docsim status``: what an index holds, and what is left out of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.output import Output, echo, plural, print_json, styled
from docsim.engine.records import SearchFacts
from docsim.index import Index
from docsim.maintenance.status import (
    GenerationStatus,
    SourceStatus,
    Status,
    read_incomplete,
    read_left_out,
    read_status,
)

__all__ = ["status"]


@click.command(
    epilog="\b\nExamples:\n  docsim status\n  docsim status --json | jq .failed\n  docsim status --left-out\n"
)
@click.option("--left-out", "what", flag_value="left out", help="List the files that are not read, and why.")
@click.option("--incomplete", "what", flag_value="incomplete", help="List the documents that were not read whole.")
@chosen_index.index_option
@options.output
def status(what: str | None, index_path: Path | None, output: Output) -> None:
    """Show what an index holds, and what could not be read."""
    with chosen_index.open_index(index_path) as index:
        if what:
            _print_listed(index, what, as_json=output.as_json)
            return
        found = read_status(index)
    if output.as_json:
        print_json(asdict(found))
    else:
        _print_status(found)


def _search_described(search: SearchFacts) -> str:
    if search.factory is None:
        return f"exact ({search.index_type})"
    return (
        f"{search.factory} ({search.index_type}), finds {search.recall:.3f} of the nearest, asked for {search.target}"
    )


def _print_listed(index: Index, what: str, *, as_json: bool) -> None:
    """Print what is not read of the sources, or of single documents, one a line."""
    if what == "incomplete":
        incomplete = read_incomplete(index)
        listed = [{"id": id, "lost": lost} for id, lost in incomplete]
        lines = [f"{id}\t{', '.join(lost)}" for id, lost in incomplete]
    else:
        left_out = read_left_out(index)
        listed = [{"source": source, "path": one.path, "reason": one.reason} for source, one in left_out]
        lines = [f"{one.reason}\t{source}\t{one.path}" for source, one in left_out]
    if as_json:
        print_json(listed)
    for line in () if as_json else lines:
        echo(line)


def _print_status(found: Status) -> None:
    encoder = found.encoder
    styled(found.index, bold=True)
    echo(f"documents   {found.documents}")
    echo(f"passages    {found.passages}")
    echo(f"generation  {found.generation}")
    echo(f"encoder     {encoder.name}, {encoder.dim} dimensions, fingerprint {encoder.fingerprint[:12]}")
    if encoder.advice:
        echo(f"  Warning: {encoder.advice}")
    if found.building:
        echo(f"building    {_building(found.building, found.documents)}; see: docsim reindex --status")
    echo(f"search      {_search_described(found.search)}")
    for warning in found.search.warnings:
        echo(f"  Warning: {warning}")
    echo(f"size        {sum(asdict(found.sizes).values()) / 1e6:.1f} MB")
    _print_sources(found.sources)
    if found.incomplete:
        echo(f"incomplete  {found.incomplete}; list them with: docsim status --incomplete")
    echo(f"failed      {found.failed}")
    for failure in found.failures:
        echo(f"  {failure.path}: {failure.reason}")


def _print_sources(sources: Sequence[SourceStatus]) -> None:
    for source in sources:
        state = (
            f"read completely {source.finished}" if source.complete else "NOT read completely: run docsim index again"
        )
        echo(f"source      {source.location} ({source.documents} documents, {state})")
        if source.gone:
            echo(f"  It is gone; remove its documents with: docsim forget {shlex.quote(source.location)}")
    left_out = sum((Counter(source.left_out) for source in sources), Counter[str]())
    if left_out:
        reasons = ", ".join(f"{count} {plural(reason, count)}" for reason, count in left_out.most_common(8))
        echo(f"left out    {left_out.total()}: {reasons}; list them with: docsim status --left-out")


def _building(one: GenerationStatus, total: int) -> str:
    state = "did not pass" if one.passed is False else "unfinished"
    return f"generation {one.number} with {one.encoder}, {one.documents} of {total} documents, {state}"
