"""``docsim sweep``: try towers, starts and hyper-parameters within a time budget, and keep the best encoder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docsim.cli import options, terminal
from docsim.errors import UsageError

if TYPE_CHECKING:
    from docsim.models import Document
    from docsim.training.sweep.leaderboard import FailedTrial, TrialResult

__all__ = ["sweep"]

_SHOWN = 15  # rows of the table


def _names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the names of ``a,b``, each once."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


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
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the sweep; the best encoder is written to OUT/best.",
)
@options.index_option
@click.option("--corpus", help="Learn from the documents of a folder or file, instead of an index.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=600,
    show_default=True,
    metavar="S",
    help="Seconds for all trials together, those before --resume included.",
)
@click.option("--towers", default="average,lstm,transformer", show_default=True, callback=_names, help="Kinds to try.")
@click.option(
    "--from",
    "starts",
    default="default,scratch",
    show_default=True,
    callback=_names,
    help="Starts to try: default, scratch, directories of encoders.",
)
@click.option("--trials", type=click.IntRange(1), help="Most trials.  [default: what the budget allows]")
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Most steps of a trial.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all that is random.")
@click.option("--resume", is_flag=True, help="Go on with the sweep in --out.")
@options.as_json
@options.output
@options.needs("train")
def sweep(out: Path, index_path: Path | None, corpus: str | None, **given: Any) -> None:
    """Try towers, starting points and hyper-parameters within a time budget, and keep the best encoder.

    Every trial is a training on the same documents, measured on the same held-out ones. First each tower is tried from
    each start with the settings of docsim train, then what promises most. The best of many trials looks a little better
    on the held-out documents than it is: when intervals overlap, prefer the faster encoder. Which start is best, few
    held-out documents do not tell; judged queries do: docsim encoder compare.
    """
    if corpus and index_path:
        raise UsageError("expected one of --index and --corpus; got both")
    with terminal.without_native_noise():
        from docsim.training.sweep.search_space import SearchSpace  # imports Keras, which takes seconds
        from docsim.training.sweep.study import Sweep, SweepLimits, sweep_lock, usable_documents
        from docsim.training.sweep.trial import TrialSetup

    space, limits = SearchSpace(given["towers"], given["starts"]), SweepLimits(given["budget"], given["trials"])
    documents = usable_documents(_documents(corpus, index_path, given["seed"]), space.starts)
    with sweep_lock(out):
        study = Sweep(out, space, TrialSetup(documents, given["steps"], given["seed"]), resume=given["resume"])
        board = study.run(limits, report=None if given["quiet"] or given["as_json"] else _told())
    _tell(out, board, given)


def _documents(corpus: str | None, index_path: Path | None, seed: int) -> Iterable[Document]:
    from docsim.training.data.document_sources import documents_of_corpus, documents_of_index

    if corpus:
        return documents_of_corpus(corpus, seed=seed)
    return documents_of_index(options.index_directory(index_path), seed=seed)


def _told() -> Callable[[TrialResult | FailedTrial], None]:
    """Return what says a line about each trial on standard error."""
    from docsim.training.sweep.leaderboard import FailedTrial

    def tell(one: TrialResult | FailedTrial) -> None:
        if isinstance(one, FailedTrial):
            line = f"trial {one.number} failed: {one.reason}"
        else:
            name = f"{one.tower} from {Path(one.start).name}"
            line = f"trial {one.number}: {name}: {one.before:.4f} -> {one.metric:.4f} in {one.seconds:.0f} s"
        click.echo(line, file=sys.stderr)

    return tell


def _tell(out: Path, board: Sequence[TrialResult], given: dict[str, Any]) -> None:
    """Print the leaderboard."""
    from docsim.training.sweep.leaderboard import JSON_FILE, PLOT_FILE

    content = (out / JSON_FILE).read_text(encoding="utf-8")
    if given["as_json"]:
        click.echo(content, nl=False)
        return
    if given["quiet"]:
        return
    _table(board, str(json.loads(content)["metric"]))
    click.echo(f"Leaderboard: {out / JSON_FILE}, plot: {out / PLOT_FILE}")
    click.echo(f"Use the best with: docsim reindex --encoder {out / 'best'}")


def _table(board: Sequence[TrialResult], metric: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("#", "tower", "from", metric, "95 %", "texts/s", "MB", "s", box=None, pad_edge=False)
    for entry in board[:_SHOWN]:
        table.add_row(
            str(entry.number),
            entry.tower,
            Path(entry.start).name,
            f"{entry.metric:.4f}",
            f"{entry.low:.3f}-{entry.high:.3f}",
            f"{entry.texts_per_second:,.0f}",
            f"{entry.megabytes:.1f}",
            f"{entry.seconds:.0f}",
        )
    Console().print(table)
    if len(board) > _SHOWN:
        click.echo(f"... and {len(board) - _SHOWN} more in the leaderboard")
    settings = ", ".join(f"{name} {value:.3g}" for name, value in board[0].settings.items())
    click.echo(f"Settings of trial {board[0].number}, the best: {settings}")
