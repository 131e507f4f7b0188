r"""Fields: the metadata of a document in the form that filters ask for, as the column ``fields`` keeps it.

Filters compare numbers, strings and points in time by rules of their own (``docsim.filters.condition``). They are
applied once, when a document is written, so that the SQL of a filter only compares what is already of one type::

    {"team": {"s": ["sre"]}, "size": {"n": [3], "s": ["3"]}, "due": {"s": ["2026-01-31"], "t": [1769817600000]},
     "author": {"o": true}, "author\u001fname": {"s": ["Ada"]}, "draft": {"b": [true]}}

A key is the names that lead to a value. ``s`` are its strings, ``n`` its numbers and the numbers that strings spell,
``b`` its booleans, ``t`` points in time in milliseconds, ``p`` the strings that are none; ``o`` tells an object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from docsim.filters.condition import MAX_NAMES, Field, is_instant

__all__ = ["instant", "key", "number", "prepared"]

_BETWEEN = "\x1f"  # names
_NUMBER = re.compile(r"[ \t\n\r]*(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[ \t\n\r]*")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_BEYOND = "1" + "0" * 309  # stands for infinity: above every double


def key(field: Field) -> str:
    """Return the key of a field."""
    return _BETWEEN.join(name.replace("\\", "\\\\").replace(_BETWEEN, "\\_") for name in field)


def number(value: int | float) -> str:
    """Return a number as filters compare it, in digits: 64-bit integers exactly, others rounded to a double."""
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return str(value)
    try:
        rounded = float(value)
    except OverflowError:
        return _BEYOND if value > 0 else f"-{_BEYOND}"
    if rounded in (float("inf"), float("-inf")):
        return _BEYOND if rounded > 0 else f"-{_BEYOND}"
    return format(Decimal(rounded), "f")


def instant(text: str) -> int:
    """Return a date, with a time or without, as milliseconds since 1970 in UTC."""
    read = datetime.fromisoformat(text)
    return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)


def prepared(id: str, title: str, metadata: Mapping[str, Any]) -> str:
    """Return the fields of a document as JSON."""
    found = {"title": title, "id": id, **metadata}
    parts = (f"{json.dumps(key(names), ensure_ascii=False)}:{told}" for names, told in _told((), found))
    return "{" + ",".join(parts) + "}"


def _told(names: Field, held: Mapping[str, Any]) -> Iterator[tuple[Field, str]]:
    for name, value in held.items():
        here = (*names, name)
        if value is None:
            continue
        if isinstance(value, Mapping):
            yield here, '{"o":true}'
            if len(here) < MAX_NAMES:
                yield from _told(here, value)
        else:
            yield here, _values(value if isinstance(value, list) else [value])


def _values(values: list[Any]) -> str:
    strings = [one for one in values if isinstance(one, str)]
    dates = {one for one in strings if is_instant(one)}
    numbers = [found for one in values if (found := _number_of(one)) is not None]
    parts = {
        "s": [json.dumps(one, ensure_ascii=False) for one in strings],
        "n": numbers,
        "b": [str(one).lower() for one in values if isinstance(one, bool)],
        "t": [str(instant(one)) for one in strings if one in dates],
        "p": [json.dumps(one, ensure_ascii=False) for one in strings if one not in dates] if dates else [],
    }
    return "{" + ",".join(f'"{kind}":[{",".join(held)}]' for kind, held in parts.items() if held) + "}"


def _number_of(value: Any) -> str | None:
    """Return the number that a value is or spells, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return number(value)
    spelt = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if spelt is None:
        return None
    return number(int(spelt[1]) if _INTEGER.fullmatch(spelt[1]) else float(spelt[1]))
