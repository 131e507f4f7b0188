"""``docsim reindex``: change the encoder of an index that goes on answering."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from docsim.cli import options
from docsim.cli.building import watching
from docsim.errors import UsageError
from docsim.evaluation import judgements
from docsim.index import Index
from docsim.maintenance.status import GenerationStatus, read_generations
from docsim.reindex import gate_report, instant, rebuilding
from docsim.reindex.examination import GateOptions
from docsim.reindex.rebuilding import Reindexed

__all__ = ["REFUSED", "as_gate", "gate_options", "reindex", "tell"]

REFUSED = 4
"""Exit code when the new generation did not pass and stays unpublished."""

F = TypeVar("F", bound=Callable[..., Any])

_directory = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_ASKED_HITS = 3


_GATE_OPTIONS = (
    click.option(
        "--max-loss",
        type=click.FloatRange(0, 1),
        default=0.01,
        show_default=True,
        help="nDCG@10 that may be lost.",
    ),
    click.option(
        "--qrels", type=_file, help="TREC judgements to compare by.  [default: spans held out of the documents]"
    ),
    click.option(
        "--queries", type=_file, help='JSONL with "id" and "text".  [default: query ids are indexed documents]'
    ),
    click.option("--publish-anyway", is_flag=True, help="Publish even if it is worse; never if it is damaged."),
    click.option("--threshold", type=click.FloatRange(-1, 1), help="A similarity you use as a limit, to be mapped."),
    click.option("--report", type=_directory, help="Write the report here.  [default: into the generation]"),
    click.option(
        "--ask",
        "asks",
        multiple=True,
        metavar="TEXT",
        help="Show what this finds before and after; repeatable.",
    ),
)


def gate_options(command: F) -> F:
    """Add what ``reindex`` and ``adapt`` share: what a new generation has to pass, and what is shown of it."""
    for option in reversed(_GATE_OPTIONS):
        command = option(command)
    return command


@click.command(
    epilog="""\b
Examples:
  docsim reindex --encoder encoders/handbook
  docsim reindex --encoder encoders/handbook --qrels qrels.txt --queries queries.jsonl
  docsim reindex --encoder encoders/handbook --adapter     it searches the old embeddings at once, mapped
  docsim reindex --status                    how far is the one that runs, or was stopped?
  docsim reindex                             go on with the one that was stopped
  docsim reindex --publish-anyway            publish what did not pass
  docsim reindex --abort                     forget it
