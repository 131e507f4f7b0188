"""Archives: ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` and ``.tar.xz``, read in place.

Nothing is written into the file system, save unnamed temporary files that hold an unpacked tar archive or an archive
within the archive. Archives may be hostile:

- what they say they unpack to is counted before, and what they do unpack to while it is read;
- paths that are absolute or lead out of the archive, links and special files are left out and told;
- of several files of one name the last one counts, as when unpacked, and the others are told.

An archive whose files all lie in one folder is read as that folder, since that one is often named after a version. One
that holds nothing but archives, as those of Notion do, is read as what these hold.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from docsim.errors import SourceError
from docsim.ingest import encodings, file_names, folders
from docsim.ingest.trees import xz
from docsim.ingest.trees.packed_files import Held, TarFiles, ZipFiles
from docsim.ingest.trees.tree import Tree
from docsim.models import Failure, LeftOut
from docsim.text.storing import composed

__all__ = ["MEMBERS", "RATIO", "UNPACKED_EXEMPT", "Archive", "is_archive"]

RATIO = 200
"""How many times larger than the archive what it unpacks to may be, if that is more than ``UNPACKED_EXEMPT`` bytes."""

UNPACKED_EXEMPT = 50_000_000
"""The unpacked size, in bytes, up to which the ratio does not matter."""

MEMBERS = 1_000_000
"""The most files of an archive."""

_DEEPEST = 3  # archives within archives
_SUFFIX = re.compile(r"\.(?:zip|tar|tgz|tar\.gz|tbz2?|tar\.bz2|txz|tar\.xz)\Z", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError)
_JUNK = re.compile(r"(?:^|/)(?:__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive, by its name; Office files are none, though they are made as such."""
    return bool(_SUFFIX.search(path.name))


@dataclass(frozen=True, slots=True)
class _Member:
    """One file of an archive: its path as written, and its number in what holds it; or why it is left out."""

    written: str
    held: Held | None = None
    number: int = 0
    reason: str = ""

    def open(self) -> IO[bytes]:
        if self.held is None:
            raise SourceError("there is no such file in the archive")
        return self.held.open(self.number)


class _Budget:
    """What may still be unpacked, in bytes and files."""

    def __init__(self, size: int) -> None:
        self._most = max(UNPACKED_EXEMPT, RATIO * size)
        self._members = MEMBERS
        self._spent = 0

    def spend(self, size: int, *, members: int = 0) -> None:
        self._spent += size
        self._members -= members
        if self._spent > self._most:
            raise SourceError(
                f"the archive unpacks to more than {self._most // 1_000_000} MB, more than is safe to read"
            )
        if self._members < 0:
            raise SourceError(f"the archive has more than {MEMBERS:,} files, more than is safe to read")


