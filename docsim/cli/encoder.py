"""``docsim encoder``: make encoders without training, look at them, and compare them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from docsim.cli import encoder_facts, options, terminal
from docsim.cli.encoder_compare import compare
from docsim.encoding.encoder import ONNX_FILE, TOKENIZER_FILE, Encoder, read_manifest
from docsim.errors import SourceError, UsageError
from docsim.index import Index
from docsim.ingest import sources
from docsim.models import Entry

if TYPE_CHECKING:
    from docsim.training.wordvectors.encoder import WordVectorEncoder
    from docsim.training.wordvectors.vocabulary import Coverage

__all__ = ["encoder"]

_SHOWN_UNKNOWN = 20

_directory = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_out = click.option("--out", required=True, type=_directory, help="Directory to write the encoder to.")
_name = click.option("--name", help="Name for people.  [default: the name of --out]")


@click.group()
def encoder() -> None:
    """Make encoders from word vectors or other models, look at them, and compare them."""


encoder.add_command(compare)


@encoder.command(
    "from-vectors",
    epilog="""\b
Examples:
  docsim encoder from-vectors glove.6B.100d.txt --out encoders/glove --vocab-size 100000 --pooling sif
  docsim encoder from-vectors cc.en.300.bin.gz --out encoders/fasttext --corpus indexes/handbook
""",
)
@click.argument("file", type=_file)
@_out
@click.option("--vocab-size", type=click.IntRange(min=1), help="Read the first N words only.  [default: all]")
@click.option(
    "--pooling",
    type=click.Choice(["average", "sif"]),
    default="average",
    show_default=True,
    help="Weigh all words alike, or frequent ones down.",
)
@_name
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, exists=True),
    help="An index, folder or file of texts: say how much of it the encoder knows, and give its other words vectors "
    "where the file has such of parts of words (fastText's .bin).",
)
@options.as_json
@options.output
@options.needs("train")
def from_vectors(file: Path, out: Path, **given: Any) -> None:
    """Make an encoder from a file of word vectors, at once and without training.

    FILE is in word2vec's format, text or binary, GloVe's, or fastText's (.vec or .bin), gzipped or not; its content
    tells which. A text's embedding is the mean of its words' vectors.
    """
    with terminal.without_native_noise():
        from docsim.training.wordvectors.encoder import encoder_from_vectors  # imports Keras, which takes seconds

    made = encoder_from_vectors(
        file,
        out,
        name=given["name"] or out.name,
        pooling=given["pooling"],
        limit=given["vocab_size"],
        corpus=None if given["corpus"] is None else _texts(given["corpus"]),
    )
    if given["as_json"]:
        encoder_facts.echo(encoder_facts.facts(made.encoder) | _vocabulary(made))
    elif not given["quiet"]:
        _print_made(made)


@encoder.command(
    "show", epilog="\b\nExamples:\n  docsim encoder show encoders/glove\n  docsim encoder show default --json\n"
)
@click.argument("directory", metavar="ENCODER")
@options.as_json
@options.output
def show(directory: str, as_json: bool, quiet: bool) -> None:
    """Say what an encoder is, where it comes from and how large it is, after checking that it is sound.

    ENCODER is an encoder's directory, or "default" for the one docsim ships.
    """
    loaded = encoder_facts.load(directory)
    found = encoder_facts.facts(loaded) | _described(loaded)
    if as_json:
        encoder_facts.echo(found)
    else:
        _print_shown(found, quiet=quiet)


@encoder.command(
    "import",
    epilog="\b\nExample:\n  docsim encoder import all-MiniLM-L6-v2/ --out encoders/minilm\n",
)
@click.argument("directory", type=_directory)
@_out
@click.option("--int8", is_flag=True, help="Multiply 8-bit integers: smaller, faster, less exact. Says what it loses.")
@_name
@options.as_json
@options.output
@options.needs("train")
def import_(directory: Path, out: Path, **given: Any) -> None:
    """Make an encoder that computes what a BERT-family sentence-transformers model does.

    DIRECTORY is the model's; pooling and normalisation are read from its files.
    """
    if not directory.is_dir():
        raise UsageError(f"expected the directory of a sentence-transformers model; there is none at {directory}")
    with terminal.without_native_noise():
        from docsim.training.distill.bert_import import import_encoder  # imports Keras, which takes seconds

    tell = None if given["quiet"] or not sys.stderr.isatty() else lambda line: click.secho(line, dim=True, err=True)
    made = import_encoder(directory, out, name=given["name"] or out.name, int8=given["int8"], progress=tell)
    metrics = read_manifest(made.path)["lineage"]["metrics"]
    if given["as_json"]:
        encoder_facts.echo(encoder_facts.facts(made) | {"metrics": metrics})
    elif not given["quiet"]:
        encoder_facts.announce(made)
        if given["int8"]:
            mean, least = metrics["int8_cosine_mean"], metrics["int8_cosine_min"]
            click.echo(f"int8 against float32: cosine {mean:.4f} on average, at least {least:.4f}")


# from-vectors


def _texts(corpus: Path) -> Iterator[str]:
    """Yield the texts of an index, or of anything that can be indexed; what cannot be read is left out."""
    if (corpus / "index.db").is_file():
        with Index.open(corpus) as index, index.engine.snapshot() as snapshot:
            for stored in snapshot.scan():
                yield _with_title(stored.document.title, stored.document.text)
        return
    for entry in sources.open_source(str(corpus)).entries():
        if isinstance(entry, Entry):
            with contextlib.suppress(SourceError):
                document = entry.load()
                yield _with_title(document.title, document.text)


def _with_title(title: str, text: str) -> str:
    """Return a document's words; a title that is the beginning of the text counts once."""
    return text if text.lstrip("# \n").startswith(title) else f"{title}\n{text}"


