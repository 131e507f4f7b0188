"""Packed files: where each file of an archive lies, in some fifty bytes, so that there may be very many of them.

The records of the standard library take half a kilobyte to one kilobyte each. They are made again for a file that is
opened.
"""

from __future__ import annotations

import tarfile
import zipfile
from array import array
from typing import IO, Protocol, cast

__all__ = ["Held", "TarFiles", "ZipFiles"]


class Held(Protocol):
    """The files of one archive, by number."""

    def open(self, number: int) -> IO[bytes]:
        """Open a file.

        Raises:
            zipfile.BadZipFile, tarfile.TarError, NotImplementedError: It is damaged, or packed in an unknown way.
        """


class _Names:
    """Names, one after the other."""

    def __init__(self) -> None:
        self._all, self._ends = bytearray(), array("Q", [0])

    def add(self, name: str) -> int:
        """Add a name; return its number."""
        self._all += name.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._all))
        return len(self._ends) - 2

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number : number + 2]
        return self._all[start:end].decode("utf-8", "surrogatepass")


class ZipFiles:
    """The files of a zip archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Begin with none of those that an open archive has."""
        self._archive, self._names = archive, _Names()
        self._places = array("Q")  # of each: where it begins, its size packed and unpacked
        self._facts = array("I")  # of each: checksum, flags, and how it is packed

    def add(self, info: zipfile.ZipInfo) -> int:
        """Add a file; return its number."""
        self._places.extend((info.header_offset, info.compress_size, info.file_size))
        self._facts.extend((info.CRC, info.flag_bits, info.compress_type))
        return self._names.add(info.orig_filename)

    def open(self, number: int) -> IO[bytes]:
        """Open a file; see ``Held``."""
        info = zipfile.ZipInfo(self._names[number])
        info.orig_filename = self._names[number]  # compared with what is written before the file
        info.header_offset, info.compress_size, info.file_size = self._places[3 * number : 3 * number + 3]
        info.CRC, info.flag_bits, info.compress_type = self._facts[3 * number : 3 * number + 3]
        return self._archive.open(info)


class TarFiles:
    """The files of a tar archive."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        """Begin with none of those that an open archive has."""
        self._archive = archive
        self._places = array("Q")  # of each: where its content begins, and its size
        self._sparse: dict[int, tarfile.TarInfo] = {}

    def add(self, info: tarfile.TarInfo) -> int:
        """Add a file; return its number."""
        number = len(self._places) // 2
        self._places.extend((info.offset_data, info.size))
        if info.issparse():
            self._sparse[number] = info
        return number

    def open(self, number: int) -> IO[bytes]:
        """Open a file; see ``Held``."""
        info = self._sparse.get(number)
        if info is None:
            info = tarfile.TarInfo()
            info.offset_data, info.size = self._places[2 * number : 2 * number + 2]
        return cast("IO[bytes]", self._archive.extractfile(info))
