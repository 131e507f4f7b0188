"""Inverted lists of a FAISS index in a file that is mapped into memory, so that opening it reads none of them.

Each list is its codes, laid out as FAISS scans them, and then its ids (``int64``), both padded to a whole block:

    list 0: codes | ids      list 1: codes | ids      ...

Where each of them begins is kept by the index, which FAISS writes without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import faiss
import numpy as np

__all__ = ["elsewhere", "mapped"]

_ALIGNED = 8  # ids of 8 bytes begin at a multiple of them


@contextmanager
def elsewhere(index: faiss.IndexIVF, file: BinaryIO) -> Iterator[None]:
    """Write the lists of an index to a file; within the block the index refers to them there, and must not be searched.

    Raises:
        OSError: They cannot be written.
    """
    lists, owned = faiss.downcast_InvertedLists(index.invlists), index.own_invlists
    placed = _written(lists, file)
    index.own_invlists = False  # so that they are not freed
    index.replace_invlists(placed, False)
    try:
        yield
    finally:
        index.replace_invlists(lists, owned)


def mapped(index: faiss.IndexIVF, path: Path) -> None:
    """Give an index that was written within ``elsewhere`` its lists again, by mapping their file into memory.

    Raises:
        ValueError: The file is not as long as it was.
        OSError: It is missing.
        RuntimeError: It cannot be mapped.
    """
    lists = faiss.downcast_InvertedLists(index.invlists)
    if path.stat().st_size != lists.totsize:
        raise ValueError(f"expected {lists.totsize} bytes of inverted lists at {path}, found {path.stat().st_size}")
    lists.filename, lists.read_only = str(path), True
    lists.prefetch_nthread = 0  # 32 threads a query otherwise
    lists.do_mmap()


def _written(lists: faiss.InvertedLists, file: BinaryIO) -> faiss.OnDiskInvertedLists:
    block = lists.n_per_block if isinstance(lists, faiss.BlockInvertedLists) else 1
    size = lists.block_size // block if isinstance(lists, faiss.BlockInvertedLists) else lists.code_size
    padded = int(np.lcm(block, _ALIGNED))
    places, at = faiss.OnDiskOneListVector(), 0
    for number in range(lists.nlist):
        place = faiss.OnDiskOneList()
        count = place.size = lists.list_size(number)
        capacity = place.capacity = -(-count // padded) * padded
        place.offset = at
        places.push_back(place)
        if count:
            stored = -(-count // block) * block * size
            file.write(faiss.rev_swig_ptr(lists.get_codes(number), stored).tobytes())
            file.write(bytes(capacity * size - stored))
            file.write(faiss.rev_swig_ptr(lists.get_ids(number), count).tobytes())
            file.write(bytes(8 * (capacity - count)))
        at += capacity * (size + 8)
    placed = faiss.OnDiskInvertedLists(lists.nlist, size, "")
    placed.lists, placed.totsize = places, at
    return placed
