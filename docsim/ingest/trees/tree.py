"""Trees: what a form sees of a source. Paths are relative to it, with ``/`` as separator."""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from docsim.errors import SourceError
from docsim.ingest import encodings, file_names, folders, formats
from docsim.ingest.conversion_pool import USUAL
from docsim.models import Failure, LeftOut
from docsim.text.storing import composed

__all__ = ["FILE_LIMIT", "Folder", "Single", "Tree", "id_of"]

FILE_LIMIT = 1 << 29
"""The largest file that is read as a whole, in bytes."""

_GLANCED = 2_000  # names of a folder that a form is recognised by
_DEEPEST = 8  # folders within each other that are looked at for that
_PASSED_OVER = re.compile(r"(?:^|/)(?:\.[^/]*|node_modules)/\Z")


def id_of(path: str) -> str:
    r"""Return a path as the id of a document. Bytes that are not valid UTF-8 are written as ``\xNN``."""
    id = composed(os.fsencode(path).decode("utf-8", "backslashreplace"))
    return path if id == path else id  # one string, as there may be very many


class Tree(abc.ABC):
    """The files of a source.

    Attributes:
        name: What the source is called: the name of its folder, or that of its file without suffixes.
        place: Its path in the file system.
        include: Patterns of the names of files that are read whatever their suffix.
        told: Files that are left out whatever the form, such as hidden ones, and folders that could not be read;
            complete once ``files`` was called.
        used: The files that were opened.
        how: How its files are converted.
    """

    def __init__(self, place: Path, name: str, include: tuple[str, ...] = ()) -> None:
        self.name = name
        self.place = place
        self.include = include
        self.told: list[Failure | LeftOut] = []
        self.used = set[str]()
        self.how = USUAL

    def __enter__(self) -> Tree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Close what is open."""

    @abc.abstractmethod
    def glance(self) -> Sequence[str]:
        """Return names to recognise a form by, hidden ones too: all of an archive, the first of a folder."""

    @functools.cached_property
    def files(self) -> tuple[str, ...]:
        """The path of every file, whatever its format, in sorted order; what is hidden, ignored or a link is told."""
        found: list[str] = []
        for one in self._files():
            (found if isinstance(one, str) else self.told).append(one)  # type: ignore[arg-type]
        return tuple(found)

    def __contains__(self, path: str) -> bool:
        """Return whether there is such a file, whatever its format."""
        return path in self._names

    @functools.cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.files)

    @abc.abstractmethod
    def _files(self) -> Iterator[str | Failure | LeftOut]: ...

    @abc.abstractmethod
    def documents(self, *, also: tuple[str, ...] = ()) -> Iterator[str | Failure | LeftOut]:
        """Yield the path of every file that docsim reads as a document, and what of the others is left out and why.

        Args:
            also: Patterns of the names of files that the form reads besides, such as ``*.canvas``.
        """

    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file.

        Raises:
            OSError: It cannot be opened.
            SourceError: It is damaged.
        """
        self.used.add(path)
        return self._open(path)

    @abc.abstractmethod
    def _open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]: ...

    def read(self, path: str, *, most: int | None = None) -> bytes:
        """Return the content of a file, or its first ``most`` bytes.

        Raises:
            SourceError: It cannot be read, or is too large to be read as a whole.
        """
        try:
            with self.open(path) as stream:
                data = stream.read(FILE_LIMIT + 1 if most is None else most)
        except OSError as error:
            raise SourceError(f"could not be read: {error.strerror or error}") from error
        if len(data) > FILE_LIMIT:
            raise SourceError(f"the file is larger than {FILE_LIMIT >> 20} MB")
        return data

    def text(self, path: str) -> str:
        r"""Return a file as text, in the encoding that the whole of it is in, with ``\n`` line ends.

        Raises:
            SourceError: It cannot be read.
        """
        return encodings.decode(self.read(path))

    def digest(self, path: str, *context: str) -> str:
        """Return a hash of a file's content, of how it is read, and of what else decides what becomes of it.

        Raises:
            SourceError: It cannot be read.
        """
        try:
            with self.open(path) as stream:
                hashed = hashlib.sha256()
                while piece := stream.read(1 << 20):
                    hashed.update(piece)
        except OSError as error:
            raise SourceError(f"could not be read: {error.strerror or error}") from error
        hidden = [] if self.how.hidden else ["without what is hidden"]
        hashed.update("\n".join([f"\n{formats.FORMATS_VERSION}", *hidden, *context]).encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()


class Folder(Tree):
    """A folder, without what ignore files exclude."""

    def __init__(self, place: Path, include: tuple[str, ...] = ()) -> None:
        super().__init__(place, place.name or "root", include)

    def glance(self) -> Sequence[str]:
        return self._glanced

    @functools.cached_property
    def _glanced(self) -> list[str]:
        found: list[str] = []
        level = [""]
        for _ in range(_DEEPEST):
            entries = [one for folder in level if len(found) < _GLANCED for one in self._listed(folder)]
            found += entries
            level = [one for one in entries if one.endswith("/") and not _PASSED_OVER.search(one)]
        return found

    def _listed(self, folder: str) -> list[str]:
        """Return the paths of what is in a folder, those of folders with a slash at their end; links are files."""
        try:
            with os.scandir(f"{self.place}/{folder}") as listing:
                found = [(one.name, one.is_dir(follow_symlinks=False)) for one in listing]
        except OSError:
            return []
        return sorted(f"{folder}{name}/" if is_folder else f"{folder}{name}" for name, is_folder in found)

    def _files(self) -> Iterator[str | Failure | LeftOut]:
        return folders.files(self.place, include=("*",))

    def documents(self, *, also: tuple[str, ...] = ()) -> Iterator[str | Failure | LeftOut]:
        return folders.files(self.place, include=self.include + also)

    def _open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return (self.place / path).open("rb")


class Single(Tree):
    """One file."""

    def __init__(self, place: Path, include: tuple[str, ...] = ()) -> None:
        super().__init__(place, file_names.stem(place.name), include)

    def glance(self) -> Sequence[str]:
        return (self.place.name,)

    def _files(self) -> Iterator[str | Failure | LeftOut]:
        yield self.place.name

    def documents(self, *, also: tuple[str, ...] = ()) -> Iterator[str | Failure | LeftOut]:
        yield self.place.name

    def _open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return self.place.open("rb")
