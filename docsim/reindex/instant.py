"""Instant upgrades: the new encoder answers at once, over the live embeddings mapped into its space.

An alignment between the two spaces is learned from a sample of passages that both encoders embedded. ``reindex`` then
goes on to embed the documents themselves; until that is published, aborted or refused, searches use the mapped ones.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_passages
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Rebuilder, Snapshot
from docsim.engine.records import Generation
from docsim.engine.retrying import retried
from docsim.index import Index
from docsim.progress import SILENT, Progress
from docsim.reindex.building import check_unit
from docsim.reindex.reindexing import begun

if TYPE_CHECKING:
    from docsim.encoding.alignment import Alignment

__all__ = ["SAMPLED", "upgrade"]

SAMPLED = 2000
"""Passages, at most, that an alignment is learned from."""

_TOGETHER = 200  # documents that are encoded together


def upgrade(
    index: Index, encoder: Encoder | None = None, *, wait: bool = False, progress: Progress = SILENT
) -> Alignment | None:
    """Begin a re-index whose encoder answers at once, in every process that has the index open.

    Args:
        index: The index.
        encoder: The new encoder; by default that of the unfinished re-index.
        wait: Wait for another process that is re-indexing.
        progress: Told what is being done.

    Returns:
        The alignment; None where none is used, because the index answers with this encoder already, or better without.

    Raises:
        UsageError: There is neither an encoder nor an unfinished re-index.
        IndexLocked: Another process is re-indexing and ``wait`` is off.
        EncoderError: The encoder gives something other than unit vectors.
        StoreError: The index cannot be written to.
    """
    with index.engine.rebuilder(wait=wait) as rebuilder:
        live = rebuilder.live()
        if encoder is not None and encoder.fingerprint == live.fingerprint:
            return None
        new = begun(rebuilder, encoder, base=None, progress=progress)
        alignment = rebuilder.alignment(new.number) or _aligned(index, rebuilder, live, new)
    if alignment is None:
        progress.say("Mapped embeddings would not be closer to the new encoder's; the old encoder goes on answering.")
    else:
        progress.say(
            f"{new.encoder} answers from now on, with mapped embeddings. They find {alignment.agreement:.0%} of the "
            f"passages that are nearest by its own; the old encoder finds {alignment.before:.0%}."
        )
    return alignment


def _aligned(index: Index, rebuilder: Rebuilder, live: Generation, new: Generation) -> Alignment | None:
    """Learn an alignment and map the live embeddings by it; None where that would not find more than there is."""
    from docsim.encoding.alignment import LEAST, learned

    with index.at(live.number) as opened:
        old, embedded = _embedded_twice(opened, rebuilder.encoder(new))
    if len(old) < LEAST:
        return None
    alignment = learned(old, embedded, source=live.fingerprint, target=new.fingerprint)
    if alignment.agreement < alignment.before:
        return None
    rebuilder.map_live(new.number, alignment)
    return alignment


@retried
def _embedded_twice(index: Index, encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with index.engine.snapshot() as snapshot:
        return _sample(snapshot, encoder)


def _sample(snapshot: Snapshot, encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the live embeddings of some passages, and the encoder's of the same, ``float32 (passages, dim)``."""
    chosen = list(_chosen(snapshot.passage_counts()).items())
    old, new = [np.zeros((0, snapshot.dim), np.float32)], [np.zeros((0, encoder.dim), np.float32)]
    for start in range(0, len(chosen), _TOGETHER):
        some = dict(chosen[start : start + _TOGETHER])
        documents, passages = snapshot.documents(list(some)), snapshot.passages(list(some))
        rows = snapshot.embeddings(np.array(list(some), np.int64))
        old += [row[places].astype(np.float32) for row, places in zip(rows, some.values(), strict=True)]
        items = [
            (documents[number].document, [passages[number][place] for place in places])
            for number, places in some.items()
        ]
        new += encode_passages(encoder, items)
    check_unit(encoder.name, encoder.fingerprint, new)
    return np.concatenate(old), np.concatenate(new)


def _chosen(counts: dict[int, int], *, seed: int = 0) -> dict[int, list[int]]:
    """Choose passages, each as likely as any other: the places of some in each document, by the document's number."""
    numbers = list(counts)
    ends = np.cumsum(list(counts.values()), dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    chosen: dict[int, list[int]] = defaultdict(list)
    drawn = np.random.default_rng(seed).choice(total, min(SAMPLED, total), replace=False)
    for passage, row in zip(drawn.tolist(), np.searchsorted(ends, drawn, side="right").tolist(), strict=True):
        chosen[numbers[row]].append(passage - (int(ends[row]) - counts[numbers[row]]))
    return dict(chosen)
