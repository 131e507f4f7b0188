"""Limits on ``model.weights.h5``: what the weights of a tower from anybody may be made of.

HDF5 can describe an array of any size in some bytes, by filling it with one number or by compressing it, and can take
arrays from other files. Keras writes neither: its arrays lie in the file as they are.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import h5py

__all__ = ["WEIGHTS", "problem"]

WEIGHTS = "model.weights.h5"

_RATIO = 20  # of what is in the archive to its size there; weights hardly get smaller
_EXEMPT = 10_000_000
_MOST = 100_000  # arrays and groups
_SLACK = 4096  # bytes of an array that need not be stored


def problem(archive: zipfile.ZipFile) -> str | None:
    """Return why the weights in a ``tower.keras`` are refused, as part of a sentence; None where they may be read.

    Raises:
        OSError: They are no HDF5.
    """
    info = archive.getinfo(WEIGHTS)
    if info.file_size > max(_EXEMPT, _RATIO * info.compress_size):
        return f"would unpack to {info.file_size // 1_000_000} MB"
    with h5py.File(io.BytesIO(archive.read(info)), "r") as file:
        for count, one in enumerate(_walk(file)):
            if isinstance(one, h5py.SoftLink | h5py.ExternalLink):
                return "refer to other places or files"
            if isinstance(one, h5py.Dataset) and one.nbytes > one.id.get_storage_size() + _SLACK:
                return f"hold an array that takes {one.nbytes // 1_000_000} MB and is not stored as such"
            if count > _MOST:
                return f"hold more than {_MOST:,} arrays"
    return None


def _walk(file: h5py.File) -> Iterator[object]:
    """Yield every array, group and link; links are not followed, and no group is entered twice."""
    waiting, seen = [file], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                yield link
                continue
            one = group[name]
            yield one
            address = h5py.h5o.get_info(one.id).addr
            if isinstance(one, h5py.Group) and address not in seen:
                seen.add(address)
                waiting.append(one)