class Archive(Tree):
    """The files of an archive.

    Attributes:
        root: The one folder that all files lie in, which their paths leave out; empty where there is none.
    """

    def __init__(self, place: Path, include: tuple[str, ...] = ()) -> None:
        super().__init__(place, file_names.stem(place.name), include)
        self._open_files = contextlib.ExitStack()
        self._left: list[LeftOut] = []
        try:
            stream = self._open_files.enter_context(place.open("rb"))
            found = self._members(stream, place.name, _Budget(place.stat().st_size), 1)
        except BaseException:
            self._open_files.close()
            raise
        self.root = _common_folder(list(found))
        self._found = {path[len(self.root) :]: (one.held, one.number) for path, one in found.items()}

    def close(self) -> None:
        self._open_files.close()

    def glance(self) -> Sequence[str]:
        return tuple(self._found)

    def _files(self) -> Iterator[str | Failure | LeftOut]:
        yield from self._left
        for path in sorted(self._found):
            hidden = any(step.startswith(".") for step in path.split("/"))
            yield LeftOut(path, "hidden") if hidden else path

    def documents(self, *, also: tuple[str, ...] = ()) -> Iterator[str | Failure | LeftOut]:
        for path in self.files:
            reason = folders.unread(path, self.include + also) or self._reason_within(path, self.include + also)
            yield LeftOut(path, reason) if reason else path

    def _reason_within(self, path: str, include: Sequence[str]) -> str:
        try:
            return folders.unread_content(path, self.read(path, most=encodings.SNIFFED), include)
        except SourceError:
            return ""  # reading it as a document will say why

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        try:
            with _Member(path, *self._found.get(path, (None, 0))).open() as stream:
                yield stream
        except _DAMAGED as error:
            raise SourceError(f"the file is damaged in the archive: {error}") from error

    def _members(self, stream: IO[bytes], name: str, budget: _Budget, depth: int) -> dict[str, _Member]:
        """Return what an archive holds, by path; what is left out goes into ``_left``."""
        try:
            members = list(self._listed(stream, name, budget))
        except SourceError:
            raise
        except Exception as error:  # whatever a hostile archive makes the reader do
            raise SourceError(f"the archive is damaged, or cut short: {str(error) or type(error).__name__}") from error
        found: dict[str, _Member] = {}
        for one in members:
            path = _safe(one.written)
            if not path or one.reason:
                self._left.append(LeftOut(_shown(one.written), one.reason or "path out of the archive"))
            elif not _JUNK.search(path):
                if path in found:
                    self._left.append(LeftOut(path, "replaced by a later file of the same name"))
                found[path] = one
        return self._nested(found, budget, depth) if depth < _DEEPEST else found

    def _listed(self, stream: IO[bytes], name: str, budget: _Budget) -> Iterator[_Member]:
        if name.lower().endswith(".zip"):
            archive = self._open_files.enter_context(zipfile.ZipFile(stream))
            yield from _zip_members(archive, budget)
            return
        packers: dict[str, Callable[..., object]] = {
            "gz": gzip.open,
            "tgz": gzip.open,
            "bz2": bz2.open,
            "tbz": bz2.open,
            "tbz2": bz2.open,
            "xz": xz.opened,
            "txz": xz.opened,
        }
        packer = packers.get(name.lower().rpartition(".")[2])
        if packer is not None:
            stream = self._copied(cast("IO[bytes]", packer(stream, "rb")), budget)
        packed = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115  # closed with the others
        yield from _tar_members(self._open_files.enter_context(packed), budget)

    def _copied(self, stream: IO[bytes], budget: _Budget) -> IO[bytes]:
        """Return what can be read in any order: a temporary file with what a stream gives, counted as it comes."""
        target: IO[bytes] = self._open_files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        while piece := stream.read(1 << 20):
            budget.spend(len(piece))
            target.write(piece)
        target.seek(0)
        return target

    def _nested(self, found: dict[str, _Member], budget: _Budget, depth: int) -> dict[str, _Member]:
        """Return what the archives within an archive hold, if it holds nothing else."""
        if not found or not all(_SUFFIX.search(path) for path in found):
            return found
        inner: dict[str, _Member] = {}
        for path, member in found.items():
            with member.open() as stream:
                copy = self._copied(stream, budget)
            is_part = len(found) == 1 or re.search(r"part-?\d+\.zip\Z", path, re.IGNORECASE)
            before = "" if is_part else f"{_SUFFIX.sub('', path)}/"
            held = self._members(copy, path, budget, depth + 1)
            inner |= {before + path: member for path, member in held.items()}
        return inner


def _zip_members(archive: zipfile.ZipFile, budget: _Budget) -> Iterator[_Member]:
    held, infos = ZipFiles(archive), archive.infolist()
    budget.spend(sum(one.file_size for one in infos), members=len(infos))
    if any(one.flag_bits & 1 for one in infos):
        raise SourceError("the archive is protected by a password; unpack it, and index the folder")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.filename.endswith("/") or kind == stat.S_IFDIR:
            continue
        if kind not in (0, stat.S_IFREG):
            yield _Member(_zip_name(info), reason="symbolic link" if kind == stat.S_IFLNK else "special file")
        else:
            yield _Member(_zip_name(info), held, held.add(info))
    infos.clear()  # each takes half a kilobyte
    archive.NameToInfo.clear()


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a name; many programs write UTF-8 without saying so."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return info.filename
    with contextlib.suppress(UnicodeError):
        return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _tar_members(archive: tarfile.TarFile, budget: _Budget) -> Iterator[_Member]:
    held = TarFiles(archive)
    for info in archive:
        budget.spend(info.size if info.isfile() else 0, members=1)
        if info.isfile():
            yield _Member(info.name, held, held.add(info))
        elif not info.isdir():
            yield _Member(info.name, reason="link" if info.islnk() or info.issym() else "special file")
    archive.getmembers().clear()  # each takes a kilobyte


def _safe(written: str) -> str:
    """Return the path of a file in an archive; nothing for one that leads out of it, or is none."""
    path = written.replace("\\", "/")
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if path.startswith("/") or _DRIVE.match(path) or _CONTROLS.search(path) or ".." in steps:
        return ""
    return composed("/".join(steps)).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shown(written: str) -> str:
    return _CONTROLS.sub("\ufffd", written).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all files lie in, with a slash; nothing where there is none, or a hidden one."""
    first, slash, _ = next(iter(paths), "").partition("/")
    is_common = slash and not first.startswith(".") and all(path.startswith(f"{first}/") for path in paths)
    return f"{first}/" if is_common else ""
