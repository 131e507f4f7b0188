"""``docsim train``: train an encoder, on documents without labels or on labelled examples."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docsim.cli import options, terminal
from docsim.encoding.encoder import MANIFEST_FILE
from docsim.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from docsim.encoding.encoder import Encoder
    from docsim.models import Document
    from docsim.training.data.examples import Examples
    from docsim.training.loop.checkpoint import ProgressPoint
    from docsim.training.loop.config import TeacherConfig, TrainingConfig
    from docsim.training.loop.defaults import TrainingOptions
    from docsim.training.loop.trainer import TrainingJob, TrainingResult
    from docsim.training.towers.starting_point import StartingPoint

__all__ = ["UNASKED", "train"]

UNASKED = "The teacher was not asked: documents as long as these teach more by themselves (--teacher-weight)."

_CHOSEN = (
    *("tower", "loss", "temperature", "margin", "negatives", "steps", "learning_rate", "embedding_rate"),
    *("freeze", "unfreeze_at", "seed", "time_limit"),
)
"""Options that become ``TrainingOptions`` of the same name."""

_directory = click.Path(path_type=Path, file_okay=False)
_Watcher = tuple[Callable[["ProgressPoint", int], None], Callable[[int, float], None]]


@click.command(
    epilog="""\b
Examples:
  docsim train --index indexes/handbook --out encoders/handbook
  docsim train --corpus handbook/ --out encoders/handbook --report report/ --time-limit 120
  docsim train --index indexes/handbook --out encoders/handbook --teacher encoders/minilm
  docsim train --pairs scored.tsv --score-range 0 5 --out encoders/ours --tower lstm
  docsim train --index indexes/handbook --out encoders/handbook --resume
