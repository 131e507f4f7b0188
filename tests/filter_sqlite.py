"""Filters as the local engine answers them: read, compiled and evaluated by a real SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from filter_reference import meets

from docsim.engine.local.filter_sql import compiled
from docsim.filters.condition import Condition
from docsim.filters.where import wanted
from docsim.models import Document


def selected(condition: Condition, documents: Sequence[Document]) -> list[bool]:
    """Return which documents SQLite says meet a condition; it must say 1 or 0 of each."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT, title TEXT, metadata TEXT)")
    rows = [
        (number, one.id, one.title, json.dumps(one.metadata, ensure_ascii=False, sort_keys=True))
        for number, one in enumerate(documents)
    ]
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", rows)
    expression = compiled(condition)
    sql = f"SELECT {expression.sql} FROM documents ORDER BY number"
    found = [value for (value,) in connection.execute(sql, expression.parameters)]
    connection.close()
    assert set(found) <= {0, 1}
    return [value == 1 for value in found]


def matching(where: Any, *metadata: Mapping[str, Any]) -> list[bool]:
    """Return which documents with these metadata meet a filter; SQLite and plain Python have to agree."""
    condition = wanted(where)
    assert condition is not None
    documents = [Document(str(number), "", metadata=one) for number, one in enumerate(metadata)]
    found = selected(condition, documents)
    assert found == [meets(condition, document) for document in documents]
    return found
