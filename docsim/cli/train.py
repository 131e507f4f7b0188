"""``docsim train``: train an encoder, on documents without labels or on labelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from docsim.cli import chosen_index, options, terminal
from docsim.cli.encoder_facts import announce
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.errors import TrainingError, UsageError
from docsim.jobs.train import CorpusTexts, IndexTexts, LabelledTexts, Trained, TrainingTexts, TrainOptions
from docsim.jobs.train import check_directory as check_out
from docsim.jobs.train import train as train_encoder

__all__ = ["tell_unasked", "train"]


@dataclass(frozen=True, slots=True)
class _Texts:
    """What to learn from."""

    index_path: Path | None
    corpus: str | None
    pairs: Path | None
    score_range: tuple[float, float] | None

    def chosen(self) -> TrainingTexts:
        """Return the texts to learn from: those of the index if nothing else is given."""
        if self.pairs:
            return LabelledTexts(self.pairs, self.score_range or (0.0, 1.0))
        if self.corpus:
            return CorpusTexts(self.corpus)
        return IndexTexts(chosen_index.index_directory(self.index_path))


def _dims(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Return the numbers of ``64,128,256``."""
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise TrainingError(f"expected numbers of components such as 64,128,256; got {value!r}") from None


_texts = grouped(
    _Texts,
    "texts",
    chosen_index.index_option,
    click.option("--corpus", help="Learn from the documents of a folder or file, instead of an index."),
    click.option(
        "--pairs",
        type=options.existing_file,
        help="Learn from labelled examples: a .csv, .tsv or .jsonl table of scored pairs, positive pairs or triplets.",
    ),
    click.option(
        "--score-range",
        type=(float, float),
        metavar="LOW HIGH",
        help="Lowest and highest possible score of --pairs.  [default: 0 1]",
    ),
)
_tower = (
    click.option(
        "--from",
        "start",
        default="fast",
        show_default=True,
        help="What to start from: fast or accurate (the shipped encoders), the directory of another encoder, corpus (a "
        "vocabulary and token vectors made of the documents alone, for languages that the shipped encoders do not "
        "know), or scratch (random token vectors).",
    ),
    click.option(
        "--tower",
        type=click.Choice(["average", "lstm", "transformer"]),
        help="Kind of network to train.  [default: that of the start]",
    ),
    click.option(
        "--freeze/--fine-tune", default=False, show_default=True, help="Keep token vectors as they are, or train them."
    ),
    click.option("--unfreeze-at", type=click.IntRange(0), default=0, help="Train token vectors from this step on."),
    click.option(
        "--embedding-rate",
        type=click.FloatRange(0),
        help="Learning rate of token vectors.  [default: that of all other weights]",
    ),
)
_loss = (
    click.option(
        "--loss",
        type=click.Choice(["softmax", "cosent", "mse", "triplet"]),
        help="Loss function.  [default: softmax for documents and positive pairs, cosent for scored pairs, triplet for "
        "triplets]",
    ),
    click.option(
        "--temperature",
        type=float,
        help="Temperature of softmax and cosent.  [default: 0.12 for documents, 0.07 for examples]",
    ),
    click.option(
        "--margin", type=float, default=TrainOptions().margin, show_default=True, help="Margin of triplet, in cosines."
    ),
    click.option(
        "--matryoshka",
        metavar="N,N,...",
        callback=_dims,
        help="Numbers of leading components that must also work on their own, for --dim.",
    ),
    click.option(
        "--negatives",
        type=click.Choice(["none", "bm25", "encoder", "both"]),
        default="none",
        show_default=True,
        help="Add similar but different documents as hard negatives, found by BM25, by the encoder, or both.",
    ),
)
_schedule = (
    click.option(
        "--epochs", type=click.IntRange(1), help="Maximum number of passes over the texts, instead of --steps."
    ),
    click.option(
        "--steps", type=click.IntRange(1), help="Maximum number of steps.  [default: depends on the kind of texts]"
    ),
    click.option(
        "--batch",
        "batch_size",
        type=click.IntRange(2),
        help="Pairs in a batch.  [default: depends on the kind of texts]",
    ),
    click.option("--learning-rate", type=float, help="Learning rate.  [default: depends on tower and kind of texts]"),
    click.option(
        "--precision",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Precision of matrix products.",
    ),
    options.seed_option,
    *options.learning_options,
    click.option("--resume", is_flag=True, help="Continue a training with the same options that was killed."),
)
_results = (
    click.option(
        "--report", type=options.directory, help="Write numbers, pictures and a page about the training here."
    ),
    click.option("--tensorboard", type=options.directory, help="Write TensorBoard logs here."),
    click.option("--name", help="Display name of the encoder.  [default: the name of --out]"),
)
_how = grouped(TrainOptions, "how", *_tower, *_loss, *_schedule, *_results)


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
@click.option("--out", required=True, type=options.directory, help="Directory to write the encoder to.")
@_texts
@_how
@options.output
@needs("train")
def train(out: Path, texts: _Texts, how: TrainOptions, output: Output) -> None:
    """Train an encoder, on documents or on labelled examples.

    Documents need no labels: those of an index or a corpus make their own pairs, two spans of one document, or its
    title and a span of its text. The encoder learns to find the partner of each among all others. A tenth of the
    documents is held out to measure this; the best weights are kept, and training ends when they no longer improve.

    With --teacher, passages also learn to be as similar as the teacher finds them. This helps where documents are short
    (at most 512 tokens for half of them) and harms where they are longer. With these the teacher is not used, unless
    --teacher-weight says so.
    """
    _check(texts, how)
    check_out(out)
    chosen = texts.chosen()
    terminal.load_training()
    with watching(quiet=output.quiet) as progress:
        trained = train_encoder(chosen, out, how, progress=progress)
    if output.as_json:
        print_json(_json(trained))
    elif not output.quiet:
        _tell(trained, how)


