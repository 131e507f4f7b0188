"""The arguments ``where`` and ``within`` of a search, turned into one condition."""

from __future__ import annotations

from collections.abc import Mapping

from docsim.errors import UsageError
from docsim.filters.condition import Condition, Under, all_of
from docsim.filters.mapping import equalities
from docsim.filters.parser import parse

__all__ = ["Where", "wanted"]

Where = str | Mapping[str, object] | None
"""Which documents are wanted: an expression, a mapping of values by field name, or None for all."""


def wanted(where: Where, within: str = "") -> Condition | None:
    """Return the condition that documents have to meet; None if every document will do.

    Args:
        where: An expression (see ``docsim.filters.parser``) or a mapping (see ``docsim.filters.mapping``).
        within: A path: the documents' ids have to be this path or lie below it. Empty for any id.

    Raises:
        UsageError: ``where`` is of another type or cannot be read, or ``within`` is not a string.
    """
    if not isinstance(where, str | Mapping | None):
        raise UsageError(f"expected a filter as a string or a mapping, got {where!r}")
    if not isinstance(within, str):
        raise UsageError(f"expected a path to search below as a string, got {within!r}")
    condition = equalities(where) if isinstance(where, Mapping) else None if where is None else parse(where)
    conditions = [one for one in (Under(within) if within else None, condition) if one is not None]
    return all_of(conditions) if conditions else None
