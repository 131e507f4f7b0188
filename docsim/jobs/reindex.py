"""Changing the encoder of an index, and looking after its generations."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.index import Index
from docsim.jobs.embed import BulkOptions, embed
from docsim.progress import SILENT, Progress
from docsim.reindex import reindexing
from docsim.reindex.examination import DEFAULT_GATE, GateOptions
from docsim.reindex.generations import Pruned, prune, rollback
from docsim.reindex.reindexing import Aborted, Reindexed, abort

__all__ = ["Aborted", "Pruned", "ReindexOptions", "Reindexed", "abort", "prune", "reindex", "rollback"]


@dataclass(frozen=True, slots=True)
class ReindexOptions:
    """How to re-index.

    Attributes:
        gate: What the new generation has to pass to be published.
        instant: Let the new encoder answer at once, over the old embeddings mapped into its space, if that finds more.
        wait: Wait for another process that is re-indexing.
        embeddings: Where files of embeddings are, or go: what they hold is not encoded again.
        bulk: Encode in bulk first, in several processes or on Ray.
    """

    gate: GateOptions = DEFAULT_GATE
    instant: bool = False
    wait: bool = False
    embeddings: Path | None = None
    bulk: BulkOptions | None = None


def reindex(
    index: Index,
    encoder: Encoder | None = None,
    options: ReindexOptions = ReindexOptions(),
    *,
    progress: Progress = SILENT,
) -> Reindexed:
    """Change an index to another encoder while it goes on answering; see ``docsim.reindex.reindexing.reindex``.

    Args:
        index: The index.
        encoder: The encoder to change to; by default that of the unfinished re-index.
        options: How to do it.
        progress: Told what is being done.

    Raises:
        UsageError: There is neither an encoder nor an unfinished re-index, or no judged query can be asked.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder gives something other than unit vectors.
        StoreError: The index cannot be written to; what was committed before stays.
    """
    if options.instant:
        from docsim.reindex import instant  # here, as hardly anybody asks for it

        instant.upgrade(index, encoder, wait=options.wait, progress=progress)
    if options.bulk or options.embeddings:
        return _from_files(index, encoder, options, progress)
    return reindexing.reindex(index, encoder, gate=options.gate, wait=options.wait, progress=progress)


def _from_files(index: Index, encoder: Encoder | None, options: ReindexOptions, progress: Progress) -> Reindexed:
    """Re-index from files of embeddings, which are made first if that is asked for."""
    from docsim.bulk.prepared import PreparedEncoder, prepared  # here, as hardly anybody asks for it

    known: list[PreparedEncoder] = []
    with ExitStack() as stack:
        folder = options.embeddings or Path(stack.enter_context(TemporaryDirectory(prefix="docsim-embeddings-")))
        if options.bulk and not _answers_with(index, encoder):
            progress.say("Encoding in bulk.")
            embed(index, encoder or _unfinished(index), folder, options.bulk, progress=progress)

        def prepare(wanted: Encoder) -> Encoder:
            known.append(prepared(wanted, folder))
            return known[-1]

        done = reindexing.reindex(
            index, encoder, gate=options.gate, wait=options.wait, prepare=prepare, progress=progress
        )
        for one in known:
            progress.say(f"{one.found:,} passages were in the files, {one.encoded:,} were encoded here.")
    return done


def _answers_with(index: Index, encoder: Encoder | None) -> bool:
    """Return whether an index answers with an encoder already, so that nothing is to be encoded."""
    return encoder is not None and index.generation().fingerprint == encoder.fingerprint


def _unfinished(index: Index) -> Encoder:
    """Return the encoder of the unfinished re-index.

    Raises:
        UsageError: There is none.
    """
    for one in index.engine.generations():
        if one.generation.state == "building":
            return Encoder.load(index.engine.encoder_directory(one.generation.number))
    raise UsageError("expected an encoder, as no re-index is unfinished", hint="docsim reindex --encoder DIR")