def _vocabulary(made: WordVectorEncoder) -> dict[str, Any]:
    found: dict[str, Any] = {
        "format": made.vectors.format,
        "skipped": made.vectors.skipped,
        "vocabulary": made.vocabulary,
    }
    if made.coverage is not None:
        found["coverage"] = _coverage(made.coverage) | {"from_subwords": made.from_subwords}
    return found


def _coverage(found: Coverage) -> dict[str, Any]:
    return {
        "tokens": found.tokens,
        "known_tokens": found.token_share,
        "words": found.words,
        "known_words": found.word_share,
        "most_frequent_unknown": [{"word": word, "count": n} for word, n in found.unknown[:_SHOWN_UNKNOWN]],
    }


def _print_made(made: WordVectorEncoder) -> None:
    encoder_facts.announce(made.encoder)
    click.echo(f"vocabulary  {made.vocabulary} words, read as {made.vectors.format}")
    if made.vectors.skipped:
        click.secho(f"left out, because unusable: {made.vectors.skipped} of the file's words", fg="yellow", err=True)
    if made.coverage is None:
        return
    found = made.coverage
    click.echo(f"corpus      {found.token_share:.1%} of {found.tokens} words are known")
    click.echo(f"            {found.word_share:.1%} of {found.words} distinct words")
    if made.from_subwords:
        click.echo(f"            {made.from_subwords} of them by the vectors of their parts")
    if found.unknown:
        click.echo("unknown     " + ", ".join(f"{word} ({n})" for word, n in found.unknown[:_SHOWN_UNKNOWN]))


# show


def _described(loaded: Encoder) -> dict[str, Any]:
    """Return what the manifest says beyond the facts, and the sizes of vocabulary and files."""
    from tokenizers import Tokenizer

    manifest = read_manifest(loaded.path)
    sizes = {name: (loaded.path / name).stat().st_size for name in manifest["files"] if (loaded.path / name).is_file()}
    return {
        "kind": manifest["kind"],
        "format": manifest["format"],
        "precision": manifest.get("precision", "float32"),
        "vocabulary": Tokenizer.from_file(str(loaded.path / TOKENIZER_FILE)).get_vocab_size(),
        "preprocessing": manifest["preprocessing"],
        "sizes": sizes,
        "lineage": manifest.get("lineage", {}),
    }


def _print_shown(found: Mapping[str, Any], *, quiet: bool) -> None:
    click.secho(found["name"], bold=True)
    click.echo(f"path         {found['path']}")
    click.echo(f"kind         {found['kind']}, {found['precision']}")
    click.echo(f"embeddings   {found['dim']} components, of the first {found['max_tokens']} tokens of a text")
    click.echo(f"vocabulary   {found['vocabulary']} tokens")
    click.echo(f"fingerprint  {found['fingerprint']}")
    sizes = found["sizes"]
    listed = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
    click.echo(f"size         {sizes.get(ONNX_FILE, 0) / 1e6:.1f} MB to encode with ({listed})")
    if quiet:
        return
    for name, value in found["lineage"].items():
        if value not in (None, {}, []):
            click.echo(f"{name:11}  {_one_line(value)}")


def _one_line(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_one_line(one)}" for name, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
