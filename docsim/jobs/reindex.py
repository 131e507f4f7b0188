"""Changing the encoder of an index, and looking after its generations."""

from __future__ import annotations

from dataclasses import dataclass

from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.progress import SILENT, Progress
from docsim.reindex import reindexing
from docsim.reindex.examination import DEFAULT_GATE, GateOptions
from docsim.reindex.reindexing import Aborted, Pruned, Reindexed, abort, prune, rollback

__all__ = ["Aborted", "Pruned", "ReindexOptions", "Reindexed", "abort", "prune", "reindex", "rollback"]


@dataclass(frozen=True, slots=True)
class ReindexOptions:
    """How to re-index.

    Attributes:
        gate: What the new generation has to pass to be published.
        instant: Let the new encoder answer at once, over the old embeddings mapped into its space, if that finds more.
        wait: Wait for another process that is re-indexing.
    """

    gate: GateOptions = DEFAULT_GATE
    instant: bool = False
    wait: bool = False


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
    return reindexing.reindex(index, encoder, gate=options.gate, wait=options.wait, progress=progress)
