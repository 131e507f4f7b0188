"""``docsim status``, ``show``, ``verify`` and ``repair``: look after an index."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import options
from docsim.cli.options import TuningOptions
from docsim.cli.output import Output, echo, plural, print_json, styled, warn
from docsim.engine.records import SearchFacts, StoredDocument
from docsim.index import Index
from docsim.maintenance import verify as verification
from docsim.maintenance.status import GenerationStatus, Status, read_incomplete, read_left_out, read_status
from docsim.models import composed

__all__ = ["repair", "show", "status", "verify"]


@click.command(
    epilog="\b\nExamples:\n  docsim status\n  docsim status --json | jq .failed\n  docsim status --left-out\n"
)
@click.option("--left-out", "what", flag_value="left out", help="List the files that are not read, and why.")
@click.option("--incomplete", "what", flag_value="incomplete", help="List the documents that were not read whole.")
@options.index_option
@options.output
def status(what: str | None, index_path: Path | None, output: Output) -> None:
    """Show what an index holds, and what could not be read."""
    with options.open_index(index_path) as index:
        if what:
            _print_listed(index, what, as_json=output.as_json)
            return
        found = read_status(index)
    if output.as_json:
        print_json(asdict(found))
    else:
        _print_status(found)


@click.command(
    epilog="\b\nExamples:\n  docsim show people/annual-leave.md\n  docsim show people/annual-leave.md --json\n"
)
@click.argument("id")
@options.index_option
@options.output
def show(id: str, index_path: Path | None, output: Output) -> None:
    """Show the metadata and the text of an indexed document.

    The text is that which was indexed: for a PDF, what could be extracted from it.
    """
    with options.open_index(index_path) as index:
        id = id if index.has(id) else composed(id)
        stored = index.document(id)
        passages = index.passages(id)
    document = stored.document
    if output.as_json:
        shown = {"id": document.id, "title": document.title, "metadata": document.metadata, "text": document.text}
        print_json({**shown, "passages": [asdict(one) for one in passages]})
        return
    if not output.quiet:
        _print_head(stored)
    echo(document.text)


@click.command(epilog="\b\nExamples:\n  docsim verify && echo sound\n  docsim verify --json | jq '.problems[]'\n")
@options.index_option
@options.output
@click.pass_context
def verify(ctx: click.Context, index_path: Path | None, output: Output) -> None:
    """Check an index for damage; exit with 1 if anything is wrong.

    Checks texts, embeddings, encoders, words, FAISS files and counts. Also warns when an approximate index
    finds too little or should be tuned again.
    """
    with options.open_index(index_path) as index:
        problems, warnings = verification.problems(index), verification.warnings(index)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "warnings": warnings})
    else:
        for problem in problems:
            echo(problem)
        warn(warnings)
        if not output.quiet:
            _advise(index_path, problems, warnings)
    if problems:
        ctx.exit(1)


@click.command(
    epilog="""\b
Examples:
  docsim repair --index indexes/handbook
  docsim repair --index-type ivf --recall 0.98     search approximately from now on, tuned to this recall
"""
)
@options.index_option
@options.tuning
@options.wait_option
@options.output
@click.pass_context
def repair(ctx: click.Context, index_path: Path | None, tuning: TuningOptions, wait: bool, output: Output) -> None:
    """Rebuild what can be rebuilt from the stored documents.

    Rebuilds the words and the FAISS file, and encodes documents again whose embeddings are damaged.

    A damaged text cannot be rebuilt. It is named, here and by docsim verify, until its source is indexed again. Exits
    with 1 if problems remain.
    """
    with options.open_index(index_path) as index:
        lost = verification.repair(index, wait=wait, index_type=tuning.index_type, recall=tuning.recall)
        problems, warnings = verification.problems(index), verification.warnings(index)
    warn(warnings)
    if output.as_json:
        print_json({"sound": not problems, "problems": problems, "lost": lost})
    elif not output.quiet:
        echo("Rebuilt." if not problems else "Rebuilt what can be rebuilt; these problems remain:")
        for problem in problems:
            echo(problem)
    if lost:
        echo(
            f"What is stored of {_listed(lost)} is damaged and cannot be rebuilt. Index the source again to bring it "
            "back: docsim index SOURCE",
            err=True,
        )
    if problems:
        ctx.exit(1)


def _advise(index_path: Path | None, problems: list[str], warnings: list[str]) -> None:
    """Say that nothing is wrong, or which command mends what is."""
    chosen = f" --index {index_path}" if index_path else ""
    if problems:
        echo(f"To rebuild what can be rebuilt: docsim repair{chosen}")
    else:
        echo("The index is sound.")
    if warnings:
        echo(f"To change how it is searched: docsim repair{chosen} --index-type TYPE", err=True)


def _listed(ids: list[str], most: int = 5) -> str:
    """Return some ids as one phrase."""
    named = ", ".join(ids[:most])
    return f"{named} and {len(ids) - most} more documents" if len(ids) > most else named


def _print_head(stored: StoredDocument) -> None:
    document = stored.document
    styled(document.title or document.id, bold=True)
    styled(f"{document.id}, {len(document.text)} characters, {stored.passages} passages", dim=True)
    for name, value in document.metadata.items():
        styled(f"{name}: {value}", dim=True)
    echo()


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
    if found.building:
        echo(f"building    {_building(found.building, found.documents)}; see: docsim reindex --status")
    echo(f"search      {_search_described(found.search)}")
    for warning in found.search.warnings:
        echo(f"  Warning: {warning}")
    echo(f"size        {sum(asdict(found.sizes).values()) / 1e6:.1f} MB")
    for source in found.sources:
        state = (
            f"read completely {source.finished}" if source.complete else "NOT read completely: run docsim index again"
        )
        echo(f"source      {source.location} ({source.documents} documents, {state})")
        if source.gone:
            echo(f"  It is gone; remove its documents with: docsim forget {source.location}")
    left_out = sum((Counter(source.left_out) for source in found.sources), Counter[str]())
    if left_out:
        reasons = ", ".join(f"{count} {plural(reason, count)}" for reason, count in left_out.most_common(8))
        echo(f"left out    {left_out.total()}: {reasons}; list them with: docsim status --left-out")
    if found.incomplete:
        echo(f"incomplete  {found.incomplete}; list them with: docsim status --incomplete")
    echo(f"failed      {found.failed}")
    for failure in found.failures:
        echo(f"  {failure.path}: {failure.reason}")


def _building(one: GenerationStatus, total: int) -> str:
    state = "did not pass" if one.passed is False else "unfinished"
    return f"generation {one.number} with {one.encoder}, {one.documents} of {total} documents, {state}"
