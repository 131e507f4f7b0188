"""Trees: the files that a source is made of, read in place, be it a folder, an archive or a single file."""

from __future__ import annotations

from pathlib import Path

from docsim.ingest.trees import archive
from docsim.ingest.trees.archive import Archive
from docsim.ingest.trees.tree import Folder, Single, Tree

__all__ = ["Archive", "Folder", "Single", "Tree", "is_archive", "opened"]

is_archive = archive.is_archive


def opened(path: Path, *, include: tuple[str, ...] = ()) -> Tree:
    """Return the tree of files at a path, to be used in a ``with`` statement.

    Args:
        path: A folder, an archive or another file.
        include: Patterns of the names of files that are read whatever their suffix.

    Raises:
        SourceError: An archive is damaged, encrypted, or unpacks to more than is safe to read.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return Folder(path, include)
    return Archive(path, include) if is_archive(path) else Single(path, include)
