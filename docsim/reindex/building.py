"""Building: embed the documents of an index into a generation that is not live, while the live one answers.

Batches touch nothing that the live generation answers with, so documents can be added, changed, removed and searched
meanwhile. A changed document loses its embeddings in every generation, and a new one has none: both are found missing,
and embedded, until nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import kept_embeddings
from docsim.encoding.encoder import Encoder
from docsim.encoding.norms import are_unit
from docsim.engine.base import Rebuilder
from docsim.engine.records import Generation, Unembedded
from docsim.errors import EncoderError
from docsim.indexing import pipeline

__all__ = ["Advance", "Build", "Prepare", "check_unit"]

Advance = Callable[[int], object]
"""Told how many documents were embedded since the last call."""

Prepare = Callable[[Encoder], Encoder]
"""Gives an encoder of the same fingerprint that has less to do, because it knows embeddings already."""


class Build:
    """Brings one generation up to date with the documents."""

    def __init__(
        self, rebuilder: Rebuilder, generation: Generation, *, batch: int, prepare: Prepare | None = None
    ) -> None:
        """Load the generation's own encoder.

        Args:
            rebuilder: Writes to the generation.
            generation: One that is not live.
            batch: Characters of text that are encoded and committed together, see ``Index.batch``.
            prepare: Gives an encoder that knows embeddings already; it has to give the same as the one it is given.

        Raises:
            FingerprintMismatch: The encoder kept in it is another one.
            EncoderError: It is missing or damaged.
        """
        self._rebuilder, self._number, self._batch = rebuilder, generation.number, batch
        encoder = rebuilder.encoder(generation)
        self._encoder = prepare(encoder) if prepare else encoder

    def run(self, advance: Advance | None = None) -> int:
        """Embed what is missing, batch by batch, until nothing is; return how many documents that were.

        Raises:
            EncoderError: The encoder gives something else than unit vectors.
            StoreError: The index cannot be written to; what was committed before stays.
        """
        done = 0
        while count := pipeline.run(self._batches(), encode=self._encode, commit=self._commit, advance=advance):
            done += count
        return done

    def _batches(self) -> Iterator[list[Unembedded]]:
        """Yield what is missing in batches, each read from one committed state, so that no state is held for long."""
        last = 0
        while True:
            with self._rebuilder.unembedded(self._number, after=last) as found:
                batch = next(pipeline.batched(found, _characters, size=self._batch), [])
            if not batch:
                return
            yield batch
            last = batch[-1].number

    def _encode(self, batch: Sequence[Unembedded], is_stopped: pipeline.IsStopped) -> list[NDArray[np.float16]]:
        items = [(one.document, one.passages) for one in batch]
        rows = kept_embeddings(self._encoder, items, is_stopped=is_stopped)
        check_unit(self._encoder.name, self._encoder.fingerprint, rows)
        return rows

    def _commit(self, batch: Sequence[Unembedded], rows: Sequence[NDArray[np.float16]]) -> None:
        self._rebuilder.embed(self._number, list(zip(batch, rows, strict=True)))


def check_unit(name: str, fingerprint: str, rows: Sequence[NDArray[np.floating]]) -> None:
    """Raise ``EncoderError`` unless an encoder's embeddings, ``(passages, dim)`` each, are unit vectors."""
    if not all(map(are_unit, rows)):
        raise EncoderError(
            f"expected unit vectors from the encoder {name} (fingerprint {fingerprint[:12]}), got others, perhaps NaN; "
            "nothing was published. Train it again",
            hint="docsim reindex --abort, to drop this re-index",
        )


def _characters(one: Unembedded) -> int:
    return sum(passage.end - passage.start for passage in one.passages) + len(one.passages) * len(one.document.title)
