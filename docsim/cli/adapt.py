"""``docsim adapt``: train on an index's own documents and re-index, in one command to run again and again."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import click

from docsim.cli import options
from docsim.cli.building import watching
from docsim.cli.reindex import REFUSED, as_gate, gate_options, tell
from docsim.cli.train import UNASKED, train
from docsim.encoding.encoder import Encoder, fingerprint_of
from docsim.errors import IndexLocked
from docsim.index import Index
from docsim.jobs import adapt as adaptation
from docsim.jobs.adapt import Task
from docsim.reindex import rebuilding

__all__ = ["adapt"]


@click.command(
    epilog="""\b
Examples:
  docsim adapt                                    every month, say
  docsim adapt --ask "stolen phone" --time-limit 120
  docsim adapt --qrels qrels.txt --queries queries.jsonl
"""
)
@options.index_option
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The encoder to start from.  [default: the one that the index had before it was adapted]",
)
@options.learning
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@gate_options
@options.wait_option
@options.as_json
@options.output
@click.pass_context
@options.needs("train")
def adapt(ctx: click.Context, /, index_path: Path | None, **given: Any) -> None:
    """Train the encoder on the index's own documents, without labels, and re-index with it.

    It starts from the encoder that the index had before it was adapted, not from the last adaptation, and publishes the
    new generation only if it finds what is relevant not worse than the live one (see docsim reindex). Where neither the
    documents nor the start have changed since the last time, nothing is trained.
    """
    options.check_teacher(given)
    path = options.index_directory(index_path)
    wanted, quiet = as_gate(given), given["quiet"] or given["as_json"]
    task = adaptation.task(path, start=given["start"], settings=_settings(given))
    if task.is_live and not quiet:
        click.echo(f"Generation {task.live} is adapted to just these documents already.")
    encoder = task.known or _trained(ctx, path, task, given)
    with watching(quiet=quiet or task.is_live) as progress, Index.open(path) as index:
        outcome = rebuilding.reindex(index, encoder, base=task.base, gate=wanted, wait=given["wait"], progress=progress)
        with suppress(IndexLocked), index.engine.training(wait=False):
            shutil.rmtree(adaptation.workplace(path), ignore_errors=True)  # the generation has it now
    tell(path, outcome, given)
    if not outcome.published:
        ctx.exit(REFUSED)


def _settings(given: dict[str, Any]) -> str:
    """Return what decides about the result beside documents and start."""
    teacher = f" {fingerprint_of(given['teacher'])} {given['teacher_weight']}" if given["teacher"] else ""
    return f"{given['seed']} {given['time_limit']}{teacher}"


def _trained(ctx: click.Context, path: Path, task: Task, given: dict[str, Any]) -> Encoder:
    """Train as ``docsim train`` does by default, as the only one, say what came of it, and note it."""
    with Index.open(path) as index, index.engine.training(wait=given["wait"]):
        place = adaptation.workplace(path)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        printed = StringIO()
        with redirect_stdout(printed):
            ctx.invoke(
                train,
                out=place / "encoder",
                index_path=path,
                of=str(task.base.path),
                teacher=given["teacher"],
                teacher_weight=given["teacher_weight"],
                name=f"{path.resolve().name}-adapted",
                seed=given["seed"],
                time_limit=given["time_limit"],
                quiet=given["quiet"],
                as_json=True,
            )
        encoder = Encoder.load(place / "encoder")
        adaptation.note(path, task, encoder)
    if not (given["quiet"] or given["as_json"]):
        _tell(json.loads(printed.getvalue()), given)
    return encoder


def _tell(facts: dict[str, Any], given: dict[str, Any]) -> None:
    """Print what came of the training, from the JSON that ``docsim train`` prints."""
    probe = facts["probe"]
    click.echo(f"Trained {facts['steps']['done']} steps in {facts['seconds']:.0f} s, on this index's documents.")
    click.echo(f"{probe['name']}: {probe['before']:.4f} before, {probe['after']:.4f} after")
    if given["teacher"] and given["teacher_weight"] is None and not facts["teacher"]:
        click.echo(UNASKED)
