"""Conditions as SQL over the table ``documents``; every value and name is a parameter, never a part of the text.

What a condition means is described in ``docsim.filters.condition``, and how fields are kept in
``docsim.engine.postgres.fields``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from docsim.engine import condition_sql
from docsim.engine.condition_sql import Expression, Single, joined
from docsim.engine.postgres import fields
from docsim.filters.condition import (
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


def compiled(condition: Condition, holding: Callable[[Holds], Sequence[int]]) -> Expression:
    """Return the SQL expression that is true for the documents that meet a condition.

    Args:
        condition: The condition.
        holding: Returns the numbers of the documents that hold words, which SQL knows nothing of.
    """

    def single(part: Single) -> Expression:
        if isinstance(part, Holds):
            return Expression("number = ANY(%s::bigint[])", (list(holding(part)),))
        return _test(part)

    return condition_sql.compiled(condition, single)


def _test(condition: Compare | Exists | IsObject | Under) -> Expression:
    """Return the SQL expression of a condition on fields or on the id."""
    match condition:
        case Compare():
            return _comparison(condition)
        case IsObject(field):
            return Expression("fields @> %s::jsonb", (_containing(field, '{"o":true}'),))
        case Exists(field):
            return Expression("jsonb_exists(fields, %s::text)", (fields.key(field),))
        case Under(path):  # "0" is the character after "/"
            return Expression("(id = %s OR (id >= %s AND id < %s))", (path, f"{path}/", f"{path}0"))


def _containing(field: Field, told: str) -> str:
    return f"{{{json.dumps(fields.key(field), ensure_ascii=False)}:{told}}}"


def _comparison(condition: Compare) -> Expression:
    """Return the condition that one value of a field passes the test."""
    tests = [test for kind in _KINDS for test in kind(condition.field, condition.operator, condition.values)]
    return joined(" OR ", tests, empty="false")


def _equal(field: Field, kind: str, told: Sequence[str]) -> Expression:
    """Return the condition that a field has one of some values of a kind, each given as JSON."""
    wanted = [_containing(field, f'{{"{kind}":[{value}]}}') for value in told]
    return joined(" OR ", [Expression("fields @> %s::jsonb", (one,)) for one in wanted], empty="false")


def _some(field: Field, kind: str, test: str, parameter: Any) -> Expression:
    """Return the condition that one of the values of a kind that a field has, ``v``, passes a test."""
    sql = f"EXISTS (SELECT 1 FROM jsonb_array_elements_text(fields -> %s::text -> '{kind}') AS held (v) WHERE {test})"
    return Expression(sql, (fields.key(field), parameter))


_LOWERED = "translate({}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"


def _strings(field: Field, operator: Operator, values: Sequence[Value]) -> list[Expression]:
    strings = [value for value in values if isinstance(value, str)]
    if not strings:
        return []
    match operator:
        case "=":
            return [_equal(field, "s", [json.dumps(one, ensure_ascii=False) for one in strings])]
        case "like":
            return [_some(field, "s", f"{_LOWERED.format('v')} LIKE {_LOWERED.format('%s')} ESCAPE ''", strings[0])]
        case "contains":
            test = f"position({_LOWERED.format('%s')} IN {_LOWERED.format('v')}) > 0"
            return [_some(field, "s", test, strings[0])]
    compare = f'v COLLATE "C" {operator} %s'
    if not is_instant(strings[0]):
        return [_some(field, "s", compare, strings[0])]
    at = _some(field, "t", f"v::bigint {operator} %s", fields.instant(strings[0]))
    # Strings beside dates in one list; where there are none, ``p`` is missing and all strings are in ``s``.
    plain = _some(field, "p", compare, strings[0])
    only = _some(field, "s", compare, strings[0])
    dated = Expression("jsonb_exists(coalesce(fields -> %s::text, '{}'), 't')", (fields.key(field),))
    return [at, plain, Expression(f"(NOT {dated.sql} AND {only.sql})", dated.parameters + only.parameters)]


def _numbers(field: Field, operator: Operator, values: Sequence[Value]) -> list[Expression]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return []
    if operator == "=":
        return [_equal(field, "n", [fields.number(one) for one in numbers])]
    return [_some(field, "n", f"v::numeric {operator} %s::numeric", fields.number(numbers[0]))]


def _booleans(field: Field, operator: Operator, values: Sequence[Value]) -> list[Expression]:
    booleans = {str(value).lower() for value in values if isinstance(value, bool)}
    return [_equal(field, "b", sorted(booleans))] if booleans else []


_KINDS = (_strings, _numbers, _booleans)
