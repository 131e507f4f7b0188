"""Folders: which of the files below a folder are documents.

Documents are files of the formats in ``docsim.ingest.formats``, manual pages, and text files without a suffix, such as
``README`` and ``LICENSE``. What is left out is told, with the reason:

- what ignore files exclude (``docsim.ingest.ignore_files``), hidden files and folders, lock files of Office;
- symbolic links, because their target is either in the folder anyway or does not belong to it;
- folders that are docsim indexes;
- source code, data (``.json``, ``.csv``, ``.jsonl``) and binary files, unless a pattern includes them;
- scripts and build files without a suffix (``Makefile``, ``Dockerfile``).
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from docsim.files import INDEX_FILE
from docsim.ingest import encodings, file_names, formats, ignore_files, manpages, record_files
from docsim.models import Failure, LeftOut

__all__ = ["files", "unread", "unread_content"]

_INDEX = {INDEX_FILE, "generations"}
_NAMED_IN_CAPITALS = re.compile(r"[A-Z][A-Z_-]{2,}\.[A-Za-z_]{2,10}\Z")  # README.de, COPYING.LESSER


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that has not been read yet.

    Attributes:
        path: Its path relative to the root; ends with ``/``, except that the root's own is empty.
        patterns: The ignore patterns of the folders above it, outermost first.
    """

    path: str
    patterns: tuple[ignore_files.Patterns, ...]


def files(root: Path, *, include: Sequence[str] = ()) -> Iterator[str | Failure | LeftOut]:
    """Yield the path of every document below a folder, in sorted order.

    Args:
        root: The folder.
        include: Patterns, such as ``*.json``, of the names or paths of files that are read whatever their suffix.

    Yields:
        Paths relative to ``root``, with ``/`` as separator; a ``LeftOut`` for each file or folder that is left out; and
        a ``Failure`` for each that cannot be read, with ``identified`` false for a folder.
    """
    pending: list[_Folder | str | LeftOut | Failure] = [_Folder("", ignore_files.above(root.resolve()))]
    while pending:
        item = pending.pop()
        try:
            if isinstance(item, _Folder):
                pending.extend(reversed(_listed(root, item, include)))
            elif isinstance(item, str):
                reason = _reason_within(root, item, include)
                yield LeftOut(item, reason) if reason else item
            else:
                yield item
        except OSError as error:
            assert isinstance(item, str | _Folder)
            is_folder = isinstance(item, _Folder)
            path = item.path if isinstance(item, _Folder) else item
            yield Failure(path or "./", f"could not be read: {error.strerror}", identified=not is_folder)


def _listed(root: Path, folder: _Folder, include: Sequence[str]) -> list[_Folder | str | LeftOut | Failure]:
    """Return what is in a folder, sorted by name: folders and possible documents, and what is left out."""
    with os.scandir(root / folder.path) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    names = {entry.name for entry in found}
    if names >= _INDEX:
        return [LeftOut(folder.path or "./", "docsim index")]
    items: list[_Folder | str | LeftOut | Failure] = []
    patterns = folder.patterns
    try:
        patterns += ignore_files.within(root, folder.path, names)
    except OSError as error:
        reason = f"the ignore file could not be read, so that nothing was ignored: {error.strerror}"
        items.append(Failure(f"{folder.path}.gitignore", reason))
    for entry in found:
        path, is_folder = folder.path + entry.name, entry.is_dir(follow_symlinks=False)
        if reason := _reason(entry, path, patterns, include):
            items.append(LeftOut(f"{path}/" if is_folder else path, reason))
        else:
            items.append(_Folder(f"{path}/", patterns) if is_folder else path)
    return items


def _reason(
    entry: os.DirEntry[str], path: str, patterns: tuple[ignore_files.Patterns, ...], include: Sequence[str]
) -> str:
    """Return why something in a folder is left out, as far as its name tells; empty when it is not."""
    is_folder = entry.is_dir(follow_symlinks=False)
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_symlink():
        return "symbolic link"
    if ignore_files.is_ignored(path, patterns, is_folder=is_folder):
        return "ignored"
    if is_folder:
        return ""
    if not entry.is_file():
        return "special file"
    return unread(path, include)


def unread(path: str, include: Sequence[str] = ()) -> str:
    """Return why a file is not read, as far as its name tells; empty when it is."""
    name = path.rpartition("/")[2]
    if name.startswith("~$"):
        return "lock file"
    found = file_names.suffix(name)
    if _is_included(path, include) or found in formats.SUFFIXES or found in manpages.SUFFIXES:
        return ""
    if _NAMED_IN_CAPITALS.match(name) and not record_files.is_table(name):
        return ""
    if found:
        return found
    return "build file" if name.lower().endswith("file") else ""


def _is_included(path: str, include: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path if "/" in pattern else name, pattern) for pattern in include)


def _reason_within(root: Path, path: str, include: Sequence[str]) -> str:
    """Return why a file is left out, by its content."""
    if file_names.suffix(path) in formats.SUFFIXES:
        return ""
    with (root / path).open("rb") as file:
        return unread_content(path, file.read(encodings.SNIFFED), include)


def unread_content(path: str, head: bytes, include: Sequence[str] = ()) -> str:
    """Return why a file is not read, by its first bytes: what has no known suffix must be text, and no script."""
    if file_names.suffix(path) in formats.SUFFIXES:
        return ""
    if encodings.is_binary(head):
        return "" if _is_included(path, include) else "binary file"
    return "script" if head.startswith(b"#!") and not _is_included(path, include) else ""
