"""Checks of an index that may come from a stranger, before it is read: nothing in it may take any amount of time.

A pipe in the place of a file may never be answered, and a device may have no end. In a database a view in the place of
a table, a trigger or a computed column could do anything whenever something is read or written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from docsim.errors import StoreError

__all__ = ["check_files", "check_schema"]

_COMPUTES = """
SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')
UNION ALL SELECT 'virtual table', name FROM sqlite_master WHERE type = 'table' AND rootpage = 0
UNION ALL SELECT 'computed column', made.name || '.' || found.name
    FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS found WHERE made.type = 'table' AND found.hidden > 1
"""


def check_files(folder: Path) -> None:
    """Check that a folder holds files and folders only, at any depth; links to files are fine.

    Raises:
        StoreError: Something else is in it.
    """
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as found:  # it may be removed just now
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    waiting.append(one.path)
                elif not one.is_file() and _is_special(Path(one.path)):
                    raise StoreError(
                        f"expected files in the index at {folder}; {Path(one.path).relative_to(folder)} is a device or "
                        "a pipe, which docsim never makes. Remove it, then verify the index",
                        hint="docsim verify",
                    )


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_dir()


def check_schema(connection: sqlite3.Connection) -> None:
    """Check that a database is made of tables and indexes only.

    Raises:
        sqlite3.DatabaseError: It is not.
    """
    for kind, name in connection.execute(_COMPUTES):
        raise sqlite3.DatabaseError(f"it has a {kind}, {str(name)[:60]!r}, which docsim never makes")
