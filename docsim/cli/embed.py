"""``docsim embed``: encode documents in bulk, into files of embeddings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from docsim.cli import chosen_index, options
from docsim.cli.bulk_options import BulkFlags, bulk
from docsim.cli.grouping import needs
from docsim.cli.options import EncoderOptions
from docsim.cli.output import Output, echo, print_json
from docsim.cli.progress import watching
from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.index import Index
from docsim.jobs import embed as jobs
from docsim.jobs.embed import EmbeddedInBulk
from docsim.progress import Progress

__all__ = ["embed"]

_PARTIAL = 3  # as docsim index exits where a document could not be read


@click.command(
    epilog="""\b
Examples:
  docsim embed --index indexes/handbook --encoder accurate --out embeddings
  docsim embed --index indexes/handbook --encoder accurate --out embeddings --on ray --address head:6379
  docsim reindex --index indexes/handbook --encoder accurate --from embeddings
  docsim embed pages-*.jsonl --encoder accurate --out embeddings
"""
)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=options.existing_file)
@chosen_index.index_option
@options.encoder("The encoder: a directory, fast or accurate.")
@click.option("--out", type=options.directory, required=True, help="Directory for the files of embeddings.")
@bulk("What encodes: processes of this machine, or Ray.  [default: processes]")
@options.output
@needs("embed")
@click.pass_context
def embed(
    ctx: click.Context,
    files: tuple[Path, ...],
    index_path: Path | None,
    encoder: EncoderOptions,
    out: Path,
    flags: BulkFlags,
    output: Output,
) -> None:
    """Encode documents in bulk: those of an index, or of files of records, each of which is encoded as a whole.

    Writes files in Arrow's format: embeddings as float16 with the ids of documents, places of passages and digests. If
    the run is killed, run it again to continue; what is encoded already is left alone.

    With docsim reindex --from, an index takes the embeddings over. On a cluster, every machine has to reach the index
    or the files, the encoder and the output under the same path.
    """
    if files and index_path:
        raise UsageError("expected files or --index, got both")
    wanted = encoder.load()
    if wanted is None:
        raise UsageError("expected --encoder, got none")
    with watching(quiet=not output.for_people) as progress:
        if files:
            done = jobs.embed(files, wanted, out, flags.load(), progress=progress)
        else:
            done = _of_index(chosen_index.index_directory(index_path), wanted, out, flags, progress=progress)
    _tell(done, output)
    if done.failures:
        ctx.exit(_PARTIAL)


def _of_index(path: Path, encoder: Encoder, out: Path, flags: BulkFlags, *, progress: Progress) -> EmbeddedInBulk:
    with Index.open(path) as index:
        return jobs.embed(index, encoder, out, flags.load(), progress=progress)


def _tell(done: EmbeddedInBulk, output: Output) -> None:
    if output.as_json:
        print_json(asdict(done) | {"folder": str(done.folder)})
        return
    for failure in done.failures:
        echo(f"Not read: {failure}", err=True)
    if not output.quiet:
        kept = done.shards - done.made
        before = f"; {kept} of {done.shards} files were there already" if kept else ""
        echo(f"{done.documents} documents, {done.passages} passages in {done.seconds:.1f} s{before}: {done.folder}")
