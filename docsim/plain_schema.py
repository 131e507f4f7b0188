"""A check of SQLite files, which may come from strangers: they hold tables and indexes, and nothing that computes.

A view in the place of a table, a trigger or a column that is computed could take any amount of time and memory whenever
something is read or written.
"""

from __future__ import annotations

import sqlite3

__all__ = ["check"]

_COMPUTES = """
SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')
UNION ALL SELECT 'virtual table', name FROM sqlite_master WHERE type = 'table' AND rootpage = 0
UNION ALL SELECT 'computed column', made.name || '.' || found.name
    FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS found WHERE made.type = 'table' AND found.hidden > 1
"""


def check(connection: sqlite3.Connection) -> None:
    """Check that a database is made of tables and indexes only.

    Raises:
        sqlite3.DatabaseError: It is not.
    """
    for kind, name in connection.execute(_COMPUTES):
        raise sqlite3.DatabaseError(f"it has a {kind}, {str(name)[:60]!r}, which docsim never makes")
