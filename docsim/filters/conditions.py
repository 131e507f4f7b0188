"""Filters: which documents may be found, as a condition over the table ``documents``.

Every value and every field name is a parameter of the SQL, never part of it. A field has a *set of values*: none when
the document lacks it or has ``null`` or an object there, the elements of a list, and otherwise the one value it holds.

    =  <  <=  >  >=  in  like  contains     true when one of the values does
    !=  not in  not ...                     exactly the opposite, so true of documents that lack the field

Values of another type never match, so ``priority < 3`` says nothing of a document whose priority is ``"high"``; but a
string that spells a number counts as that number beside a number, since a CSV file has only strings. Strings compare by
code point, so ISO dates in order; ``like`` (``%`` any characters, ``_`` one) and ``contains`` ignore the case of ASCII
letters. Numbers beyond 64 bits are rounded to double precision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from docsim.errors import UsageError
from docsim.models import storable

__all__ = [
    "MAX_CONDITIONS",
    "Field",
    "Filter",
    "Value",
    "both",
    "compared",
    "either",
    "equalities",
    "exists",
    "negated",
    "under",
]

Value = str | int | float | bool
Field = tuple[str, ...]
"""The names that lead to a value: one for a field of the document, more where fields hold objects."""

MAX_NAMES = 10
"""Names in one field; SQLite joins at most 64 tables."""

MAX_CONDITIONS = 200
"""Conditions in one filter; SQLite takes no expression that is deeper than 1,000."""

MAX_NESTING = 10
"""Levels of conditions within conditions; SQLite's parser has a stack of 100."""

