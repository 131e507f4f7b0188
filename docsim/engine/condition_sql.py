"""SQL of conditions, as far as it is the same in both engines: how the parts of a condition are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from docsim.filters.condition import All, Compare, Condition, Either, Exists, Holds, IsObject, Not, Under

__all__ = ["Expression", "Single", "compiled", "joined", "parameters"]

Single = Compare | Exists | IsObject | Under | Holds
"""A condition that has no other conditions as its parts."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An SQL expression over the columns of ``documents``, true or false for each document, never NULL.

    Attributes:
        sql: Its text. Values and field names are placeholders in it.
        parameters: The values of its placeholders, in order.
    """

    sql: str
    parameters: tuple[Any, ...] = ()


def compiled(condition: Condition, single: Callable[[Single], Expression]) -> Expression:
    """Return the SQL expression that is true for the documents that meet a condition.

    Args:
        condition: The condition.
        single: Returns the expression of one that has no parts.
    """
    match condition:
        case Not(part):
            opposite = compiled(part, single)
            return Expression(f"NOT ({opposite.sql})", opposite.parameters)
        case All(parts):
            return joined(" AND ", [compiled(part, single) for part in parts], empty="true")
        case Either(parts):
            return joined(" OR ", [compiled(part, single) for part in parts], empty="false")
        case _:
            return single(condition)


def joined(word: str, parts: Sequence[Expression], *, empty: str) -> Expression:
    """Return one expression of several.

    Args:
        word: ``" AND "`` or ``" OR "``.
        parts: The expressions.
        empty: The SQL when there are none.
    """
    return Expression(f"({word.join(part.sql for part in parts) or empty})", parameters(parts))


def parameters(parts: Iterable[Expression]) -> tuple[Any, ...]:
    """Return the parameters of several expressions, in order."""
    return tuple(parameter for part in parts for parameter in part.parameters)
