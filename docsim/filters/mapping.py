"""Mappings as filters: values by field name, as Python and JSON write them.

    {"team": "sre"}                 the field ``team`` is "sre"
    {"team": ["sre", "web"]}        it is "sre" or "web"; a tuple or a set will do, too
    {"owner": None}                 the document has no field ``owner``, or it is null
    {"owner": ["x", None]}          the field is "x", or null, or missing
    {"author": {"name": "x"}}       the field ``author`` is an object, and its field ``name`` is "x"

A document has to meet every entry of the mapping. A dot in a name has no meaning here: ``{"a.b": 1}`` asks for a field
that is called ``a.b``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from docsim.errors import UsageError
from docsim.filters.condition import (
    MAX_CONDITIONS,
    Compare,
    Condition,
    Exists,
    Field,
    IsObject,
    Not,
    Value,
    all_of,
    any_of,
)

__all__ = ["equalities"]


def equalities(wanted: Mapping[str, object]) -> Condition | None:
    """Return the condition that each field has the value given for it; None for an empty mapping.

    Raises:
        UsageError: A name is not a string, a value is of another kind, or the mapping is too large.
    """
    if (size := _size(wanted)) > MAX_CONDITIONS:
        raise UsageError(f"expected at most {MAX_CONDITIONS} names in a filter, got {size}")
    conditions = [_equal((), name, value) for name, value in wanted.items()]
    return all_of(conditions) if conditions else None


def _size(wanted: Mapping[str, object]) -> int:
    """Return the number of names in a mapping, those in inner mappings included."""
    return sum(1 + (_size(value) if isinstance(value, Mapping) else 0) for value in wanted.values())


def _equal(parent: Field, name: object, value: object) -> Condition:
    """Return the condition that the member ``name`` of the object ``parent`` equals ``value``."""
    if not isinstance(name, str):
        raise UsageError(f"expected names of fields as strings in a filter, got {name!r}")
    field = (*parent, name)
    if value is None:
        return Not(Exists(field))
    if isinstance(value, Mapping):
        return all_of([IsObject(field), *(_equal(field, inner, one) for inner, one in value.items())])
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    given = cast("tuple[Value, ...]", tuple(one for one in values if one is not None))  # Compare checks them
    equal = Compare(field, "=", given)
    return any_of([equal, Not(Exists(field))]) if None in values else equal