""",
)
@click.option("--out", required=True, type=_directory, help="Directory to write the encoder to.")
@options.index_option
@click.option("--corpus", help="Learn from the documents of a folder or file, instead of an index.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Learn from labelled examples: a .csv, .tsv or .jsonl table of scored pairs, positive pairs or triplets.",
)
@click.option("--score-range", type=(float, float), metavar="LOW HIGH", help="Scale of the scores.  [default: 0 1]")
@click.option("--from", "of", default="default", show_default=True, help="Start: an encoder's directory, or scratch.")
@click.option("--tower", type=click.Choice(["average", "lstm", "transformer"]), help="Kind.  [default: the start's]")
@click.option("--freeze/--fine-tune", default=False, show_default=True, help="Whether token vectors stay as they are.")
@click.option("--unfreeze-at", type=click.IntRange(0), default=0, help="Let token vectors learn from this step on.")
@click.option(
    "--embedding-rate", type=click.FloatRange(0), help="Learning rate of token vectors.  [default: that of the rest]"
)
@click.option("--loss", type=click.Choice(["softmax", "cosent", "mse", "triplet"]), help="[default: by what is given]")
@click.option("--temperature", type=float, default=0.07, show_default=True, help="Of softmax and cosent.")
@click.option("--margin", type=float, default=0.2, show_default=True, help="Of triplet.")
@click.option("--matryoshka", metavar="N,N,...", help="Numbers of leading components that must do on their own.")
@click.option("--negatives", type=click.Choice(["none", "bm25", "encoder", "both"]), default="none", show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="Most passes over the texts, instead of --steps.")
@click.option("--steps", type=click.IntRange(1), help="Most steps.  [default: by what is given]")
@click.option("--batch", type=click.IntRange(2), help="Pairs in a batch.  [default: by what is given]")
@click.option("--learning-rate", type=float, help="[default: by tower and texts]")
@click.option(
    "--precision", type=click.Choice(["float32", "float16", "bfloat16"]), default="float32", show_default=True
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@options.learning
@click.option("--resume", is_flag=True, help="Go on where a killed training of the same kind stopped.")
@click.option("--report", type=_directory, help="Write numbers, pictures and a page about the training here.")
@click.option("--tensorboard", type=_directory, help="Write TensorBoard logs here.")
@click.option("--name", help="Name for people.  [default: the name of --out]")
@options.as_json
@options.output
@options.needs("train")
def train(out: Path, index_path: Path | None, **given: Any) -> None:
    """Train an encoder, on documents without labels or on labelled examples.

    Without --pairs, documents of an index or a corpus make their own pairs: two spans of one document, or its title and
    a span of its text, must find each other among others. A tenth of the documents is held out; the weights with
    which their halves find each other best are kept, and training ends when that no longer rises.

    With --teacher, passages should also be alike as the teacher finds them. That helps where documents are short, half
    of them at most 512 tokens long, and harms where they are longer: there the teacher is not asked, unless
    --teacher-weight says so.
    """
    _check(given, index_path)
    _check_place(out)
    with terminal.without_native_noise():
        from docsim.training.loop.defaults import training_config, with_epochs  # imports Keras, which takes seconds
        from docsim.training.loop.preparation import training_job
        from docsim.training.towers.starting_point import make_starting_point
    examples = _examples(given)
    plan = training_config(_training_options(given), examples)
    origin = make_starting_point(given["of"], kind=given["tower"], precision=given["precision"], seed=plan.seed)
    texts = _documents(given, index_path, plan.seed) if examples is None else examples
    with _teaching(out, given) as teaching:
        job = training_job(origin, texts, plan, teacher=teaching)
    plan = with_epochs(plan, given["epochs"], job.batches.per_epoch)
    outcome, encoder = _run(origin, job, plan, out=out, given=given)
    _tell(encoder, job, outcome, given)


def _check(given: Mapping[str, Any], index_path: Path | None) -> None:
    """Refuse options that contradict each other before anything slow begins."""
    named = [name for name in ("corpus", "pairs") if given[name]] + (["index"] if index_path else [])
    if len(named) > 1:
        raise UsageError(f"expected one of --index, --corpus and --pairs; got --{' and --'.join(named)}")
    if given["epochs"] and given["steps"]:
        raise UsageError("expected --epochs or --steps; got both")
    options.check_teacher(given)
    for name, wanted in (("teacher", given["teacher"]), ("negatives", given["negatives"] != "none")):
        if wanted and given["pairs"]:
            raise UsageError(f"expected --{name} with documents, not with --pairs; got both")
    for name in ("unfreeze-at", "embedding-rate"):
        if given["freeze"] and given[name.replace("-", "_")]:
            raise UsageError(f"expected --{name} with token vectors that learn, not with --freeze; got both")
    if given["score_range"] and not given["pairs"]:
        raise UsageError("expected --pairs with --score-range; got none")


def _check_place(out: Path) -> None:
    """Refuse to train for minutes what could then not be saved."""
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST_FILE).is_file():
        raise UsageError(
            f"expected a new or empty directory, or an encoder to replace, at {out}; there is something else"
        )


def _training_options(given: Mapping[str, Any]) -> TrainingOptions:
    from docsim.training.loop.defaults import TrainingOptions

    chosen = {name: given[name] for name in _CHOSEN}
    return TrainingOptions(**chosen, batch_size=given["batch"], matryoshka=_dims(given["matryoshka"]))


def _dims(text: str | None) -> tuple[int, ...]:
    """Return the numbers of ``64,128,256``."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise TrainingError(f"expected numbers of components such as 64,128,256; got {text!r}") from None


def _examples(given: Mapping[str, Any]) -> Examples | None:
    from docsim.training.data.examples import read_examples

    return read_examples(given["pairs"], score_range=given["score_range"] or (0.0, 1.0)) if given["pairs"] else None


def _documents(given: Mapping[str, Any], index_path: Path | None, seed: int) -> Iterable[Document]:
    from docsim.training.data.document_sources import documents_of_corpus, documents_of_index

    if given["corpus"]:
        return documents_of_corpus(given["corpus"], seed=seed)
    return documents_of_index(options.index_directory(index_path), seed=seed)


def _run(
    origin: StartingPoint, job: TrainingJob, plan: TrainingConfig, *, out: Path, given: Mapping[str, Any]
) -> tuple[TrainingResult, Encoder]:
    """Train, save and report; the checkpoint is kept beside the encoder until it is saved."""
    from docsim.training.loop import report
    from docsim.training.loop.trained_encoder import save_trained_encoder
    from docsim.training.loop.trainer import Trainer

    checkpoint = out.absolute().with_name(f".{out.name}.training") / "checkpoint.npz"
    before = report.take_snapshot(job.tower, job.probe) if given["report"] else None
    with _watching(job.probe.name, plan.schedule.steps, given) as (watch, tick):
        trainer = Trainer(job, plan.schedule, checkpoint=checkpoint)
        outcome = trainer.run(resume=given["resume"], watch=watch, tick=tick)
    encoder = save_trained_encoder(origin, job, outcome, out=out, name=given["name"] or out.name, seed=plan.seed)
    if before is not None:
        facts = {"name": encoder.name, "start": origin.name, "seed": plan.seed, "fingerprint": encoder.fingerprint}
        after = report.take_snapshot(job.tower, job.probe)
        report.write_report(given["report"], outcome, before=before, after=after, probe=job.probe.name, facts=facts)
    checkpoint.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        checkpoint.parent.rmdir()
    return outcome, encoder


