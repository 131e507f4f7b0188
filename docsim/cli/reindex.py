"""``docsim reindex``: change the encoder of an index while it answers queries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.bulk_options import BulkFlags, bulk
from docsim.cli.chosen_index import told
from docsim.cli.gate import REFUSED, GateFlags, gate, tell
from docsim.cli.grouping import grouped
from docsim.cli.options import EncoderOptions
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.engine import opening
from docsim.errors import UsageError
from docsim.index import Index
from docsim.jobs import reindex as jobs
from docsim.jobs.reindex import ReindexOptions
from docsim.maintenance.status import GenerationStatus, read_generations

__all__ = ["reindex"]


@dataclass(frozen=True, slots=True)
class _Manner:
    """How to re-index, or what to do instead."""

    instant: bool
    status: bool
    abort: bool
    wait: bool


_manner = grouped(
    _Manner,
    "manner",
    click.option(
        "--instant",
        "--adapter",
        "instant",
        is_flag=True,
        help="Let the new encoder answer at once, over the old embeddings mapped into its space.",
    ),
    click.option("--status", is_flag=True, help="Show the unfinished re-index, and change nothing."),
    click.option("--abort", is_flag=True, help="Drop the unfinished re-index."),
    chosen_index.wait_option,
)


@click.command(
    epilog="""\b
Examples:
  docsim reindex --encoder encoders/handbook
  docsim reindex --encoder encoders/handbook --qrels qrels.txt --queries queries.jsonl
  docsim reindex --encoder encoders/handbook --instant     answer with the new encoder at once
  docsim reindex --encoder accurate --on processes       encode in several processes
  docsim reindex --encoder accurate --from embeddings    take over what docsim embed has encoded
  docsim reindex --status                    how far is it?
  docsim reindex                             continue after a stop
  docsim reindex --force                     publish a generation that did not pass
  docsim reindex --abort                     drop it
"""
)
@chosen_index.index_option
@options.encoder("The new encoder: a directory, fast or accurate.  [default: that of the unfinished re-index]")
@_manner
@click.option(
    "--from",
    "embeddings",
    type=options.directory,
    help="Directory that docsim embed wrote to: what it holds is not encoded again. With --on, it is filled first.",
)
@bulk("Encode in bulk before: in processes of this machine, or on Ray.  [default: in this process]")
@gate
@options.output
@click.pass_context
def reindex(
    ctx: click.Context,
    index_path: Path | None,
    encoder: EncoderOptions,
    manner: _Manner,
    embeddings: Path | None,
    flags: BulkFlags,
    gate: GateFlags,
    output: Output,
) -> None:
    """Change the encoder of an index, while it goes on answering.

    Builds a new generation from the stored texts, beside the live one. Documents can be indexed meanwhile. If the
    process is killed, run it again to continue.

    The new generation is published only if it is sound and its answers are not worse. Otherwise it stays unpublished,
    and the command exits with 4 and a report. To go back after publishing, use docsim rollback.
    """
    path = chosen_index.index_directory(index_path)
    if manner.status + manner.abort + encoder.given > 1:
        raise UsageError("expected one of --encoder or --dim, --status and --abort")
    if flags.given and not flags.on:
        raise UsageError("expected --on with --address, --workers, --threads and --shard; got none")
    if manner.status:
        _tell_status(path, output)
    elif manner.abort:
        _abort(path, output, wait=manner.wait)
    else:
        wanted = encoder.load()
        with watching(quiet=not output.for_people) as progress, Index.open(path) as index:
            in_bulk = flags.load() if flags.on else None
            how = ReindexOptions(gate.load(), manner.instant, manner.wait, embeddings, in_bulk)
            done = jobs.reindex(index, wanted, how, progress=progress)
        tell(path, done, gate.asks, output)
        if not done.published:
            ctx.exit(REFUSED)


def _tell_status(path: Path, output: Output) -> None:
    with Index.open(path) as index:
        building = next((one for one in read_generations(index) if one.state == "building"), None)
        total = index.counts().documents
        running = index.engine.is_rebuilding()
    if output.as_json:
        found = {"building": asdict(building) if building else None, "documents": total, "running": running}
        print_json({"index": opening.shown(path)} | found)
    elif building is None:
        echo("No re-index is unfinished.")
    else:
        done = f"{building.documents} of {total} documents"
        echo(f"Generation {building.number} with {building.encoder} ({building.fingerprint[:12]}): {done}")
        echo(_next_step(path, building, running=running))


def _next_step(path: Path, one: GenerationStatus, *, running: bool) -> str:
    """Return what can be done about a generation that is being built."""
    command = f"docsim reindex --index {told(path)}"
    if running:
        return "A process is working on it."
    if one.passed is False and one.sound:
        return f"It did not pass; publish it with: {command} --force\nDrop it with: {command} --abort"
    if one.passed is False:
        return f"It is not sound and cannot be published; drop it with: {command} --abort"
    return f"No process is working on it; continue with: {command}\nDrop it with: {command} --abort"


def _abort(path: Path, output: Output, *, wait: bool) -> None:
    with Index.open(path) as index:
        aborted = jobs.abort(index, wait=wait)
    number, kept = (aborted.generation, aborted.kept) if aborted else (None, False)
    if output.as_json:
        print_json({"index": opening.shown(path), "aborted": number, "kept": kept})
    elif not output.quiet:
        became = "is kept, as it was live before; it is no longer brought up to date" if kept else "was dropped"
        echo(f"Generation {number} {became}." if number else "No re-index is unfinished.")
