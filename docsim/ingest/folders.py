"""Folders: which of the files below a folder are documents.

Documents are files of the formats in ``docsim.ingest.formats``, manual pages, and text files without a suffix, such as
``README`` and ``LICENSE``. These are skipped silently:

- what ``.gitignore`` and ``.docsimignore`` files exclude, with git's rules of precedence; within one folder,
  ``.docsimignore`` overrides ``.gitignore``;
- hidden files and folders;
- symbolic links, because their target is either in the folder anyway or does not belong to it;
- folders that are docsim indexes;
- source code, data (``.json``, ``.csv``, ``.jsonl``) and binary files; to read one, name it as a source of its own;
- scripts and build files without a suffix (``Makefile``, ``Dockerfile``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from docsim.files import INDEX_FILE
from docsim.ingest import formats, gitignore, manpages
from docsim.models import Failure

__all__ = ["files"]

_IGNORE_FILES = (".gitignore", ".docsimignore")
_INDEX = {INDEX_FILE, "generations"}

_Rules = tuple[str, gitignore.Rules]  # the path of a folder, as in _Folder, and the patterns of its ignore files


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that has not been read yet.

    Attributes:
        path: Its path relative to the root; ends with ``/``, except that the root's own is empty.
        rules: The ignore patterns of the folders above it, outermost first.
    """

    path: str
    rules: tuple[_Rules, ...]


def files(root: Path) -> Iterator[str | Failure]:
    """Yield the path of every document below a folder, in sorted order.

    Args:
        root: The folder.

    Yields:
        Paths relative to ``root``, with ``/`` as separator; and a ``Failure`` for each file or folder that cannot be
        read, with ``identified`` false for a folder.
    """
    pending: list[_Folder | str] = [_Folder("", ())]
    while pending:
        item = pending.pop()
        try:
            if isinstance(item, _Folder):
                pending.extend(reversed(_listed(root, item)))
            elif _is_document(root, item):
                yield item
        except OSError as error:
            is_folder = isinstance(item, _Folder)
            path = item.path if isinstance(item, _Folder) else item
            yield Failure(path or "./", f"could not be read: {error.strerror}", identified=not is_folder)


def _listed(root: Path, folder: _Folder) -> list[_Folder | str]:
    """Return the folders and possible documents in a folder, sorted by name."""
    with os.scandir(root / folder.path) as listing:
        found = sorted(listing, key=lambda entry: entry.name)
    names = {entry.name for entry in found}
    if names >= _INDEX:
        return []
    rules = _rules(root, folder, names)
    items: list[_Folder | str] = []
    for entry in found:
        path = folder.path + entry.name
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            if not _is_ignored(path, rules, is_folder=True):
                items.append(_Folder(path + "/", rules))
        elif entry.is_file() and _may_be_document(entry.name) and not _is_ignored(path, rules, is_folder=False):
            items.append(path)
    return items


def _rules(root: Path, folder: _Folder, names: set[str]) -> tuple[_Rules, ...]:
    """Return the ignore patterns that apply in a folder, those of the folder itself last."""
    lines: list[str] = []
    for name in _IGNORE_FILES:
        if name in names:
            text = (root / folder.path / name).read_text("utf-8-sig", "surrogateescape")
            lines.extend(text.split("\n"))
    return (*folder.rules, (folder.path, gitignore.parse(lines))) if lines else folder.rules


def _is_ignored(path: str, rules: tuple[_Rules, ...], *, is_folder: bool) -> bool:
    """Return whether a path is ignored. The innermost folder with a pattern for the path decides."""
    for base, one in reversed(rules):
        ignored = one.ignores(path[len(base) :], is_folder=is_folder)
        if ignored is not None:
            return ignored
    return False


def _may_be_document(name: str) -> bool:
    """Return whether a file may be a document, as far as its name tells."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in formats.SUFFIXES or suffix in manpages.SUFFIXES or not (suffix or name.lower().endswith("file"))


def _is_document(root: Path, path: str) -> bool:
    """Return whether a file is a document. One that its suffix does not identify must be text, and not a script."""
    if PurePosixPath(path).suffix.lower() in formats.SUFFIXES:
        return True
    with (root / path).open("rb") as file:
        head = file.read(formats.SNIFFED)
    return not (formats.is_binary(head) or head.startswith(b"#!"))
