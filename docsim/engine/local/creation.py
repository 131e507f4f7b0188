"""Creation: makes a new index in a directory, and stores how it is to be searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docsim.engine.local import ann_tuning, generations, writer
from docsim.engine.local.database import FILE
from docsim.errors import StoreError

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder

__all__ = ["check_free", "create"]

_LEFTOVERS = {"write.lock", "generations", "words", ".writable"}


def create(path: Path, *, encoder: Encoder | None, index_type: str | None, recall: float | None, wait: bool) -> None:
    """Make an index at ``path`` unless there is one, and choose how it is searched.

    Args:
        path: The index's directory.
        encoder: The encoder of a new index; the default one when not given.
        index_type: See ``Index.create``.
        recall: See ``Index.create``.
        wait: Wait for another process that is writing.

    Raises:
        UsageError: There is no such index type or recall.
        IndexLocked: Another process is writing to it and ``wait`` is off.
        StoreError: The directory holds something else.
    """
    check_free(path)
    ann_tuning.check(index_type, recall)
    with writer.opened(path, wait=wait) as opened:
        if opened.generation() is None:
            generations.begin(opened, path, encoder or _default())
        opened.configure(index_type, recall)


def check_free(path: Path) -> None:
    """Check that a directory is an index, or can become one.

    Raises:
        StoreError: It holds something else.
    """
    found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if FILE not in found and found - _LEFTOVERS:
        raise StoreError(f"expected an index, or a new or empty directory, at {path}; found other files there")


def _default() -> Encoder:
    from docsim.encoding.encoder import Encoder

    return Encoder.default()