"""
)
@options.index_option
@click.option("--encoder", type=_directory, help="The encoder to change to.  [default: that of an unfinished re-index]")
@options.dim_option
@click.option(
    "--adapter", is_flag=True, help="Let the new encoder answer at once, over the old embeddings mapped into its space."
)
@gate_options
@click.option("--status", is_flag=True, help="Tell of the unfinished re-index; change nothing.")
@click.option("--abort", is_flag=True, help="Forget the unfinished re-index.")
@options.wait_option
@options.as_json
@options.output
@click.pass_context
def reindex(ctx: click.Context, /, index_path: Path | None, **given: Any) -> None:
    """Change an index to another encoder, while it goes on answering.

    A new generation is built beside the live one from the stored texts; documents may be indexed meanwhile. It is
    published only if it is sound and finds what is relevant not worse than the live one; else it stays unpublished,
    with exit code 4 and a report. Killed and run again, it continues. The way back: docsim rollback.
    """
    path = options.index_directory(index_path)
    if given["status"] + given["abort"] + bool(given["encoder"] or given["dim"]) > 1:
        raise UsageError("expected one of --encoder or --dim, --status and --abort")
    if given["status"]:
        _tell_status(path, as_json=given["as_json"])
        return
    if given["abort"]:
        _abort(path, given)
        return
    encoder = options.encoder_of(given["encoder"], given["dim"])
    with watching(quiet=given["quiet"] or given["as_json"]) as progress, Index.open(path) as index:
        if given["adapter"]:
            instant.upgrade(index, encoder, wait=given["wait"], progress=progress)
        outcome = rebuilding.reindex(index, encoder, gate=as_gate(given), wait=given["wait"], progress=progress)
    tell(path, outcome, given)
    if not outcome.published:
        ctx.exit(REFUSED)


def as_gate(given: dict[str, Any]) -> GateOptions:
    """Return what the options of ``gate_options`` say.

    Raises:
        UsageError: A file cannot be read, or there are queries without judgements.
    """
    if given["queries"] and not given["qrels"]:
        raise UsageError("expected --qrels with --queries; got none")
    return GateOptions(
        max_loss=given["max_loss"],
        qrels=judgements.read_qrels(given["qrels"]) if given["qrels"] else None,
        texts=judgements.read_queries(given["queries"]) if given["queries"] else None,
        threshold=given["threshold"],
        report=given["report"],
        publish_anyway=given["publish_anyway"],
    )


def tell(path: Path, outcome: Reindexed, given: dict[str, Any]) -> None:
    """Print how it ended."""
    if given["as_json"]:
        click.echo(json.dumps(_told(path, outcome), indent=2, ensure_ascii=False))
        return
    if not given["quiet"] and outcome.gate:
        _summary(gate_report.numbers(outcome.gate))
    if not given["quiet"] and outcome.report:
        click.echo(f"Report: {outcome.report / 'report.html'}")
    if not outcome.published:
        click.secho(
            f"Generation {outcome.generation} was not published; {outcome.previous} goes on answering.", err=True
        )
        if outcome.gate and outcome.gate.verdict.sound:
            click.echo(f"Publish it anyway with: docsim reindex --index {path} --publish-anyway", err=True)
        click.echo(f"Forget it with: docsim reindex --index {path} --abort", err=True)
    elif not given["quiet"] and outcome.generation != outcome.previous:
        seconds = f"{outcome.embedded} documents embedded in {outcome.seconds:.1f} s"
        click.echo(f"Generation {outcome.generation} is live: {seconds}.")
        click.echo(
            f"Back to generation {outcome.previous} with: docsim rollback --index {path} --to {outcome.previous}"
        )
    if given["asks"]:
        _show_asked(path, outcome, given["asks"])


def _told(path: Path, outcome: Reindexed) -> dict[str, Any]:
    told = {name: getattr(outcome, name) for name in ("generation", "previous", "published", "embedded", "seconds")}
    report = str(outcome.report) if outcome.report else None
    found = gate_report.numbers(outcome.gate) if outcome.gate else None
    return {"index": str(path), **told, "report": report, "gate": found}


def _show_asked(path: Path, outcome: Reindexed, asks: Sequence[str]) -> None:
    """Print what some texts find in the generation that was live before and in the new one."""
    previous = outcome.previous
    if previous == outcome.generation:  # nothing was done: compare with the one before
        with Index.open(path) as index:
            retired = [one.generation for one in index.engine.generations() if one.generation.state == "retired"]
        before = rebuilding.in_order_of_publishing(retired)
        previous = before[-1].number if before else previous
    with Index.open(path, generation=previous) as old, Index.open(path, generation=outcome.generation) as new:
        for text in asks:
            click.secho(f"\n{text}", bold=True)
            for name, index in (("before", old), ("after", new)):
                for hit in index.search(text, _ASKED_HITS).hits:
                    click.echo(f"  {name if hit.rank == 1 else '':6}  {hit.similarity:.3f}  {hit.id}")


def _summary(told: dict[str, Any]) -> None:
    """Print what the gate found."""
    for check in told["checks"]:
        click.echo(f"{check['name']:13}{check['detail']}", nl=False)
        click.secho("" if check["passed"] else "  NOT PASSED", fg="red")
    if mapped := told["adapter"]:
        recall = f"{mapped['recall']:.0%} of what the new generation finds; the old encoder {mapped['before']:.0%}"
        click.echo(f"{'adapter':13}{recall}")
    if told["quality"] is None:
        return
    overlap, similarity = told["overlap"], told["similarity"]
    click.echo(f"{'overlap':13}{overlap['mean']:.0%} of the first {overlap['k']} hits are the same")
    middle = [similarity[name]["percentiles"]["50"] for name in ("old", "new")]
    click.echo(f"{'similarity':13}median {middle[0]:.3f} before, {middle[1]:.3f} after")
    if mapped := told["threshold"]:
        click.echo(
            f"{'threshold':13}{mapped['old']:.3f} before is {mapped['new']:.3f} now: {mapped['share']:.1%} of hits"
        )
    for name in ("lost", "gained"):
        if told[name]:
            click.echo(f"{name + ' most':13}{'; '.join(_clipped(one['text']) for one in told[name][:3])}")


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tell_status(path: Path, *, as_json: bool) -> None:
    with Index.open(path) as index:
        found = [one for one in read_generations(index) if one.state == "building"]
        total = index.counts().documents
        running = index.engine.is_rebuilding()
    if as_json:
        told = {"building": asdict(found[0]) if found else None, "documents": total, "running": running}
        click.echo(json.dumps({"index": str(path)} | told, indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("No re-index is unfinished.")
        return
    one = found[0]
    click.echo(
        f"Generation {one.number} with {one.encoder} ({one.fingerprint[:12]}): {one.documents} of {total} documents"
    )
    click.echo(_next_step(path, one, running=running))


def _next_step(path: Path, one: GenerationStatus, *, running: bool) -> str:
    """Return what can be done about a generation that is being built."""
    command = f"docsim reindex --index {path}"
    if running:
        return "A process is at it."
    if one.passed is False and one.sound:
        return f"It did not pass; publish it with: {command} --publish-anyway\nForget it with: {command} --abort"
    if one.passed is False:
        return f"It is not sound and cannot be published; forget it with: {command} --abort"
    return f"No process is at it; go on with: {command}\nForget it with: {command} --abort"


def _abort(path: Path, given: dict[str, Any]) -> None:
    with Index.open(path) as index:
        aborted = rebuilding.abort(index, wait=given["wait"])
    number, kept = (aborted.generation, aborted.kept) if aborted else (None, False)
    if given["as_json"]:
        click.echo(json.dumps({"index": str(path), "aborted": number, "kept": kept}))
    elif not given["quiet"]:
        became = "is kept, as it was live before; it is no longer brought up to date" if kept else "is forgotten"
        click.echo(f"Generation {number} {became}." if number else "No re-index is unfinished.")
