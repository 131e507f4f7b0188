"""``docsim distill``: make an encoder from a sentence-transformers model, without any text."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from docsim.encoder import Encoder
from docsim.errors import UsageError

__all__ = ["distill"]


@click.command(
    epilog="""\b
Example:
  docsim distill --teacher all-MiniLM-L6-v2/ --out encoders/minilm
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
@click.option("--name", help="Name for people. Default: the name of --out.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text for people.")
def distill(teacher: Path, out: Path, dim: int, seed: int, name: str | None, quiet: bool, as_json: bool) -> None:
    """Make an encoder from a sentence-transformers model, without any text.

    Every entry of the teacher's vocabulary is passed through it once; the result is a table of token vectors that
    encodes several hundred times as fast as the teacher. It takes about a minute on two cores.
    """
    if not teacher.is_dir():
        raise UsageError(f"expected the directory of a sentence-transformers model; there is none at {teacher}")
    with _without_native_noise():
        from docsim.training.distill import Recipe, distill_to  # imports Keras, which takes seconds
        from docsim.training.teacher import load_teacher

        loaded = load_teacher(teacher)
    with _progress(shown=not quiet and sys.stderr.isatty()) as progress:
        encoder = distill_to(out, loaded, recipe=Recipe(dim=dim), name=name or out.name, seed=seed, progress=progress)
    if as_json:
        click.echo(json.dumps(_facts(encoder), indent=2))
    elif not quiet:
        click.echo(
            f"Encoder {encoder.name}: {encoder.dim} components, fingerprint {encoder.fingerprint[:12]}, in {out}"
        )


def _facts(encoder: Encoder) -> dict[str, str | int]:
    return {
        "name": encoder.name,
        "path": str(encoder.path),
        "dim": encoder.dim,
        "max_tokens": encoder.max_tokens,
        "fingerprint": encoder.fingerprint,
    }


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function that draws a bar on standard error, or None when nobody watches."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Asking the teacher")
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _without_native_noise() -> Iterator[None]:
    """Keep what TensorFlow's C++ writes to standard error while it loads from the user; errors are raised anyway."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
