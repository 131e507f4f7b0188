"""Conditions give the same answers in PostgreSQL as their documentation promises, and as SQLite gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import psycopg
import pytest
from effort import examples
from filter_reference import meets
from filter_strategies import NUMBERS, PATTERNS, TEXTS, TOO_LARGE, compares, conditions, contents, documents
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import server

from docsim.engine.postgres import fields
from docsim.engine.postgres.filter_sql import compiled
from docsim.filters.condition import (
    MAX_NAMES,
    MAX_NESTING,
    All,
    Compare,
    Condition,
    Either,
    Not,
    Operator,
    Under,
    Value,
    nesting,
)
from docsim.filters.parser import MAX_CHARACTERS, parse
from docsim.models import Document

Database = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    connection: Database = psycopg.connect(server().uri, autocommit=True, prepare_threshold=None)
    connection.execute(
        'CREATE TEMPORARY TABLE documents (number bigint PRIMARY KEY, id text COLLATE "C", title text, fields jsonb)'
    )
    yield connection
    connection.close()


def selected(database: Database, condition: Condition, documents: Sequence[Document]) -> list[bool]:
    """Which documents PostgreSQL says meet a condition; it must say true or false of each."""
    database.execute("TRUNCATE documents")
    with database.cursor() as cursor, cursor.copy("COPY documents FROM STDIN") as copy:
        for number, one in enumerate(documents):
            copy.write_row((number, one.id, one.title, fields.prepared(one.id, one.title, one.metadata)))
    expression = compiled(condition, lambda _: [])
    sql: Any = f"SELECT {expression.sql} FROM documents ORDER BY number"
    found = [value for (value,) in database.execute(sql, expression.parameters or None)]
    assert set(found) <= {True, False}
    return found


@given(condition=conditions(), documents=st.lists(documents, min_size=1, max_size=4))
@settings(max_examples=examples(80, 300), deadline=None)
@pytest.mark.properties
def test_postgres_selects_what_a_brute_force_evaluation_selects(
    database: Database, condition: Condition, documents: list[Document]
) -> None:
    assert selected(database, condition, documents) == [meets(condition, document) for document in documents]


@given(condition=compares, found=contents)
@settings(max_examples=examples(80, 300), deadline=None)
@pytest.mark.properties
def test_postgres_compares_one_value_as_plain_python_does(database: Database, condition: Compare, found: Any) -> None:
    for name in reversed(condition.field):
        found = {name: found}
    document = Document("x", "", metadata=found)
    assert selected(database, condition, [document]) == [meets(condition, document)]


@pytest.mark.parametrize("operator", get_args(Operator))
def test_postgres_compares_every_pair_of_awkward_values_as_plain_python_does(
    database: Database, operator: Operator
) -> None:
    dates = ["2026-01-01T12:00+01:00", "2026-01-01T11:00:00Z", "2025-12-31 23:59:59.9995", "2026-02-30"]
    values: list[Value] = [*PATTERNS] if operator in ("like", "contains") else [*TEXTS, *NUMBERS, *dates]
    held = [*TEXTS, *NUMBERS, *TOO_LARGE, *dates, True, False, None, {}, [], {"a": 5}, [[5]], ["2026-01-01", "x"]]
    documents = [Document("x", "", metadata={"a": one}) for value in held for one in (value, [None, value])]
    for value in [*values, *([True, False] if operator == "=" else [])]:
        condition = Compare(("a",), operator, (value,))
        found = selected(database, condition, documents)
        assert found == [meets(condition, document) for document in documents], value


def test_own_fields_are_those_of_the_document_unless_its_metadata_has_them(database: Database) -> None:
    held = [Document("a/x", "", title="Guide"), Document("y", "", title="Guide", metadata={"title": "Other", "id": 7})]
    assert selected(database, parse("title = 'Guide'"), held) == [True, False]
    assert selected(database, parse("id = 7"), held) == [False, True]
    assert selected(database, Under("a"), held) == [True, False]


def test_names_and_values_are_never_part_of_the_sql(database: Database) -> None:
    condition = parse("\"x' OR true --\" = '''; DROP TABLE documents; --'")
    assert "DROP" not in compiled(condition, lambda _: []).sql
    assert selected(database, condition, [Document("x", "")]) == [False]


def test_the_largest_filters_that_are_read_run(database: Database) -> None:
    text = " or ".join([*["a.b.c.d.e.f.g.h.i.j not in (1, 'x', true)"] * 199, "b exists"])
    assert selected(database, parse(text), [Document("x", "", metadata={"a": 1})]) == [True]
    pattern = "😀" * (MAX_CHARACTERS - len("a like ''"))
    assert selected(database, parse(f"a like '{pattern}'"), [Document("x", "", metadata={"a": pattern})]) == [True]
    leaf = Compare(("a",) * MAX_NAMES, "=", (1, "x", True))
    built: Condition = leaf
    while (levels := nesting(built)) < MAX_NESTING:
        built = Not(built) if levels % 3 == 0 else All((leaf, built)) if levels % 3 == 1 else Either((leaf, built))
    document = Document("x", "", metadata={"a": 1})
    assert selected(database, built, [document]) == [meets(built, document)]
