"""Building: embed the documents of an index into a generation that is not live, while the live one answers.

Batches are transactions of their own and touch nothing that the live generation answers with, so that documents can be
added, changed and removed meanwhile, and searched. A changed document loses its embeddings in every generation
(``Store.put``), and a new one has none: both are found missing and embedded until nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local import encoders
from docsim.engine.local.store import Generation, Store
from docsim.errors import EncoderError
from docsim.ingest import passages

__all__ = ["NORM_TOLERANCE", "Advance", "Build", "are_unit"]

BATCH = 1_000_000
"""Characters of text that are encoded and committed together."""

NORM_TOLERANCE = 2e-3
"""How far a stored embedding's norm may be from 1; float16 rounding stays below 5e-4."""

Advance = Callable[[int], object]
"""Called with the documents that were done since the last call."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A document to embed: its number, that of its first passage, and a text for each passage."""

    number: int
    first: int
    texts: list[str]


class Build:
    """Brings one generation up to date with the documents."""

    def __init__(self, store: Store, path: Path, generation: Generation) -> None:
        """Load the generation's own encoder.

        Args:
            store: Writable.
            path: The index's directory.
            generation: Not the live one, and nobody else's to write to.

        Raises:
            FingerprintMismatch: The encoder kept in it is another one.
            EncoderError: It is missing or damaged.
        """
        self._store, self._number = store, generation.number
        self._encoder = encoders.load(path, generation)

    def missing(self) -> int:
        """Return how many documents have no embeddings yet."""
        return len(self._store.missing(self._number))

    def run(self, advance: Advance | None = None) -> int:
        """Embed what is missing, batch by batch, until nothing is; return how many documents that were.

        Raises:
            EncoderError: The encoder gives something else than unit vectors.
            StoreError: The index cannot be written to; what was committed before stays.
        """
        done = 0
        while count := self._pass(advance):
            done += count
        return done

    def _pass(self, advance: Advance | None) -> int:
        """Go through the documents once; encode a batch while the one before is committed."""
        count = 0
        with ThreadPoolExecutor(1, thread_name_prefix="docsim-commit") as executor:
            pending: Future[None] | None = None
            for batch in self._batches():
                embedded = self._embedded(batch)
                if pending:
                    pending.result()
                pending = executor.submit(self._commit, batch, embedded)
                count += len(batch)
                if advance:
                    advance(len(batch))
            if pending:
                pending.result()
        return count

    def _batches(self) -> Iterator[list[_Item]]:
        """Yield what is missing in groups of about ``BATCH`` characters."""
        last = 0
        while batch := self._batch(after=last):
            yield batch
            last = batch[-1].number

    def _batch(self, *, after: int) -> list[_Item]:
        """Read the next documents that are missing above number ``after``, from one committed state."""
        batch: list[_Item] = []
        size = 0
        with self._store.reading(), closing(self._store.lacking(self._number, after=after)) as found:
            for number, first, document in found:
                texts = passages.inputs(document, self._store.passages(number))
                batch.append(_Item(number, first, texts))
                size += 100 + sum(map(len, texts))
                if size >= BATCH:
                    break
        return batch

    def _embedded(self, batch: Sequence[_Item]) -> list[NDArray[np.float32]]:
        rows = self._encoder.encode([text for item in batch for text in item.texts])
        if not are_unit(rows):
            raise EncoderError(
                f"expected unit vectors of the encoder {self._encoder.name} (fingerprint "
                f"{self._encoder.fingerprint[:12]}), got others, NaN perhaps; nothing was published. "
                "Train it anew, and forget this one with: docsim reindex --abort"
            )
        ends = np.cumsum([len(item.texts) for item in batch])
        return np.split(rows, ends[:-1])

    def _commit(self, batch: Sequence[_Item], embedded: Sequence[NDArray[np.float32]]) -> None:
        with self._store.writing(visible=False):
            for item, rows in zip(batch, embedded, strict=True):
                self._store.embed(item.number, item.first, rows.astype(np.float16), generation=self._number)


def are_unit(rows: NDArray[np.floating]) -> bool:
    """Return whether all rows ``(any, dim)`` are finite and of norm 1, as far as float16 can tell."""
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    return bool(np.all(np.abs(norms - 1) <= NORM_TOLERANCE))  # NaN compares as false
