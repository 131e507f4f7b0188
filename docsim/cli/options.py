"""Options that several commands share: output, searching, encoders and training."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from docsim.cli.grouping import Option, grouped
from docsim.cli.output import Output
from docsim.encoding.encoder import Encoder
from docsim.engine import opening
from docsim.errors import UsageError
from docsim.models import DEFAULT_MODE, MODES, Mode, Ranking
from docsim.text.storing import composed

if TYPE_CHECKING:
    from docsim.filters.condition import Condition

__all__ = [
    "EncoderOptions",
    "SearchArguments",
    "SearchOptions",
    "TuningOptions",
    "check_teacher",
    "directory",
    "encoder",
    "existing_file",
    "filter_options",
    "finite",
    "hits",
    "index_path",
    "learning_options",
    "mode",
    "output",
    "queries_option",
    "search",
    "seed_option",
    "tuning",
    "tuning_options",
]

directory = click.Path(path_type=Path, file_okay=False)


class _IndexPath(click.Path):
    """The directory of an index, or the address of one in PostgreSQL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the directory; for an address, the folder of this machine that stands for it."""
        place = opening.folder(value) if opening.is_url(value) else value
        return super().convert(place, param, ctx)


index_path = _IndexPath(path_type=Path, file_okay=False)
existing_file = click.Path(path_type=Path, exists=True, dir_okay=False)


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Refuse ``inf`` and ``nan``, which are floats, too."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"expected a number, got {value}")
    return value


# Output


def _log(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("docsim").setLevel(logging.INFO)


output = grouped(
    Output,
    "output",
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("-q", "--quiet", is_flag=True, help="Print results and errors only: no progress, no summary."),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_log,
        help="Print details of what is done to standard error.",
    ),
)

# Searching


class SearchArguments(TypedDict):
    """Arguments of every method of ``Index`` that searches."""

    k: int
    mode: Mode
    where: str | None
    within: str
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to search for, and how to choose hits."""

    k: int
    mode: Mode
    where: str | None
    within: str
    offset: int
    diversity: float
    min_similarity: float | None
    group_by: str | None
    explain: bool

    def arguments(self) -> SearchArguments:
        """Return the options as arguments of ``Index.search`` and its like.

        Raises:
            UsageError: A value is out of range.
        """
        within = composed(self.within)
        ranking = Ranking(self.offset, self.diversity, self.min_similarity, self.group_by)
        return {"k": self.k, "mode": self.mode, "where": self.where, "within": within, "ranking": ranking}

    def condition(self) -> Condition | None:
        """Return what the metadata and the id of a document have to meet; None where every document will do."""
        from docsim.filters.where import wanted

        return wanted(self.where, composed(self.within))


hits = click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="Number of hits.")
mode = click.option(
    "--mode",
    type=click.Choice(MODES),
    default=DEFAULT_MODE,
    show_default=True,
    help="Rank by meaning (dense), by shared words (lexical), or by both (hybrid).",
)
_where = click.option(
    "--where", metavar="FILTER", help="Return only documents whose metadata match, such as \"team = 'sre'\"."
)
_within = click.option(
    "--in", "within", metavar="PATH", default="", help="Return only documents whose id is PATH or lies below it."
)
filter_options = (_where, _within)
search = grouped(
    SearchOptions,
    "search",
    hits,
    mode,
    *filter_options,
    click.option("--offset", type=click.IntRange(min=0), default=0, help="Skip this many hits, to get the next page."),
    click.option(
        "--diversity",
        type=click.FloatRange(0, 1),
        default=0.0,
        help="Diversity (MMR): 0 ranks by relevance only; higher values, up to 1, demote hits similar to earlier ones.",
    ),
    click.option("--min-similarity", type=click.FloatRange(-1, 1), help="Leave out hits with a lower similarity."),
    click.option("--group-by", metavar="FIELD", help="Return only the best hit for each value of this metadata field."),
    click.option("--explain", is_flag=True, help="Show which words make each hit similar."),
)

queries_option = click.option(
    "--queries",
    type=existing_file,
    help='JSONL file of the judged queries, each with an "id" and a "text".  [default: query ids are the ids of '
    "documents]",
)

# Building an index


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """How passages are searched from now on."""

    index_type: str | None
    recall: float | None


tuning_options = (
    click.option(
        "--index-type",
        metavar="TYPE",
        help="How to search vectors: flat (exact), ivf or hnsw (approximate), auto (exact while that is fast, then "
        "ivf), or a FAISS factory string.  [default: unchanged; auto for a new index]",
    ),
    click.option(
        "--recall",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of the nearest passages that an approximate index must find.  [default: unchanged; 0.95 for a new "
        "index]",
    ),
)
tuning = grouped(TuningOptions, "tuning", *tuning_options)

# Encoders and training


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """An encoder."""

    encoder: Path | None
    dim: int | None

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return bool(self.encoder or self.dim)

    def load(self) -> Encoder | None:
        """Load the encoder; None when there is none.

        Raises:
            EncoderError: It is missing or damaged, or was not trained for so many components.
        """
        if self.encoder:
            return Encoder.load(self.encoder, dim=self.dim)
        return Encoder.default(dim=self.dim) if self.dim else None


def encoder(help: str) -> Option:
    """Return a decorator that adds ``--encoder`` and ``--dim``.

    Args:
        help: What ``--encoder`` is for.
    """
    return grouped(
        EncoderOptions,
        "encoder",
        click.option("--encoder", type=directory, help=help),
        click.option(
            "--dim",
            type=click.IntRange(min=1),
            help="Keep only this many leading components of each embedding; the encoder must be trained for it.  "
            "[default: all]",
        ),
    )


seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random."
)


learning_options = (
    click.option(
        "--teacher",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Directory of an encoder to learn from as well, where that helps.",
    ),
    click.option(
        "--teacher-weight",
        type=click.FloatRange(0),
        callback=finite,
        metavar="X",
        help="How much to learn from the teacher.  [default: 1 for short documents, 0 for others]",
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(0, min_open=True),
        callback=finite,
        metavar="S",
        help="Train for at most this many seconds, and keep the best so far.",
    ),
)


def check_teacher(teacher: Path | None, weight: float | None) -> None:
    """Refuse a weight without a teacher.

    Raises:
        UsageError: There is a weight, but no teacher.
    """
    if weight is not None and not teacher:
        raise UsageError("expected --teacher with --teacher-weight; got none")
