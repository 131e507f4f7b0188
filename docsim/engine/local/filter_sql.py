"""Conditions as SQL over the table ``documents``: the only place that knows how the local engine evaluates a filter.

Every value and every field name becomes a parameter of the SQL, never a part of its text. What a condition means is
described in ``docsim.filters.condition``; its limits leave room within SQLite's:

- SQLite joins at most 64 tables; a field is one table for each of its names (``MAX_NAMES``), and one for a list.
- An expression is at most 1,000 levels deep, and a chain of ANDs or ORs has a level for each of its parts
  (``MAX_CONDITIONS``).
- The parser has a stack of 100 entries, of which nested parentheses take several (``MAX_NESTING``).
- A pattern of LIKE has at most 50,000 bytes; an expression has at most 10,000 characters, of up to 4 bytes.

Two things are SQLite's own. LIKE takes the noncharacters U+FFFE and U+FFFF for U+FFFD. Metadata that SQLite does not
read as JSON, such as lists nested more than 1,000 deep, count as having no fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from docsim.engine import condition_sql
from docsim.engine.condition_sql import Expression, Single, parameters
from docsim.filters.condition import (
    OWN_FIELDS,
    Compare,
    Condition,
    Exists,
    Field,
    Holds,
    IsObject,
    Operator,
    Under,
    Value,
    is_instant,
)

__all__ = ["Expression", "compiled"]


def compiled(condition: Condition) -> Expression:
    """Return the SQL expression that is 1 for the documents that meet a condition, and 0 for the others.

    Raises:
        TypeError: It asks about words, which ``docsim.engine.local.filtering`` looks up.
    """
    return condition_sql.compiled(condition, _single)


def _single(condition: Single) -> Expression:
    match condition:
        case Holds():
            raise TypeError("SQL knows nothing of words")
        case Compare():
            return _comparison(condition)
        case Exists(field) | IsObject(field):
            return _of_field(field, "f.type = 'object'" if isinstance(condition, IsObject) else "f.type <> 'null'")
        case Under(path):  # "0" is the character after "/"
            return Expression("(id = ? OR (id >= ? AND id < ?))", (path, f"{path}/", f"{path}0"))


def _of_field(field: Field, test: str, of_test: tuple[str, ...] = ()) -> Expression:
    """Return the condition that a field exists and passes a test.

    Args:
        field: Its names.
        test: SQL over ``f``, the row of ``json_each`` that the field's last name leads to.
        of_test: The parameters of ``test``.
    """
    last = len(field) - 1
    whole = f"json_insert(metadata, '$.{field[0]}', documents.{field[0]})" if field[0] in OWN_FIELDS else "metadata"
    tables, keys, json_text = [], [], f"CASE WHEN json_valid(metadata) THEN {whole} END"
    for level in range(len(field)):
        row = "f" if level == last else f"f{level}"
        tables.append(f"json_each({json_text}) {row}")
        keys.append(f"{row}.key = ?")
        json_text = f"CASE {row}.type WHEN 'object' THEN {row}.value END"
    sql = f"EXISTS (SELECT 1 FROM {', '.join(tables)} WHERE {' AND '.join(keys)} AND ({test}))"
    return Expression(sql, field + of_test)


def _comparison(condition: Compare) -> Expression:
    """Return the condition that one value of a field, or one element of its list, passes the test."""
    tests = [test for kind in _KINDS if (test := kind(condition.operator, condition.values))]
    sql = " OR ".join(test.sql for test in tests) or "0"
    on_element, on_value = sql.format(v="v"), sql.format(v="f")
    either = (
        f"CASE f.type WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(f.value) v WHERE {on_element})"
        f" ELSE {on_value} END"
    )
    return _of_field(condition.field, either, parameters(tests) * 2)


# The test of one value of a field: a function for each type of what it is compared with, which returns None if there is
# nothing of that type. In the SQL, {v} stands for the row of json_each that holds the value.


def _string(operator: Operator, values: Sequence[Value]) -> Expression | None:
    strings = [value for value in values if isinstance(value, str)]
    if not strings:
        return None
    match operator:
        case "=":
            test, parameter = "{v}.value IN (SELECT value FROM json_each(?))", json.dumps(strings, ensure_ascii=False)
        case "like":
            test, parameter = "{v}.value LIKE ?", strings[0]
        case "contains":
            test, parameter = "instr(lower({v}.value), lower(?))", strings[0]
        case "<" | "<=" | ">" | ">=" if is_instant(strings[0]):
            return _instant(operator, strings[0])
        case "<" | "<=" | ">" | ">=":
            test, parameter = f"{{v}}.value {operator} ?", strings[0]
    return Expression(f"({{v}}.type = 'text' AND {test})", (parameter,))


_MILLISECONDS = "round((julianday({}) - 2440587.5) * 86400000)"
_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


def _instant(operator: Operator, value: str) -> Expression:
    """Compare points in time, whatever their time zones; strings that are none compare as strings."""
    here, there = _MILLISECONDS.format("{v}.value"), _MILLISECONDS.format("?")
    form = f"({{v}}.value GLOB '{_DATE}' OR {{v}}.value GLOB '{_DATE}[T ][0-9][0-9]:[0-9][0-9]*')"
    both = f"{form} AND julianday({{v}}.value) IS NOT NULL"
    sql = f"CASE WHEN {both} THEN {here} {operator} {there} ELSE {{v}}.value {operator} ? END"
    return Expression(f"({{v}}.type = 'text' AND {sql})", (value, value))


_NUMBER = (
    "CASE {v}.type WHEN 'integer' THEN {v}.value {test} WHEN 'real' THEN {v}.value {test} WHEN 'text' THEN"
    " CASE WHEN json_valid({v}.value) THEN json_type({v}.value) IN ('integer', 'real')"
    " AND json_extract({v}.value, '$') {test} END END"
)


def _number(operator: Operator, values: Sequence[Value]) -> Expression | None:
    """Compare numbers; SQLite reads both sides from JSON, so that the same spelling gives the same number."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return None
    if operator == "=":
        test, parameter = "IN (SELECT value FROM json_each(?))", json.dumps(numbers)
    else:
        test, parameter = f"{operator} json_extract(?, '$')", json.dumps(numbers[0])
    sql = _NUMBER.replace("{test}", test)
    return Expression(f"coalesce({sql}, 0)", (parameter,) * sql.count("?"))


def _boolean(operator: Operator, values: Sequence[Value]) -> Expression | None:
    types = {"true" if value else "false" for value in values if isinstance(value, bool)}
    if not types:
        return None
    return Expression("{v}.type IN (SELECT value FROM json_each(?))", (json.dumps(sorted(types)),))


_KINDS: tuple[Callable[[Operator, Sequence[Value]], Expression | None], ...] = (_string, _number, _boolean)
