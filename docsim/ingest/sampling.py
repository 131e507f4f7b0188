"""A sample of a source's pages, read before the source itself, to tell what most of its pages repeat.

Only what is cheap to read twice is sampled: files of a folder that are not converted, and records. Of other sources the
pages that come first have to do.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from docsim.errors import SourceError, UsageError
from docsim.ingest import conversion_pool, file_names, folders, record_files
from docsim.ingest.sources import Source, read_document
from docsim.ingest.trees.tree import id_of

__all__ = ["SAMPLED", "chosen", "pages"]

SAMPLED = 200
"""How many pages of a source tell what most of them repeat."""

_LARGEST = 1_000_000  # bytes of a file that is read twice


def chosen(paths: Iterable[str]) -> list[str]:
    """Return up to ``SAMPLED`` paths, chosen by their hashes: the same ones in any order and in any index."""
    return heapq.nsmallest(SAMPLED, paths, key=_rank)


def pages(source: Source) -> Iterator[str]:
    """Yield the texts of a sample of a source's pages. What cannot be read is left out."""
    if source.form:
        return
    try:
        if source.kind == "records":
            found = record_files.texts(Path(source.location), source.reading.columns())
            yield from (text for _, text in heapq.nsmallest(SAMPLED, found, key=lambda one: _rank(one[0])))
        elif source.kind == "folder":
            yield from _files(source)
    except (SourceError, UsageError, OSError):  # it is reported when the source is read
        return


def _files(source: Source) -> Iterator[str]:
    root, how = Path(source.location), source.reading.conversion()
    found = folders.files(root, include=source.reading.include)
    files = {id_of(one): one for one in found if isinstance(one, str) and not _is_left_out(one)}
    for id in chosen(files):
        try:
            if (root / files[id]).stat().st_size <= _LARGEST:
                yield read_document(root / files[id], id=id, how=how).text
        except (SourceError, OSError):
            continue


def _is_left_out(file: str) -> bool:
    return record_files.is_table(file) or conversion_pool.is_apart(file_names.suffix(file))


def _rank(path: str) -> tuple[int, str]:
    return zlib.crc32(path.encode(errors="surrogatepass")), path
