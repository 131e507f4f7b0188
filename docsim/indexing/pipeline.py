"""The pipeline: documents are encoded in batches, and each batch is committed while the next one is encoded.

A batch is one transaction of whole documents, so a run that is stopped at any point has committed whole batches, and
the next run does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["batched", "run"]

_OVERHEAD = 100  # characters that a document counts besides its text, so that batches of empty ones end

Item = TypeVar("Item")
Embedded = TypeVar("Embedded")


def run(
    batches: Iterable[list[Item]],
    *,
    encode: Callable[[list[Item]], Embedded],
    commit: Callable[[list[Item], Embedded], None],
    advance: Callable[[int], object] | None = None,
) -> int:
    """Encode every batch, and commit it in another thread while the next one is read and encoded.

    Args:
        batches: What to do, in order.
        encode: Encodes a batch, in this thread.
        commit: Commits an encoded batch, in the other thread; batches are committed one by one, in order.
        advance: Told how many items were encoded since the last call.

    Returns:
        How many items there were; all of them are committed.
    """
    count = 0
    with ThreadPoolExecutor(1, thread_name_prefix="docsim-commit") as executor:
        pending: Future[None] | None = None
        for batch in batches:
            embedded = encode(batch)
            if pending:
                pending.result()
            pending = executor.submit(commit, batch, embedded)
            count += len(batch)
            if advance:
                advance(len(batch))
        if pending:
            pending.result()
    return count


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
