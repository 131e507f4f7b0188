"""Files that belong to an index, kept in the database in pieces and copied to the cache of this machine when needed.

    encoder 3, base 3, report 3, alignment 3     of generation 3
    words                                        segments, named after their checksums

A search server needs nothing but the address: it fetches an encoder once, into a folder named after the content.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docsim import offline
from docsim.engine.postgres.queries import Queries
from docsim.errors import StoreError

__all__ = ["cache", "checksum", "delete", "explained", "fetch", "fetch_directory", "keep", "keep_directory", "size"]

PIECE = 8_000_000
"""Bytes of a row: one value holds at most 1 GB, and is sent as a whole."""


def cache(kind: str) -> Path:
    """Return the folder of this machine's copies of a kind of files."""
    return offline.cache_folder() / "postgresql" / kind


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turn the ``OSError`` of a file that cannot be read or written into a ``StoreError``."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"could not write to {place}, where files of the index are kept on this machine: {error.strerror or error}"
        ) from error


def keep(queries: Queries, owner: str, file: Path, *, name: str | None = None) -> None:
    """Keep a file in the database, in the transaction that is open."""
    sql = "INSERT INTO files (owner, name, piece, content) VALUES (%s, %s, %s, %s)"
    with file.open("rb") as opened:
        piece = 0
        while (content := opened.read(PIECE)) or not piece:
            queries.execute(sql, owner, name or file.name, piece, content)
            piece += 1


def keep_directory(queries: Queries, owner: str, folder: Path) -> None:
    """Keep all files of a folder, instead of those that were kept before, in the transaction that is open."""
    delete(queries, owner)
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        keep(queries, owner, file, name=file.relative_to(folder).as_posix())


def delete(queries: Queries, *owners: str) -> None:
    """Forget all files of some owners, in the transaction that is open."""
    queries.execute("DELETE FROM files WHERE owner = ANY(%s)", list(owners))


def size(queries: Queries, *owners: str) -> int:
    """Return how many bytes the files of some owners take."""
    sql = "SELECT coalesce(sum(octet_length(content)), 0) FROM files WHERE owner = ANY(%s)"
    return int(queries.value(sql, list(owners)))


def fetch(queries: Queries, owner: str, name: str, target: Path) -> bool:
    """Copy a file to a path that appears when it is complete; return whether there is such a file."""
    rows = queries.rows("SELECT piece FROM files WHERE owner = %s AND name = %s ORDER BY piece", owner, name)
    if not rows:
        return False
    sql = "SELECT content FROM files WHERE owner = %s AND name = %s AND piece = %s"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            for (piece,) in rows:
                file.write(queries.binary(sql, owner, name, piece)[0])
            file.close()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return True


def checksum(queries: Queries, owner: str) -> str | None:
    """Return a checksum of all files of an owner; None where there are none."""
    sql = (
        "SELECT name, encode(sha256(string_agg(sha256(content), ''::bytea ORDER BY piece)), 'hex') FROM files"
        " WHERE owner = %s GROUP BY name ORDER BY name"
    )
    listed = queries.rows(sql, owner)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest() if listed else None


def fetch_directory(queries: Queries, owner: str, target: Path) -> bool:
    """Copy all files of an owner to a folder that appears when it is complete, and replaces what was there.

    Returns:
        Whether there are such files.
    """
    names = [name for (name,) in queries.rows("SELECT DISTINCT name FROM files WHERE owner = %s", owner)]
    if not names:
        return False
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            made = Path(temporary, "files")
            for name in names:
                if not (made / name).resolve().is_relative_to(made.resolve()):
                    raise StoreError(f"expected files below one folder in the database, found {name!r}")
                fetch(queries, owner, name, made / name)
            shutil.rmtree(target, ignore_errors=True)
            try:
                made.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was quicker
                    raise
    return True
