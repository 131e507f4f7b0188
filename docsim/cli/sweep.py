"""``docsim sweep``: try towers, starting points and hyper-parameters, and keep the best encoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import chosen_index, options, terminal
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import Output, echo
from docsim.cli.progress import watching
from docsim.errors import UsageError

if TYPE_CHECKING:
    from docsim.models import Document
    from docsim.progress import Progress
    from docsim.training.sweep.leaderboard import FailedTrial, TrialResult

__all__ = ["sweep"]

_SHOWN = 15  # rows of the table


@dataclass(frozen=True, slots=True)
class _Texts:
    """What to learn from."""

    index_path: Path | None
    corpus: str | None

    def documents(self, seed: int) -> Iterable[Document]:
        """Yield the documents."""
        from docsim.training.data.document_sources import documents_of_corpus, documents_of_index

        if self.corpus:
            return documents_of_corpus(self.corpus, seed=seed)
        return documents_of_index(chosen_index.index_directory(self.index_path), seed=seed)


@dataclass(frozen=True, slots=True)
class _Trials:
    """What to try, and for how long."""

    budget: float
    towers: tuple[str, ...]
    starts: tuple[str, ...]
    trials: int | None
    steps: int
    seed: int
    resume: bool


def _names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the names of ``a,b``, each once."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


_texts = grouped(
    _Texts,
    "texts",
    chosen_index.index_option,
    click.option("--corpus", help="Learn from the documents of a folder or file, instead of an index."),
)
_how = grouped(
    _Trials,
    "how",
    click.option(
        "--budget",
        type=click.FloatRange(min=0, min_open=True),
        default=600,
        show_default=True,
        metavar="S",
        help="Seconds for all trials together, including those before --resume.",
    ),
    click.option(
        "--towers",
        default="average,lstm,transformer",
        show_default=True,
        callback=_names,
        help="Kinds of network to try.",
    ),
    click.option(
        "--from",
        "starts",
        default="default,scratch",
        show_default=True,
        callback=_names,
        help="Starting points to try: default, scratch, or directories of encoders.",
    ),
    click.option(
        "--trials", type=click.IntRange(1), help="Maximum number of trials.  [default: as many as the budget allows]"
    ),
    click.option(
        "--steps", type=click.IntRange(1), default=200, show_default=True, help="Maximum number of steps per trial."
    ),
    options.seed_option,
    click.option("--resume", is_flag=True, help="Continue the sweep in --out."),
)


@click.command(
    epilog="""\b
Examples:
  docsim sweep --index indexes/handbook --out sweeps/handbook --budget 1800
  docsim sweep --index indexes/handbook --out sweeps/handbook --budget 3600 --resume
  docsim sweep --corpus handbook/ --out sweeps/small --towers average,lstm --trials 10
""",
)
@click.option(
    "--out",
    required=True,
    type=options.directory,
    help="Directory of the sweep; the best encoder is written to OUT/best.",
)
@_texts
@_how
@options.output
@needs("train")
def sweep(out: Path, texts: _Texts, how: _Trials, output: Output) -> None:
    """Search for the best encoder within a time budget.

    Tries towers, starting points and hyper-parameters. Every trial trains on the same documents and is measured on the
    same held-out ones. First each tower is tried from each starting point with the settings of docsim train, then
    whatever looks most promising.

    The best of many trials looks slightly better on held-out documents than it is. When intervals overlap, prefer the
    faster encoder. To choose between starting points, judged queries tell more: see docsim encoder compare.
    """
    if texts.corpus and texts.index_path:
        raise UsageError("expected one of --index and --corpus; got both")
    with terminal.without_native_noise():
        from docsim.training.sweep.search_space import SearchSpace  # imports Keras, which takes seconds
        from docsim.training.sweep.study import Sweep, SweepLimits, sweep_lock, usable_documents
        from docsim.training.sweep.trial import TrialSetup

    space, limits = SearchSpace(how.towers, how.starts), SweepLimits(how.budget, how.trials)
    documents = usable_documents(texts.documents(how.seed), space.starts)
    with sweep_lock(out), watching(quiet=not output.for_people) as progress:
        study = Sweep(out, space, TrialSetup(documents, how.steps, how.seed), resume=how.resume)
        board = study.run(limits, report=_telling(progress))
    _tell(out, board, output)


def _telling(progress: Progress) -> Callable[[TrialResult | FailedTrial], None]:
    """Return what says a sentence about each trial."""
    from docsim.training.sweep.leaderboard import FailedTrial

    def tell(one: TrialResult | FailedTrial) -> None:
        if isinstance(one, FailedTrial):
            progress.say(f"trial {one.number} failed: {one.reason}")
        else:
            name = f"{one.tower} from {Path(one.start).name}"
            progress.say(f"trial {one.number}: {name}: {one.before:.4f} -> {one.metric:.4f} in {one.seconds:.0f} s")

    return tell


def _tell(out: Path, board: Sequence[TrialResult], output: Output) -> None:
    """Print the leaderboard."""
    from docsim.training.sweep.leaderboard import JSON_FILE, PLOT_FILE

    content = (out / JSON_FILE).read_text(encoding="utf-8")
    if output.as_json:
        echo(content, nl=False)
        return
    if output.quiet:
        return
    _print_table(board, str(json.loads(content)["metric"]))
    echo(f"Leaderboard: {out / JSON_FILE}, plot: {out / PLOT_FILE}")
    echo(f"Use the best with: docsim reindex --encoder {out / 'best'}")


def _print_table(board: Sequence[TrialResult], metric: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("#", "tower", "from", metric, "95 %", "texts/s", "MB", "s", box=None, pad_edge=False)
    for trial in board[:_SHOWN]:
        table.add_row(
            str(trial.number),
            trial.tower,
            Path(trial.start).name,
            f"{trial.metric:.4f}",
            f"{trial.low:.3f}-{trial.high:.3f}",
            f"{trial.texts_per_second:,.0f}",
            f"{trial.megabytes:.1f}",
            f"{trial.seconds:.0f}",
        )
    Console().print(table)
    if len(board) > _SHOWN:
        echo(f"... and {len(board) - _SHOWN} more in the leaderboard")
    settings = ", ".join(f"{name} {value:.3g}" for name, value in board[0].settings.items())
    echo(f"Settings of trial {board[0].number}, the best: {settings}")
