"""The pipeline: documents are read, encoded and committed in batches, one batch in each of the three stages at a time.

A batch is one transaction of whole documents, so a run that is stopped at any point has committed whole batches, and
the next run does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Event
from typing import Generic, TypeVar

from docsim.threads import Threads

__all__ = ["IsStopped", "batched", "run"]

_OVERHEAD = 100  # characters that a document counts besides its text, so that batches of empty ones end

IsStopped = Callable[[], bool]

Item = TypeVar("Item")
Embedded = TypeVar("Embedded")


def run(
    batches: Iterable[list[Item]],
    *,
    encode: Callable[[list[Item], IsStopped], Embedded],
    commit: Callable[[list[Item], Embedded], None],
    advance: Callable[[int], object] | None = None,
) -> int:
    """Encode every batch in one thread and commit it in another, while this thread takes the next one from ``batches``.

    When taking a batch fails, what came before is encoded and committed, and then the error is raised. When the user
    interrupts it, the batch that is being encoded is given up.

    Args:
        batches: What to do, in order.
        encode: Encodes a batch. Its second argument tells whether it may give up and raise any error.
        commit: Commits an encoded batch; batches are committed one by one, in order.
        advance: Told how many items were encoded since the last call.

    Returns:
        How many items there were; all of them are committed.
    """
    count, stop = 0, Event()
    with Threads(1, "docsim-commit") as committer, Threads(1, "docsim-encode") as encoder:
        stages = _Stages(encoder, committer, lambda batch: encode(batch, stop.is_set), commit, advance)
        try:
            for batch in batches:
                stages.take(batch)
                count += len(batch)
        except Exception:
            stages.finish()
            raise
        except BaseException:
            stop.set()
            raise
        stages.finish()
    return count


class _Stages(Generic[Item, Embedded]):
    """The batch that is being encoded, and the one before it, which is being committed."""

    def __init__(
        self,
        encoder: Threads,
        committer: Threads,
        encode: Callable[[list[Item]], Embedded],
        commit: Callable[[list[Item], Embedded], None],
        advance: Callable[[int], object] | None,
    ) -> None:
        self._encoder, self._committer = encoder, committer
        self._encode, self._commit, self._advance = encode, commit, advance
        self._encoding: tuple[list[Item], Future[Embedded]] | None = None
        self._committing: Future[None] | None = None

    def take(self, batch: list[Item]) -> None:
        """Begin to encode a batch, once the one before it is encoded and the one before that is committed."""
        self._hand_over()
        self._encoding = batch, self._encoder.submit(self._encode, batch)

    def finish(self) -> None:
        """Wait until all that was taken is committed."""
        self._hand_over()
        if self._committing:
            self._committer.result(self._committing)

    def _hand_over(self) -> None:
        if self._encoding is None:
            return
        batch, encoding = self._encoding
        self._encoding = None
        embedded = self._encoder.result(encoding)
        if self._committing:
            self._committer.result(self._committing)
        self._committing = self._committer.submit(self._commit, batch, embedded)
        if self._advance:
            self._advance(len(batch))


def batched(items: Iterable[Item], characters: Callable[[Item], int], *, size: int) -> Iterator[list[Item]]:
    """Group items so that each group holds about ``size`` characters."""
    batch: list[Item] = []
    total = 0
    for item in items:
        batch.append(item)
        total += _OVERHEAD + characters(item)
        if total >= size:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