_NUMBER = (
    "CASE {v}.type WHEN 'integer' THEN {v}.value {test} WHEN 'real' THEN {v}.value {test} WHEN 'text' THEN"
    " CASE WHEN json_valid({v}.value) THEN json_type({v}.value) IN ('integer', 'real')"
    " AND json_extract({v}.value, '$') {test} END END"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition that each document meets or does not: never NULL.

    Attributes:
        sql: An expression over the columns of ``documents``.
        parameters: The values of its question marks, in order.
        nesting: How deep conditions lie within it.
        fields: What it asks of, each once.
    """

    sql: str
    parameters: tuple[str, ...] = ()
    nesting: int = 0
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class _Test:
    """A condition on one value, written with ``{v}`` for the row of ``json_each`` that holds it."""

    sql: str
    parameters: tuple[str, ...] = ()


def compared(field: Field, operator: str, values: Sequence[Value]) -> Filter:
    """Return the condition that one value of a field compares with one of ``values``.

    Args:
        field: Its names.
        operator: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``like`` or ``contains``; with ``=`` there may be many values.
        values: What it is compared with; strings only for ``like`` and ``contains``, no booleans for order.

    Raises:
        UsageError: A number is not finite, or the field has too many names.
    """
    tests = [test for kind in _KINDS if (test := kind(operator, values))]
    sql = " OR ".join(test.sql for test in tests) or "0"
    parameters = tuple(one for test in tests for one in test.parameters)
    matched = (
        f"CASE f.type WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each(f.value) v WHERE {sql.format(v='v')})"
        f" ELSE {sql.format(v='f')} END"
    )
    return _of_field(field, matched, parameters + parameters)


def exists(field: Field) -> Filter:
    """Return the condition that a document has a field, and not ``null`` in it."""
    return _of_field(field, "f.type <> 'null'", ())


def negated(condition: Filter) -> Filter:
    """Return the opposite of a condition."""
    return Filter(f"NOT ({condition.sql})", condition.parameters, _deeper([condition]), condition.fields)


def both(*conditions: Filter) -> Filter:
    """Return the condition that all of some conditions hold."""
    return _joined(" AND ", conditions)


def either(*conditions: Filter) -> Filter:
    """Return the condition that at least one of some conditions holds."""
    return _joined(" OR ", conditions)


def equalities(wanted: Mapping[str, object]) -> Filter | None:
    """Return the condition that each field equals its value; None when there are none.

    Args:
        wanted: Values by field name, taken literally. A list, tuple or set stands for any of its elements, None for a
            missing field, a mapping for the fields of an object.

    Raises:
        UsageError: A name is not a string, or a value of another kind.
    """
    if _size(wanted) > MAX_CONDITIONS:
        raise UsageError(f"expected at most {MAX_CONDITIONS} names in a filter, got {_size(wanted)}")
    conditions = [_equal((), name, value) for name, value in wanted.items()]
    return both(*conditions) if conditions else None


def _size(wanted: Mapping[str, object]) -> int:
    return sum(1 + (_size(value) if isinstance(value, Mapping) else 0) for value in wanted.values())


def under(prefix: str) -> Filter:
    """Return the condition that a document's id is a path or lies below it.

    ``people`` and ``people/`` mean ``people/leave.md`` and a document called ``people``, and not ``people-old/x.md``.
    """
    path = storable(prefix).removeprefix("./").rstrip("/")
    return Filter("(id = ? OR (id >= ? AND id < ?))", (path, f"{path}/", f"{path}0"))  # "0" comes right after "/"


def _equal(above: Field, name: object, value: object) -> Filter:
    if not isinstance(name, str):
        raise UsageError(f"expected names of fields as strings in a filter, got {name!r}")
    field = (*above, storable(name))
    if value is None:
        return negated(exists(field))
    if isinstance(value, Mapping):
        held = _of_field(field, "f.type = 'object'", ())
        return both(held, *(_equal(field, inner, one) for inner, one in value.items()))
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    equal = compared(field, "=", [_checked(name, one) for one in values if one is not None])
    return either(equal, negated(exists(field))) if None in values else equal


def _checked(name: str, value: object) -> Value:
    if not isinstance(value, Value):
        raise UsageError(f"expected a string, a number or a boolean for {name!r} in a filter, got {value!r}")
    return value


def _of_field(field: Field, matched: str, parameters: tuple[str, ...]) -> Filter:
    """Return the condition that ``matched`` is true of the row ``f`` of ``json_each`` that ``field`` leads to."""
    if len(field) > MAX_NAMES:
        raise UsageError(f"expected at most {MAX_NAMES} names in one field of a filter, got {len(field)}")
    last = len(field) - 1
    rows, held = [], "CASE WHEN json_valid(metadata) THEN metadata END"
    for place in range(len(field)):
        row = "f" if place == last else f"f{place}"
        rows.append((f"json_each({held}) {row}", f"{row}.key = ?"))
        held = f"CASE {row}.type WHEN 'object' THEN {row}.value END"
    tables, keys = ", ".join(table for table, _ in rows), " AND ".join(key for _, key in rows)
    return Filter(f"EXISTS (SELECT 1 FROM {tables} WHERE {keys} AND ({matched}))", field + parameters, fields=(field,))


def _joined(word: str, conditions: Sequence[Filter]) -> Filter:
    if len(conditions) == 1:
        return conditions[0]
    parameters = tuple(one for condition in conditions for one in condition.parameters)
    fields = tuple(dict.fromkeys(field for condition in conditions for field in condition.fields))
    return Filter(f"({word.join(one.sql for one in conditions)})", parameters, _deeper(conditions), fields)


def _deeper(conditions: Sequence[Filter]) -> int:
    nesting = 1 + max(condition.nesting for condition in conditions)
    if nesting > MAX_NESTING:
        raise UsageError(f"expected a filter of at most {MAX_NESTING} levels of conditions within conditions, got more")
    return nesting


# The tests of one value, a function for each type of what it is compared with; None when there is none of that type.


def _text(operator: str, values: Sequence[Value]) -> _Test | None:
    texts = tuple(storable(value) for value in values if isinstance(value, str))
    if not texts:
        return None
    value = "{v}.value"
    test = {
        "=": f"{value} IN (SELECT value FROM json_each(?))",
        "like": f"{value} LIKE ?",
        "contains": f"instr(lower({value}), lower(?))",
    }.get(operator, f"{value} {operator} ?")
    parameter = json.dumps(texts, ensure_ascii=False) if operator == "=" else texts[0]
    return _Test(f"({{v}}.type = 'text' AND {test})", (parameter,))


def _number(operator: str, values: Sequence[Value]) -> _Test | None:
    """Compare numbers; SQLite reads both sides from JSON, so that equal text is an equal number to the last bit."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return None
    if not all(map(_finite, numbers)):
        raise UsageError("expected numbers below 1.8e308 in a filter, got one that is not")
    many = operator == "="
    test = "IN (SELECT value FROM json_each(?))" if many else f"{operator} json_extract(?, '$')"
    parameter = json.dumps(numbers) if many else json.dumps(numbers[0])
    sql = _NUMBER.replace("{test}", test)
    return _Test(f"coalesce({sql}, 0)", (parameter,) * sql.count("?"))


def _finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that no double holds
        return False


def _boolean(operator: str, values: Sequence[Value]) -> _Test | None:
    names = {"true" if value else "false" for value in values if isinstance(value, bool)}
    return _Test("{v}.type IN (SELECT value FROM json_each(?))", (json.dumps(sorted(names)),)) if names else None


_KINDS: tuple[Callable[[str, Sequence[Value]], _Test | None], ...] = (_text, _number, _boolean)
