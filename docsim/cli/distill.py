"""``docsim distill``: make an encoder from a sentence-transformers model, without any text or with some."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docsim.cli import options, terminal
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError

if TYPE_CHECKING:
    from docsim.models import Document
    from docsim.training.distill.from_texts import DistilledStudent
    from docsim.training.distill.from_vocabulary import DistillationRecipe
    from docsim.training.distill.teacher import Teacher

__all__ = ["distill"]

_Progress = Callable[[str, int, int], None]


@click.command(
    epilog="""\b
Examples:
  docsim distill --teacher all-MiniLM-L6-v2/ --out encoders/minilm
  docsim distill --teacher all-MiniLM-L6-v2/ --out encoders/minilm --texts handbook/ --texts news.jsonl
  docsim index handbook/ --encoder encoders/minilm
"""
)
@click.option(
    "--teacher",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of a BERT-family sentence-transformers model.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory to write the encoder to."
)
@click.option("--dim", type=click.IntRange(min=1), default=256, show_default=True, help="Components of an embedding.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of whatever is random; kept in the manifest."
)
@click.option(
    "--texts",
    multiple=True,
    metavar="PATH",
    help="Then learn from the teacher's embeddings of these texts: a folder, a file, JSONL or CSV; may be repeated.",
)
@click.option("--steps", type=click.IntRange(1), help="Most steps of learning from texts.  [default: 1000]")
@click.option("--time-limit", type=float, metavar="S", help="Stop learning from texts after so many seconds.")
@click.option("--name", help="Name for people. Default: the name of --out.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")
@options.needs("train")
def distill(teacher: Path, out: Path, dim: int, seed: int, **given: Any) -> None:
    """Make an encoder from a sentence-transformers model, without any text or with some.

    Every entry of the teacher's vocabulary is passed through it once; the result is a table of token vectors that
    encodes several hundred times as fast as the teacher. It takes about a minute on two cores.

    With --texts, the token vectors then learn from the teacher's embeddings of spans of 64 to 128 tokens. Those are
    kept beside --out, so that a run that was killed, or another one, need not ask again.
    """
    _check(teacher, given)
    with terminal.without_native_noise():
        from docsim.training.distill.from_vocabulary import (  # imports Keras, which takes seconds
            DistillationRecipe,
            distill_and_save,
        )
        from docsim.training.distill.teacher import load_teacher

        loaded = load_teacher(teacher)
    recipe, name, learnt = DistillationRecipe(dim=dim), given["name"] or out.name, None
    with _progress(shown=not given["quiet"] and sys.stderr.isatty()) as progress:
        if given["texts"]:
            learnt, encoder = _with_texts(out, loaded, recipe, {**given, "name": name, "seed": seed}, progress)
        else:
            asked = _about(progress, "Asking the teacher")
            encoder = distill_and_save(out, loaded, recipe=recipe, name=name, seed=seed, progress=asked)
    _tell(encoder, learnt, given)


def _check(teacher: Path, given: Mapping[str, Any]) -> None:
    """Refuse what cannot be before anything slow begins."""
    if not teacher.is_dir():
        raise UsageError(f"expected the directory of a sentence-transformers model; there is none at {teacher}")
    if not given["texts"] and (given["steps"] or given["time_limit"]):
        raise UsageError("expected --texts with --steps and --time-limit; got none")


def _with_texts(
    out: Path, teacher: Teacher, recipe: DistillationRecipe, given: Mapping[str, Any], progress: _Progress | None
) -> tuple[DistilledStudent, Encoder]:
    """Distill the vocabulary, then learn from texts."""
    from docsim.training.data.document_sources import documents_of_corpus
    from docsim.training.distill.from_texts import distill_texts, save_student
    from docsim.training.distill.from_vocabulary import distill_vocabulary
    from docsim.training.distill.student import StudentConfig

    config = StudentConfig(
        steps=given["steps"] or StudentConfig().steps, time_limit=given["time_limit"], seed=given["seed"]
    )
    documents: Iterable[Document] = chain.from_iterable(documents_of_corpus(path) for path in given["texts"])
    parts = distill_vocabulary(teacher, recipe, progress=_about(progress, "Asking the teacher"))
    cache = out.absolute().with_name(f".{out.name}.cache")
    learnt = distill_texts(parts, teacher, documents, config=config, cache=cache, progress=progress)
    return learnt, save_student(learnt, out, teacher, name=given["name"], seed=given["seed"])


def _tell(encoder: Encoder, learnt: DistilledStudent | None, given: Mapping[str, Any]) -> None:
    """Print the summary."""
    if given["as_json"]:
        click.echo(json.dumps({**_facts(encoder), **(_texts_facts(learnt) if learnt else {})}, indent=2))
    elif not given["quiet"]:
        if learnt:
            click.echo(
                f"Agreement with the teacher on held-out texts: {learnt.before:.4f} before, {learnt.after:.4f} after "
                f"{learnt.steps} steps on {learnt.spans} spans"
            )
        click.echo(
            f"Encoder {encoder.name}: {encoder.dim} components, fingerprint {encoder.fingerprint[:12]}, in "
            f"{encoder.path}"
        )


def _texts_facts(learnt: DistilledStudent) -> dict[str, Any]:
    agreement = {"before": learnt.before, "after": learnt.after}
    return {"agreement": agreement, "steps": learnt.steps, "spans": learnt.spans}


def _facts(encoder: Encoder) -> dict[str, str | int]:
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "max_tokens": encoder.max_tokens,
        "fingerprint": encoder.fingerprint,
    }


def _about(progress: _Progress | None, what: str) -> Callable[[int, int], None] | None:
    """Return a function of what is done and of how much, which says what is being done."""
    return None if progress is None else lambda done, total: progress(what, done, total)


@contextmanager
def _progress(*, shown: bool) -> Iterator[_Progress | None]:
    """Give a function that draws a bar on standard error, or None when nobody watches."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