def tell_unasked(trained: Trained, teacher: Path | None, weight: float | None) -> None:
    """Print that the teacher was not used, if the user left that decision to docsim."""
    if teacher and weight is None and not trained.teacher:
        echo("The teacher was not used: training on such long documents works better without (see --teacher-weight).")


def _check(texts: _Texts, how: TrainOptions) -> None:
    """Refuse options that contradict each other before anything slow begins."""
    sources = {"index": texts.index_path, "corpus": texts.corpus, "pairs": texts.pairs}
    named = [name for name in ("corpus", "pairs", "index") if sources[name]]
    if len(named) > 1:
        raise UsageError(f"expected one of --index, --corpus and --pairs; got --{' and --'.join(named)}")
    if how.epochs and how.steps:
        raise UsageError("expected --epochs or --steps; got both")
    options.check_teacher(how.teacher, how.teacher_weight)
    for name, wanted in (("teacher", how.teacher), ("negatives", how.negatives != "none")):
        if wanted and texts.pairs:
            raise UsageError(f"expected --{name} with documents, not with --pairs; got both")
    for name, value in (("unfreeze-at", how.unfreeze_at), ("embedding-rate", how.embedding_rate)):
        if how.freeze and value:
            raise UsageError(f"expected --{name} with token vectors that learn, not with --freeze; got both")
    if texts.score_range and not texts.pairs:
        raise UsageError("expected --pairs with --score-range; got none")


def _json(trained: Trained) -> dict[str, object]:
    encoder = trained.encoder
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "fingerprint": encoder.fingerprint,
        "probe": {"name": trained.probe, "before": trained.before, "after": trained.after},
        "steps": {"done": trained.steps, "kept": trained.kept},
        "ended": trained.ended,
        "teacher": trained.teacher,
        "seconds": round(trained.seconds, 1),
    }


def _tell(trained: Trained, how: TrainOptions) -> None:
    """Print the summary."""
    probe = trained.probe
    why = {"steps": "all steps were done", "patience": f"{probe} no longer rose", "time": "the time was up"}
    echo(f"{probe}: {trained.before:.4f} before, {trained.after:.4f} after {trained.kept} steps")
    if trained.kept == 0:
        echo("Training found nothing better than the starting point, which was kept.")
    tell_unasked(trained, how.teacher, how.teacher_weight)
    echo(f"Ended after {trained.steps} steps and {trained.seconds:.0f} s: {why[trained.ended]}")
    announce(trained.encoder)
    if how.report:
        echo(f"Report: {how.report / 'report.html'}")
    echo(f"Use it with: docsim reindex --encoder {trained.encoder.path}")
