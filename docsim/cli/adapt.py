"""``docsim adapt``: train an encoder on the documents of an index, and re-index with it; made to be run regularly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from docsim.cli import chosen_index, options, terminal
from docsim.cli.gate import REFUSED, GateFlags, gate, tell
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import Output, echo
from docsim.cli.progress import watching
from docsim.cli.train import tell_unasked
from docsim.index import Index
from docsim.jobs import adapt as jobs
from docsim.jobs.adapt import Adapted, AdaptOptions

__all__ = ["adapt"]


@dataclass(frozen=True, slots=True)
class _Learning:
    """How to train."""

    start: Path | None
    teacher: Path | None
    teacher_weight: float | None
    time_limit: float | None
    seed: int
    ignore_use: bool
    wait: bool


_learning = grouped(
    _Learning,
    "learning",
    click.option(
        "--from",
        "start",
        type=options.directory,
        help="Encoder to start from: a directory, fast or accurate.  [default: the one that the index had before it "
        "was first adapted]",
    ),
    *options.learning_options,
    options.seed_option,
    click.option("--ignore-use", is_flag=True, help="Do not learn from, or decide by, what people asked and opened."),
    chosen_index.wait_option,
)


@click.command(
    epilog="""\b
Examples:
  docsim adapt                                    every month, say
  docsim adapt --ask "stolen phone" --time-limit 120
  docsim adapt --qrels qrels.txt --queries queries.jsonl
"""
)
@chosen_index.index_option
@_learning
@gate
@options.output
@click.pass_context
@needs("train")
def adapt(
    ctx: click.Context,
    index_path: Path | None,
    learning: _Learning,
    gate: GateFlags,
    output: Output,
) -> None:
    """Train the encoder on the index's own documents and on what people asked of it, and re-index.

    No labels are needed. If use is recorded (docsim serve --record), training also learns from what people asked,
    opened and said. A fifth of their questions is never trained on, and helps to decide whether the new encoder is
    published. Each time, training starts from the encoder that the index had before it was first adapted. The new
    generation is published only if training learned something, and its answers are not worse (see docsim reindex). If
    the documents, their use, the options and docsim's way of training are those of the last time, nothing is trained.
    """
    options.check_teacher(learning.teacher, learning.teacher_weight)
    path = chosen_index.index_directory(index_path)
    how = _options(learning, gate)
    with Index.open(path) as index:
        task = jobs.task(index, how)
        if task.known is None and not task.is_futile:
            terminal.load_training()
        with watching(quiet=not output.for_people) as progress:
            adapted = jobs.carry_out(index, task, how, progress=progress)
    if output.for_people:
        _tell(adapted, learning)
    tell(path, adapted.reindexed, gate.asks, output)
    if not adapted.reindexed.published:
        ctx.exit(REFUSED)


def _options(learning: _Learning, gate: GateFlags) -> AdaptOptions:
    return AdaptOptions(
        start=learning.start,
        teacher=learning.teacher,
        teacher_weight=learning.teacher_weight,
        time_limit=learning.time_limit,
        seed=learning.seed,
        gate=replace(gate.load(), use=not learning.ignore_use),
        use=not learning.ignore_use,
        wait=learning.wait,
    )


def _tell(adapted: Adapted, learning: _Learning) -> None:
    """Print what came of the training."""
    if adapted.task.is_live:
        echo(f"Generation {adapted.task.live} is adapted to exactly these documents already.")
    if trained := adapted.trained:
        echo(f"Trained {trained.steps} steps in {trained.seconds:.0f} s, on this index's documents.")
        echo(f"{trained.probe}: {trained.before:.4f} before, {trained.after:.4f} after")
        tell_unasked(trained, learning.teacher, learning.teacher_weight)
    if adapted.reindexed.unchanged:
        echo(adapted.reindexed.unchanged)
