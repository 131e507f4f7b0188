"""``docsim distill``: make an encoder from a sentence-transformers model, without any text or with some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import encoder_facts, options, terminal
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.progress import Progress

if TYPE_CHECKING:
    from docsim.models import Document
    from docsim.training.distill.from_texts import DistilledStudent
    from docsim.training.distill.from_vocabulary import DistillationRecipe
    from docsim.training.distill.teacher import Teacher

__all__ = ["distill"]


@dataclass(frozen=True, slots=True)
class _Distillation:
    """What to make of the teacher."""

    dim: int
    seed: int
    texts: tuple[str, ...]
    steps: int | None
    time_limit: float | None
    name: str | None


_how = grouped(
    _Distillation,
    "how",
    click.option(
        "--dim", type=click.IntRange(min=1), default=256, show_default=True, help="Components of an embedding."
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything that is random."),
    click.option(
        "--texts",
        multiple=True,
        metavar="PATH",
        help="Also learn from the teacher's embeddings of these texts: a folder or a file. Can be given several times.",
    ),
    click.option(
        "--steps", type=click.IntRange(1), help="Maximum number of steps of learning from --texts.  [default: 1000]"
    ),
    click.option("--time-limit", type=float, metavar="S", help="Learn from --texts for at most this many seconds."),
    click.option("--name", help="Display name of the encoder.  [default: the name of --out]"),
)


@click.command(
    epilog="""\b
Examples:
  docsim distill --teacher all-MiniLM-L6-v2/ --out encoders/minilm
  docsim distill --teacher all-MiniLM-L6-v2/ --out encoders/minilm --texts handbook/ --texts news.jsonl
  docsim index handbook/ --encoder encoders/minilm
"""
)
@click.option("--teacher", required=True, type=options.directory, help="Directory of a sentence-transformers model.")
@click.option("--out", required=True, type=options.directory, help="Directory to write the encoder to.")
@_how
@options.output
@needs("train")
def distill(teacher: Path, out: Path, how: _Distillation, output: Output) -> None:
    """Make a fast encoder from a sentence-transformers model.

    Passes every entry of the model's vocabulary through it once. The result is a table of token vectors, which encodes
    several hundred times as fast as the model. This takes about a minute on two cores and needs no text.

    With --texts, the token vectors then learn from the model's embeddings of spans of 64 to 128 tokens. These
    embeddings are kept beside --out, so that a later run need not compute them again.
    """
    _check(teacher, how)
    with terminal.without_native_noise():
        from docsim.training.distill.from_vocabulary import DistillationRecipe  # imports Keras, which takes seconds
        from docsim.training.distill.teacher import load_teacher

        loaded = load_teacher(teacher)
    with watching(quiet=output.quiet) as progress:
        make = _with_texts if how.texts else _without_texts
        encoder, learned = make(loaded, DistillationRecipe(dim=how.dim), out, how, progress)
    if output.as_json:
        print_json({**encoder_facts.facts(encoder), **(_json(learned) if learned else {})})
    elif not output.quiet:
        _tell(encoder, learned)


def _check(teacher: Path, how: _Distillation) -> None:
    """Refuse what cannot work before anything slow begins."""
    if not teacher.is_dir():
        raise UsageError(f"expected the directory of a sentence-transformers model; there is none at {teacher}")
    if not how.texts and (how.steps or how.time_limit):
        raise UsageError("expected --texts with --steps and --time-limit; got none")


def _without_texts(
    teacher: Teacher, recipe: DistillationRecipe, out: Path, how: _Distillation, progress: Progress
) -> tuple[Encoder, None]:
    from docsim.training.distill.from_vocabulary import distill_and_save

    name = how.name or out.name
    return distill_and_save(out, teacher, recipe=recipe, name=name, seed=how.seed, progress=progress), None


def _with_texts(
    teacher: Teacher, recipe: DistillationRecipe, out: Path, how: _Distillation, progress: Progress
) -> tuple[Encoder, DistilledStudent]:
    """Distill the vocabulary, then learn from texts."""
    from docsim.training.data.document_sources import documents_of_corpus
    from docsim.training.distill.from_texts import distill_texts, save_student
    from docsim.training.distill.from_vocabulary import distill_vocabulary
    from docsim.training.distill.student import StudentConfig

    config = StudentConfig(steps=how.steps or StudentConfig().steps, time_limit=how.time_limit, seed=how.seed)
    documents: Iterable[Document] = chain.from_iterable(documents_of_corpus(path) for path in how.texts)
    parts = distill_vocabulary(teacher, recipe, progress=progress)
    cache = out.absolute().with_name(f".{out.name}.cache")
    learned = distill_texts(parts, teacher, documents, config=config, cache=cache, progress=progress)
    return save_student(learned, out, teacher, name=how.name or out.name, seed=how.seed), learned


def _json(learned: DistilledStudent) -> dict[str, object]:
    agreement = {"before": learned.before, "after": learned.after}
    return {"agreement": agreement, "steps": learned.steps, "spans": learned.spans}


def _tell(encoder: Encoder, learned: DistilledStudent | None) -> None:
    """Print the summary."""
    if learned:
        echo(
            f"Agreement with the teacher on held-out texts: {learned.before:.4f} before, {learned.after:.4f} after "
            f"{learned.steps} steps on {learned.spans} spans"
        )
    encoder_facts.announce(encoder)
