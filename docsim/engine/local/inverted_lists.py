"""Inverted lists of a FAISS index, stored in a file that is mapped into memory, so that opening the index reads none.

Each list consists of its codes, in the layout that FAISS scans, and then its ids (``int64``), both padded to whole
blocks:

    list 0: codes | ids      list 1: codes | ids      ...

The offsets and sizes of the lists are part of the index, which FAISS writes without the lists themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import faiss
import numpy as np

__all__ = ["elsewhere", "mapped"]

_ALIGNED = 8  # ids have 8 bytes and start at a multiple of 8


@contextmanager
def elsewhere(index: faiss.IndexIVF, file: BinaryIO) -> Iterator[None]:
    """Write the lists of an index to a file, and make the index refer to that file within the block.

    Within the block the index can be written, but must not be searched. Afterwards it has its own lists again.

    Raises:
        OSError: The lists cannot be written.
    """
    lists, owned = faiss.downcast_InvertedLists(index.invlists), index.own_invlists
    placed = _written(lists, file)
    index.own_invlists = False  # so that replacing them does not free them
    index.replace_invlists(placed, False)
    try:
        yield
    finally:
        index.replace_invlists(lists, owned)


def mapped(index: faiss.IndexIVF, path: Path) -> None:
    """Give an index that was written within ``elsewhere`` its lists again, by mapping their file into memory.

    Raises:
        ValueError: The file has another size than when it was written.
        OSError: It is missing.
        RuntimeError: It cannot be mapped.
    """
    lists = faiss.downcast_InvertedLists(index.invlists)
    if path.stat().st_size != lists.totsize:
        raise ValueError(f"expected {lists.totsize} bytes of inverted lists at {path}, found {path.stat().st_size}")
    lists.filename, lists.read_only = str(path), True
    lists.prefetch_nthread = 0  # the default starts 32 threads for every query
    lists.do_mmap()


def _written(lists: faiss.InvertedLists, file: BinaryIO) -> faiss.OnDiskInvertedLists:
    """Write lists to a file, and return FAISS's description of where each one is in it."""
    block = lists.n_per_block if isinstance(lists, faiss.BlockInvertedLists) else 1
    size = lists.block_size // block if isinstance(lists, faiss.BlockInvertedLists) else lists.code_size
    padded = int(np.lcm(block, _ALIGNED))
    entries, offset = faiss.OnDiskOneListVector(), 0
    for number in range(lists.nlist):
        entry = faiss.OnDiskOneList()
        count = entry.size = lists.list_size(number)
        capacity = entry.capacity = -(-count // padded) * padded
        entry.offset = offset
        entries.push_back(entry)
        if count:
            stored = -(-count // block) * block * size
            file.write(faiss.rev_swig_ptr(lists.get_codes(number), stored).tobytes())
            file.write(bytes(capacity * size - stored))
            file.write(faiss.rev_swig_ptr(lists.get_ids(number), count).tobytes())
            file.write(bytes(8 * (capacity - count)))
        offset += capacity * (size + 8)
    placed = faiss.OnDiskInvertedLists(lists.nlist, size, "")
    placed.lists, placed.totsize = entries, offset
    return placed