@contextlib.contextmanager
def _teaching(out: Path, given: Mapping[str, Any]) -> Iterator[TeacherConfig | None]:
    """Give what a teacher is asked with: a bar where someone watches, and a cache that outlives a killed training."""
    from docsim.encoding.encoder import Encoder
    from docsim.training.loop.config import TeacherConfig

    if given["teacher"] is None or given["teacher_weight"] == 0:
        yield None
        return
    cache = out.absolute().with_name(f".{out.name}.cache")
    teaching = TeacherConfig(Encoder.load(given["teacher"]), cache, given["teacher_weight"])
    if given["quiet"] or not sys.stderr.isatty():
        yield teaching
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Asking the teacher", total=None)
        yield replace(teaching, progress=lambda done, total: bar.update(task, completed=done, total=total))


@contextlib.contextmanager
def _watching(probe: str, steps: int, given: Mapping[str, Any]) -> Iterator[_Watcher]:
    """Give what is called after each probe and each step: a bar where someone watches, TensorBoard logs if wanted."""
    logs = None
    if given["tensorboard"]:
        from docsim.training.loop.tensorboard import tensorboard_callback

        logs = tensorboard_callback(given["tensorboard"])
    with _bar(probe, steps, shown=not given["quiet"]) as (show, tick):

        def watch(point: ProgressPoint, most: int) -> None:
            show(point, most)
            if logs is not None:
                logs(point, most)

        yield watch, tick


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextlib.contextmanager
def _bar(probe: str, steps: int, *, shown: bool) -> Iterator[_Watcher]:
    """Draw a bar with loss and probe on standard error, if that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield (lambda point, most: None), (lambda step, loss: None)
        return
    with _progress() as bar:
        task = bar.add_task("", total=steps)
        said = {"loss": "", "probe": ""}

        def say(**new: str) -> None:
            said.update(new)
            bar.update(task, description="  ".join(said.values()))

        def watch(point: ProgressPoint, most: int) -> None:
            del most
            say(probe=f"{probe} {point.probe:.4f}")

        def tick(step: int, loss: float) -> None:
            bar.update(task, completed=step)
            say(loss=f"loss {loss:.3f}")

        yield watch, tick


def _facts(encoder: Encoder, job: TrainingJob, outcome: TrainingResult) -> dict[str, Any]:
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "fingerprint": encoder.fingerprint,
        "probe": {
            "name": job.probe.name,
            "before": outcome.points[0].probe,
            "after": outcome.best.probe,
        },
        "steps": {"done": outcome.points[-1].step, "kept": outcome.best.step},
        "ended": outcome.ended,
        "teacher": job.teacher,
        "seconds": round(outcome.points[-1].seconds, 1),
    }


def _tell(encoder: Encoder, job: TrainingJob, outcome: TrainingResult, given: Mapping[str, Any]) -> None:
    """Print the summary."""
    if given["as_json"]:
        click.echo(json.dumps(_facts(encoder, job, outcome), indent=2, ensure_ascii=False))
        return
    if given["quiet"]:
        return
    probe = job.probe.name
    first, best, last = outcome.points[0], outcome.best, outcome.points[-1]
    why = {"steps": "all steps were done", "patience": f"{probe} no longer rose", "time": "the time was up"}
    click.echo(f"{probe}: {first.probe:.4f} before, {best.probe:.4f} after {best.step} steps")
    if best.step == 0:
        click.echo("Training found nothing better than the start, which was kept.")
    if given["teacher"] and given["teacher_weight"] is None and not job.teacher:
        click.echo(UNASKED)
    click.echo(f"Ended after {last.step} steps and {last.seconds:.0f} s: {why[outcome.ended]}")
    click.echo(
        f"Encoder {encoder.name}: {encoder.dim} components, fingerprint {encoder.fingerprint[:12]}, in {encoder.path}"
    )
    if given["report"]:
        click.echo(f"Report: {given['report'] / 'report.html'}")
    click.echo(f"Use it with: docsim reindex --encoder {encoder.path}")
