"""``docsim encoder``: make encoders without training, look at them, and compare them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from docsim.cli import encoder_facts, options, terminal
from docsim.cli.encoder_compare import compare
from docsim.cli.grouping import grouped, needs
from docsim.cli.output import Output, echo, print_json, styled
from docsim.cli.progress import watching
from docsim.encoding.encoder import ONNX_FILE, TOKENIZER_FILE, Encoder, read_manifest
from docsim.engine import opening
from docsim.errors import SourceError, UsageError
from docsim.index import Index
from docsim.ingest import sources
from docsim.models import Document, Entry

if TYPE_CHECKING:
    from docsim.training.wordvectors.encoder import WordPooling, WordVectorEncoder
    from docsim.training.wordvectors.vocabulary import Coverage

__all__ = ["encoder"]

_SHOWN_UNKNOWN = 20

_out = click.option("--out", required=True, type=options.directory, help="Directory to write the encoder to.")
_name = click.option("--name", help="Display name of the encoder.  [default: the name of --out]")


@click.group()
def encoder() -> None:
    """Make, inspect and compare encoders.

    Encoders can be made from word vectors and from other models, without training.
    """


encoder.add_command(compare)


@dataclass(frozen=True, slots=True)
class _FromVectors:
    """How to make an encoder from word vectors."""

    vocab_size: int | None
    pooling: WordPooling
    name: str | None
    corpus: Path | None


@encoder.command(
    "from-vectors",
    epilog="""\b
Examples:
  docsim encoder from-vectors glove.6B.100d.txt --out encoders/glove --vocab-size 100000 --pooling sif
  docsim encoder from-vectors cc.en.300.bin.gz --out encoders/fasttext --corpus indexes/handbook
""",
)
@click.argument("file", type=options.existing_file)
@_out
@grouped(
    _FromVectors,
    "how",
    click.option("--vocab-size", type=click.IntRange(min=1), help="Read only this many words.  [default: all]"),
    click.option(
        "--pooling",
        type=click.Choice(["average", "sif"]),
        default="average",
        show_default=True,
        help="Weight all words equally (average), or frequent words less (sif).",
    ),
    _name,
    click.option(
        "--corpus",
        type=click.Path(path_type=Path, exists=True),
        help="An index, folder or file of texts: report how much of it the encoder knows. If FILE has vectors of parts "
        "of words (fastText's .bin), unknown words of these texts get vectors, too.",
    ),
)
@options.output
@needs("train")
def from_vectors(file: Path, out: Path, how: _FromVectors, output: Output) -> None:
    """Make an encoder from a file of word vectors, without training.

    FILE is in the format of word2vec (text or binary), GloVe or fastText (.vec or .bin), and may be gzipped; the format
    is recognised by content. The embedding of a text is the mean of the vectors of its words.
    """
    with terminal.without_native_noise():
        from docsim.training.wordvectors.encoder import encoder_from_vectors  # imports Keras, which takes seconds

    corpus = None if how.corpus is None else _texts(how.corpus)
    name = how.name or out.name
    made = encoder_from_vectors(file, out, name=name, pooling=how.pooling, limit=how.vocab_size, corpus=corpus)
    if output.as_json:
        print_json(encoder_facts.facts(made.encoder) | _vocabulary(made))
    elif not output.quiet:
        _print_made(made)


@encoder.command(
    "show", epilog="\b\nExamples:\n  docsim encoder show encoders/glove\n  docsim encoder show accurate --json\n"
)
@click.argument("directory", metavar="ENCODER")
@options.output
def show(directory: str, output: Output) -> None:
    """Check an encoder, and show its kind, size and origin.

    ENCODER is the directory of an encoder, or "fast" or "accurate" for one that docsim ships.
    """
    loaded = _Described.of(Encoder.load(directory))
    if output.as_json:
        print_json(encoder_facts.facts(loaded.encoder) | loaded.json())
    else:
        loaded.print(quiet=output.quiet)


@dataclass(frozen=True, slots=True)
class _Import:
    """What an import should be like."""

    prefixes: str | None
    query_prefix: str | None
    passage_prefix: str | None
    dim: int | None
    int8: bool
    onnx: bool
    name: str | None


@encoder.command(
    "import",
    epilog="""\b
Examples:
  docsim encoder import all-MiniLM-L6-v2/ --out encoders/minilm --int8
  docsim encoder import multilingual-e5-small/ --out encoders/e5 --prefixes e5
  docsim encoder import potion-base-8M/ --out encoders/potion
  docsim encoder import some-model/ --out encoders/some --query-prefix "Question: " --dim 256
