"""Checks of an index that may come from a stranger, before it is read.

A pipe in the place of a file may never be answered, and a device may have no end. In a database a view in the place of
a table may have no end either, and a trigger could change anything whenever something is written.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection
from pathlib import Path

from docsim.errors import StoreError

__all__ = ["check_files", "check_schema"]

_COMPUTES = """
SELECT type, name FROM sqlite_master
    WHERE type NOT IN ('table', 'index') AND name NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT 'virtual table', name FROM sqlite_master
    WHERE type = 'table' AND rootpage = 0 AND name NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT 'computed column', made.name || '.' || found.name
    FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS found WHERE made.type = 'table' AND found.hidden > 1
"""


def check_files(folder: Path) -> None:
    """Check that a folder holds files and folders only, at any depth; links to files are fine.

    Raises:
        StoreError: Something else is in it.
    """
    waiting = [folder]
    while waiting:
        for one in _entries(waiting.pop()):
            if one.is_dir(follow_symlinks=False):
                waiting.append(Path(one.path))
            elif _is_special(one):
                raise StoreError(
                    f"expected files in the index at {folder}; {Path(one.path).relative_to(folder)} is a device or a "
                    "pipe, which docsim never makes. Remove it, then verify the index",
                    hint="docsim verify",
                )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # it was removed just now, or may not be read
        return []


def _is_special(one: os.DirEntry[str]) -> bool:
    try:
        return not one.is_file() and not one.is_dir() and Path(one.path).exists()
    except OSError:  # a link to itself, which nobody can read
        return False


def check_schema(connection: sqlite3.Connection, *, known: Collection[str] = ()) -> None:
    """Check that a database is made of tables and indexes only.

    Args:
        connection: The database.
        known: Triggers and virtual tables that an older docsim made.

    Raises:
        sqlite3.DatabaseError: It is not.
    """
    for kind, name in connection.execute(_COMPUTES, (json.dumps(list(known)),)):
        raise sqlite3.DatabaseError(f"it has a {kind}, {str(name)[:60]!r}, which docsim never makes")
