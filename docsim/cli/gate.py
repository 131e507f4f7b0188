"""What ``docsim reindex`` and ``docsim adapt`` share: options of the gate, and what is printed at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from docsim.cli import options
from docsim.cli.chosen_index import told
from docsim.cli.grouping import grouped
from docsim.cli.output import Output, echo, print_json, styled
from docsim.engine import opening
from docsim.errors import UsageError
from docsim.evaluation import judgements
from docsim.index import Index
from docsim.jobs.reindex import Reindexed
from docsim.reindex import gate_report, generations
from docsim.reindex.examination import DEFAULT_GATE, GateOptions
from docsim.reindex.gate_report import GateReport

__all__ = ["REFUSED", "GateFlags", "gate", "tell"]

REFUSED = 4
"""Exit code when the new generation did not pass and stays unpublished."""

_ASKED_HITS = 3


@dataclass(frozen=True, slots=True)
class GateFlags:
    """What a new generation has to pass, and what is shown of it."""

    max_loss: float
    qrels: Path | None
    queries: Path | None
    publish_anyway: bool
    threshold: float | None
    report: Path | None
    asks: tuple[str, ...]

    def load(self) -> GateOptions:
        """Read the files, and return the options of the gate.

        Raises:
            UsageError: A file cannot be read, or there are queries without judgements.
        """
        if self.queries and not self.qrels:
            raise UsageError("expected --qrels with --queries; got none")
        return GateOptions(
            max_loss=self.max_loss,
            qrels=judgements.read_qrels(self.qrels) if self.qrels else None,
            texts=judgements.read_queries(self.queries) if self.queries else None,
            threshold=self.threshold,
            report=self.report,
            publish_anyway=self.publish_anyway,
        )


gate = grouped(
    GateFlags,
    "gate",
    click.option(
        "--max-loss",
        type=click.FloatRange(0, 1),
        default=DEFAULT_GATE.max_loss,
        show_default=True,
        help="Publish if nDCG@10 falls by no more than this.",
    ),
    click.option(
        "--qrels",
        type=options.existing_file,
        help="Relevance judgements (TREC qrels) to compare by.  [default: questions made from the documents]",
    ),
    options.queries_option,
    click.option(
        "--force",
        "--publish-anyway",
        "publish_anyway",
        is_flag=True,
        help="Publish even if quality falls or cannot be measured; a damaged generation is never published.",
    ),
    click.option(
        "--threshold",
        type=click.FloatRange(-1, 1),
        help="A similarity that you use as a limit; the report says which one replaces it.",
    ),
    click.option(
        "--report", type=options.directory, help="Directory for the report.  [default: in the new generation]"
    ),
    click.option(
        "--ask",
        "asks",
        multiple=True,
        metavar="TEXT",
        help="Show what this query finds before and after. Can be given several times.",
    ),
)


def tell(path: Path, done: Reindexed, asks: Sequence[str], output: Output) -> None:
    """Print how a re-index ended."""
    if output.as_json:
        print_json(_json(path, done))
        return
    if not output.quiet:
        for line in _found(done):
            echo(line)
    if not done.published:
        _tell_refused(path, done)
    elif not output.quiet and done.generation != done.previous:
        echo(f"Generation {done.generation} is live: {done.embedded} documents embedded in {done.seconds:.1f} s.")
        echo(f"Back to generation {done.previous} with: docsim rollback --index {told(path)} --to {done.previous}")
    if asks:
        _show_asked(path, done, asks)


def _json(path: Path, done: Reindexed) -> dict[str, object]:
    names = ("generation", "previous", "published", "embedded", "seconds", "unchanged")
    report = str(done.report) if done.report else None
    found = gate_report.numbers(done.gate) if done.gate else None
    refusal = done.gate.verdict.refusal if done.gate and not done.published else None
    told = {name: getattr(done, name) for name in names}
    return {"index": opening.shown(path), **told, "refusal": refusal, "report": report, "gate": found}


def _tell_refused(path: Path, done: Reindexed) -> None:
    styled(f"Generation {done.generation} was not published; {done.previous} goes on answering.", err=True)
    command = f"docsim reindex --index {told(path)}"
    refusal = done.gate.verdict.refusal if done.gate else None
    if refusal == "unmeasured":
        echo(
            "Its quality could not be measured: run this with judged queries (--qrels, --queries), or with --force to "
            f"publish it unmeasured: {command}",
            err=True,
        )
    elif refusal == "worse":
        echo(f"Publish it anyway with: {command} --force", err=True)
    echo(f"Drop it with: docsim reindex --index {told(path)} --abort", err=True)


def _found(done: Reindexed) -> Iterator[str]:
    """Yield what the gate found, a line each."""
    if done.gate:
        for check in done.gate.verdict.checks:
            failed = "" if check.passed else "  NOT PASSED"
            yield f"{check.name:13}{check.detail}{failed}"
        if mapped := done.gate.mapped:
            recall = f"{mapped.recall:.0%} of what the new generation finds; the old encoder {mapped.before:.0%}"
            yield f"{'instant':13}{recall}"
        if done.gate.verdict.quality:
            yield from _compared(done.gate)
    if done.report:
        yield f"Report: {done.report / 'report.html'}"


def _compared(found: GateReport) -> Iterator[str]:
    """Yield how the answers of two generations differ."""
    numbers = gate_report.numbers(found)
    overlap, similarity = numbers["overlap"], numbers["similarity"]
    yield f"{'overlap':13}{overlap['mean']:.0%} of the first {overlap['k']} hits are the same"
    before, after = (similarity[name]["percentiles"]["50"] for name in ("old", "new"))
    yield f"{'similarity':13}median {before:.3f} before, {after:.3f} after"
    if mapped := numbers["threshold"]:
        yield f"{'threshold':13}{mapped['old']:.3f} before is {mapped['new']:.3f} now: {mapped['share']:.1%} of hits"
    for name in ("lost", "gained"):
        if numbers[name]:
            yield f"{name + ' most':13}{'; '.join(_clipped(one['text']) for one in numbers[name][:3])}"


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _show_asked(path: Path, done: Reindexed, asks: Sequence[str]) -> None:
    """Print what some queries find in the generation that was live before and in the new one."""
    previous = done.previous
    if previous == done.generation:  # nothing was done: compare with the one before
        previous = _retired_last(path) or previous
    with Index.open(path, generation=previous) as old, Index.open(path, generation=done.generation) as new:
        for text in asks:
            styled(f"\n{text}", bold=True)
            for name, index in (("before", old), ("after", new)):
                for hit in index.search(text, _ASKED_HITS).hits:
                    echo(f"  {name if hit.rank == 1 else '':6}  {hit.similarity:.3f}  {hit.id}")


def _retired_last(path: Path) -> int | None:
    """Return the number of the generation that was live before the live one."""
    with Index.open(path) as index:
        retired = [one.generation for one in index.engine.generations() if one.generation.state == "retired"]
    ordered = generations.in_order_of_publishing(retired)
    return ordered[-1].number if ordered else None