""",
)
@click.argument("directory", type=options.directory)
@_out
@grouped(
    _Import,
    "how",
    click.option(
        "--prefixes",
        type=click.Choice(["e5", "bge", "bge-zh", "nomic", "none"]),
        help="Family of the model, which says what text it expects before questions and passages.  "
        "[default: what its files say]",
    ),
    click.option("--query-prefix", metavar="TEXT", help='Text to put before each question, such as "query: ".'),
    click.option("--passage-prefix", metavar="TEXT", help='Text to put before each passage, such as "passage: ".'),
    click.option(
        "--dim",
        type=click.IntRange(min=1),
        help="Keep only this many leading components: for models trained for that (Matryoshka).  [default: all]",
    ),
    click.option(
        "--int8",
        is_flag=True,
        help="Compute with 8-bit integers: smaller and faster, but less exact. Reports the loss.",
    ),
    click.option("--onnx", is_flag=True, help="Use the model's own ONNX export, even if its weights can be read."),
    _name,
)
@options.output
@needs("train")
def import_(directory: Path, out: Path, how: _Import, output: Output) -> None:
    """Make an encoder that computes the same as another model.

    DIRECTORY is that of the model: a sentence-transformers model of the family of BERT, DistilBERT, RoBERTa, XLM-R,
    CamemBERT, MPNet or ELECTRA, with model.safetensors; a static one of model2vec or sentence-transformers; or any
    model with an ONNX export of its own (onnx/model.onnx or model.onnx), which can be used but not trained. Pooling,
    linear layers and prompts are read from its files.
    """
    if not directory.is_dir():
        raise UsageError(f"expected the directory of a model; there is none at {directory}")
    with terminal.without_native_noise():
        from docsim.training.imports.importing import Wishes, import_encoder  # imports Keras, which takes seconds

    wishes = Wishes(how.prefixes, how.query_prefix, how.passage_prefix, how.dim, how.int8, how.onnx)
    with watching(quiet=output.quiet) as progress:
        made = import_encoder(directory, out, wishes, name=how.name or out.name, progress=progress)
    if output.as_json:
        manifest = read_manifest(made.path)
        facts = {"kind": manifest["kind"], "trainable": manifest["kind"] != "onnx", **_prefixes(made)}
        print_json(encoder_facts.facts(made) | facts | {"metrics": manifest["lineage"]["metrics"]})
    elif not output.quiet:
        _print_imported(made, directory, how)


# from-vectors


def _texts(corpus: Path) -> Iterator[str]:
    """Yield the texts of an index, or of anything that can be indexed; what cannot be read is left out."""
    if opening.exists(corpus):
        with Index.open(corpus) as index, index.engine.snapshot() as snapshot:
            for stored in snapshot.scan():
                yield _with_title(stored.document.title, stored.document.text)
        return
    for entry in sources.open_source(str(corpus)).entries():
        if isinstance(entry, Document | Entry):
            with contextlib.suppress(SourceError):
                document = entry.load() if isinstance(entry, Entry) else entry
                yield _with_title(document.title, document.text)


def _with_title(title: str, text: str) -> str:
    """Return a document's words; a title that is the beginning of the text counts once."""
    return text if text.lstrip("# \n").startswith(title) else f"{title}\n{text}"


def _vocabulary(made: WordVectorEncoder) -> dict[str, object]:
    found: dict[str, object] = {
        "format": made.vectors.format,
        "skipped": made.vectors.skipped,
        "vocabulary": made.vocabulary,
    }
    if made.coverage is not None:
        found["coverage"] = _coverage(made.coverage) | {"from_subwords": made.from_subwords}
    return found


def _coverage(found: Coverage) -> dict[str, object]:
    return {
        "tokens": found.tokens,
        "known_tokens": found.token_share,
        "words": found.words,
        "known_words": found.word_share,
        "most_frequent_unknown": [{"word": word, "count": n} for word, n in found.unknown[:_SHOWN_UNKNOWN]],
    }


