"""Options that several commands share, and how ``--index`` is found when it is not given."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from docsim import extras
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.models import DEFAULT_MODE, MODES, Ranking

__all__ = [
    "as_json",
    "asked",
    "check_teacher",
    "dim_option",
    "encoder_of",
    "explain",
    "filtered",
    "filters",
    "hits",
    "index_directory",
    "index_option",
    "known_indexes",
    "learning",
    "mode",
    "needs",
    "output",
    "ranking",
    "tuning",
    "wait_option",
    "warn",
]

INDEXES = Path("indexes")
VARIABLE = "DOCSIM_INDEX"


def warn(warnings: Iterable[str]) -> None:
    """Tell what does not make answers wrong but should be seen to."""
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


F = TypeVar("F", bound=Callable[..., Any])


def needs(extra: str) -> Callable[[F], F]:
    """Decorate a command's function: where the extra is not installed the command says so, and does nothing.

    Args:
        extra: A key of ``extras.PACKAGES``.
    """

    def decorated(function: F) -> F:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            extras.require(extra, click.get_current_context().command_path)
            return function(*args, **kwargs)

        return cast(F, checked)

    return decorated


def _complete_index(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [str(path) for path in known_indexes() if str(path).startswith(incomplete)]


index_option = click.option(
    "--index",
    "index_path",
    type=click.Path(path_type=Path, file_okay=False),
    shell_complete=_complete_index,
    help=f"The index's directory. Default: ${VARIABLE}, else the one index under ./{INDEXES}.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")
hits = click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Hits to return.")
mode = click.option(
    "--mode",
    type=click.Choice(MODES),
    default=DEFAULT_MODE,
    show_default=True,
    help="What ranks: embeddings, words in common, or both.",
)
explain = click.option("--explain", is_flag=True, help="Tell which words carry each hit.")
dim_option = click.option(
    "--dim",
    type=click.IntRange(min=1),
    help="Leading components to keep of each embedding, one of the numbers that the encoder was trained to do with.  "
    "[default: all]",
)
wait_option = click.option("--wait", is_flag=True, help="Wait while another process is writing to the index.")


def encoder_of(directory: Path | None, dim: int | None) -> Encoder | None:
    """Return the encoder that ``--encoder`` and ``--dim`` ask for; None when neither was given."""
    if directory:
        return Encoder.load(directory, dim=dim)
    return Encoder.default(dim=dim) if dim else None


def tuning(command: F) -> F:
    """Add ``--index-type`` and ``--recall``."""
    kind = click.option(
        "--index-type",
        metavar="TYPE",
        help="How to search vectors from now on: auto (exact while that is fast, then ivf), flat (exact), ivf, hnsw, "
        "or a FAISS factory string of these.  [default: as it is; auto when new]",
    )
    recall = click.option(
        "--recall",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of the nearest passages that an approximate index has to find.  [default: as it is; 0.95 when new]",
    )
    return kind(recall(command))


def filters(command: F) -> F:
    """Add ``--where`` and ``--in``."""
    where = click.option(
        "--where", metavar="FILTER", help="Return only documents whose metadata meets this: \"team = 'sre'\"."
    )
    within = click.option(
        "--in", "within", metavar="PATH", default="", help="Return only documents whose id is PATH or lies below it."
    )
    return where(within(command))


def learning(command: F) -> F:
    """Add ``--teacher``, ``--teacher-weight`` and ``--time-limit``; ``check_teacher`` refuses what makes no sense."""
    for option in (
        click.option(
            "--time-limit",
            type=click.FloatRange(0, min_open=True),
            callback=_finite,
            metavar="S",
            help="Train for so many seconds at most; keep the best so far.",
        ),
        click.option(
            "--teacher-weight",
            type=click.FloatRange(0),
            callback=_finite,
            metavar="X",
            help="How much the teacher counts.  [default: 1 for short documents, else 0]",
        ),
        click.option(
            "--teacher",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="An encoder's directory: learn from its embeddings of the texts too, where that helps.",
        ),
    ):
        command = option(command)
    return command


def check_teacher(given: Mapping[str, Any]) -> None:
    """Refuse a weight of no teacher.

    Raises:
        UsageError: There is a weight, but no teacher.
    """
    if given["teacher_weight"] is not None and not given["teacher"]:
        raise UsageError("expected --teacher with --teacher-weight; got none")


def ranking(command: F) -> F:
    """Add the options that choose hits, from the offset on."""
    for option in (
        click.option("--group-by", metavar="FIELD", help="Return only the best of those with the same metadata value."),
        click.option("--min-similarity", type=click.FloatRange(-1, 1), help="Leave out hits below this similarity."),
        click.option(
            "--diversity",
            type=click.FloatRange(0, 1),
            default=0.0,
            help="How far to put back what is like the hits before it, from 0, not at all, to 1.",
        ),
        click.option(
            "--offset",
            type=click.IntRange(min=0),
            default=0,
            help="Hits to leave out at the beginning, for the next page.",
        ),
    ):
        command = option(command)
    return command


def asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``-k``, ``--mode`` and the options that choose hits say, as arguments of a search."""
    chosen = Ranking(given["offset"], given["diversity"], given["min_similarity"], given["group_by"])
    return {"k": given["k"], "mode": given["mode"], "ranking": chosen, **filtered(given)}


def filtered(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``--where`` and ``--in`` say, as arguments of a search."""
    return {"where": given["where"], "within": given["within"]}


def output(command: F) -> F:
    """Add ``--quiet`` and ``--verbose``."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Print results and errors only, no progress or summary.")
    verbose = click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=_log, help="Say more on standard error."
    )
    return quiet(verbose(command))


def _log(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("docsim").setLevel(logging.INFO)


def known_indexes() -> list[Path]:
    """Return the indexes under ``./indexes``, sorted."""
    return sorted(path.parent for path in INDEXES.glob("*/index.db"))


def index_directory(given: Path | None, *, new: str | None = None) -> Path:
    """Return the index to use.

    Args:
        given: What ``--index`` says.
        new: Name under ``./indexes`` for a new index, for a command that may make one.

    Raises:
        UsageError: None is given and there is not exactly one to choose.
    """
    if given is not None:
        return given
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    known = known_indexes()
    if len(known) == 1:
        return known[0]
    if not known and new:
        return INDEXES / new
    found = ", ".join(map(str, known)) if known else "none"
    raise UsageError(f"expected --index, ${VARIABLE}, or one index under ./{INDEXES}; found {found}")


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse ``inf`` and ``nan``, which are floats, too."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"expected a number, got {value}")
    return value