def _print_made(made: WordVectorEncoder) -> None:
    encoder_facts.announce(made.encoder)
    echo(f"vocabulary  {made.vocabulary} words, read as {made.vectors.format}")
    if made.vectors.skipped:
        styled(f"skipped {made.vectors.skipped} of the file's words, which are unusable", fg="yellow", err=True)
    if made.coverage is None:
        return
    found = made.coverage
    echo(f"corpus      {found.token_share:.1%} of {found.tokens} words are known")
    echo(f"            {found.word_share:.1%} of {found.words} distinct words")
    if made.from_subwords:
        echo(f"            {made.from_subwords} of them by the vectors of their parts")
    if found.unknown:
        echo("unknown     " + ", ".join(f"{word} ({n})" for word, n in found.unknown[:_SHOWN_UNKNOWN]))


# import


def _prefixes(made: Encoder) -> dict[str, str]:
    return {"query_prefix": made.query_prefix, "passage_prefix": made.document_prefix}


def _print_imported(made: Encoder, directory: Path, how: _Import) -> None:
    from docsim.training.imports.prefixes import suspected

    manifest = read_manifest(made.path)
    encoder_facts.announce(made)
    _print_prefixes(made)
    if manifest["kind"] == "onnx":
        echo("It is the model's own ONNX export: it can be used as it is, but not trained.")
    metrics = manifest["lineage"]["metrics"]
    if "int8_cosine_mean" in metrics:
        mean, least = metrics["int8_cosine_mean"], metrics["int8_cosine_min"]
        echo(f"int8 against float32: cosine {mean:.4f} on average, at least {least:.4f}")
    convention = suspected(directory.absolute().name)
    if convention and how.prefixes is None and not (made.query_prefix or made.document_prefix):
        styled(
            f"By its name it may be a model that wants prefixes, but its files say nothing of them. If so, import it "
            f"with --prefixes {convention}; if not, with --prefixes none.",
            fg="yellow",
            err=True,
        )


def _print_prefixes(encoder: Encoder) -> None:
    for name, prefix in (("questions", encoder.query_prefix), ("passages", encoder.document_prefix)):
        if prefix:
            echo(f"{name:11}  begin with {prefix!r}")


# show


@dataclass(frozen=True, slots=True)
class _Described:
    """What is known about an encoder.

    Attributes:
        encoder: The encoder.
        kind: The kind of its tower.
        format: Version of its files.
        precision: What it computes with.
        vocabulary: Number of tokens.
        preprocessing: How texts become tokens, by setting.
        sizes: Bytes by file.
        lineage: How it was made, by setting.
    """

    encoder: Encoder
    kind: str
    format: int
    precision: str
    vocabulary: int
    preprocessing: Mapping[str, object]
    sizes: Mapping[str, int]
    lineage: Mapping[str, object]

    @classmethod
    def of(cls, encoder: Encoder) -> _Described:
        """Read the manifest, and the sizes of vocabulary and files."""
        from tokenizers import Tokenizer

        path, manifest = encoder.path, read_manifest(encoder.path)
        return cls(
            encoder=encoder,
            kind=manifest["kind"],
            format=manifest["format"],
            precision=manifest.get("precision", "float32"),
            vocabulary=Tokenizer.from_file(str(path / TOKENIZER_FILE)).get_vocab_size(),
            preprocessing=manifest["preprocessing"],
            sizes={name: (path / name).stat().st_size for name in manifest["files"] if (path / name).is_file()},
            lineage=manifest.get("lineage", {}),
        )

    def json(self) -> dict[str, object]:
        """Return what ``--json`` says beyond the facts of any encoder."""
        names = ("kind", "format", "precision", "vocabulary", "preprocessing", "sizes", "lineage")
        return {name: getattr(self, name) for name in names}

    def print(self, *, quiet: bool) -> None:
        """Print it for people."""
        encoder = self.encoder
        styled(encoder.name, bold=True)
        echo(f"path         {encoder.path}")
        untrainable = "; another program's export, which cannot be trained" if self.kind == "onnx" else ""
        echo(f"kind         {self.kind}, {self.precision}{untrainable}")
        echo(f"embeddings   {encoder.dim} components, from the first {encoder.max_tokens} tokens of a text")
        echo(f"vocabulary   {self.vocabulary} tokens")
        _print_prefixes(encoder)
        echo(f"fingerprint  {encoder.fingerprint}")
        listed = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.sizes.items())
        echo(f"size         {self.sizes.get(ONNX_FILE, 0) / 1e6:.1f} MB needed for encoding ({listed})")
        for name, value in () if quiet else self.lineage.items():
            if value not in (None, {}, []):
                echo(f"{name:11}  {_one_line(value)}")


def _one_line(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_one_line(one)}" for name, one in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
