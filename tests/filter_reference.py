"""What conditions mean, in plain Python: written from the documentation of ``docsim.filters.condition``, not from SQL.

``meets`` is what every engine's answers are compared with.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from docsim.filters.condition import (
    All,
    Compare,
    Condition,
    Either,
    Exists,
    Field,
    Holds,
    IsObject,
    Not,
    Operator,
    Under,
    Value,
    is_instant,
)
from docsim.models import Document

JSON_NUMBER = re.compile(r"[ \t\n\r]*(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)[ \t\n\r]*")
JSON_INTEGER = re.compile(r"-?[0-9]{1,19}")
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def meets(condition: Condition, document: Document) -> bool:
    """Return whether a document meets a condition."""
    match condition:
        case All(parts):
            return all(meets(part, document) for part in parts)
        case Either(parts):
            return any(meets(part, document) for part in parts)
        case Not(part):
            return not meets(part, document)
        case Under(path):
            return document.id == path or document.id.startswith(f"{path}/")
        case Holds():
            return any(holds(condition, split(part)) for part in parts_of(condition, document))
        case _:
            return passes(condition, content(document, condition.field))


def parts_of(condition: Holds, document: Document) -> list[str]:
    return [document.title] if condition.in_title else [document.title, document.text]


def holds(condition: Holds, words: list[str]) -> bool:
    if condition.beginning:
        return any(word.startswith(condition.words[0]) for word in words)
    count = len(condition.words)
    return any(tuple(words[i : i + count]) == condition.words for i in range(len(words) - count + 1))


@cache
def split(text: str) -> list[str]:
    """The words of a plain text: letters and digits, in small letters."""
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold()).split()


def passes(test: Compare | Exists | IsObject, found: Any) -> bool:
    """Return whether what a field holds, None if it is missing, passes a test."""
    if isinstance(test, Exists):
        return found is not None
    if isinstance(test, IsObject):
        return isinstance(found, dict)
    elements = found if isinstance(found, list) else [found]
    return any(matches(element, test.operator, value) for element in elements for value in test.values)


def content(document: Document, field: Field) -> Any:
    """Return what a field of a document holds; None if the document lacks it."""
    found: Any = {"title": document.title, "id": document.id} | dict(document.metadata)
    for name in field:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def matches(found: Any, how: Operator, value: Value) -> bool:
    """Return whether one value of a document compares with one value of a condition."""
    if isinstance(value, bool):
        return found is value
    if isinstance(value, str):
        return isinstance(found, str) and strings_match(found, how, value)
    number = number_of(found)
    return number is not None and ORDER[how](number, rounded(value))


def strings_match(found: str, how: Operator, value: str) -> bool:
    """Return whether one string compares with another."""
    if how == "contains":
        return lowered(value) in lowered(found)
    if how == "like":
        pattern = "".join({"%": ".*", "_": "."}.get(one, re.escape(one)) for one in lowered(value))
        return re.fullmatch(pattern, lowered(found), re.DOTALL) is not None
    if is_instant(value) and how != "=" and (instants := [instant(found), instant(value)])[0] is not None:
        return ORDER[how](*instants)
    return ORDER[how](found, value)


def instant(text: str) -> int | None:
    """Return a date with a time as milliseconds since 1970, or None."""
    if not is_instant(text):
        return None
    read = datetime.fromisoformat(text)
    return round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000)


def lowered(text: str) -> str:
    """Return a text with its ASCII letters in lower case, and no others."""
    return "".join(one.lower() if one.isascii() else one for one in text)


def number_of(found: Any) -> int | float | None:
    """Return the number that a document's value is or spells, or None."""
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return rounded(found)
    spelt = JSON_NUMBER.fullmatch(found) if isinstance(found, str) else None
    if spelt is None:
        return None
    return rounded(int(spelt[1])) if JSON_INTEGER.fullmatch(spelt[1]) else float(spelt[1])


def rounded(number: int | float) -> int | float:
    """Return an integer of 64 bits as it is, and any other number in double precision."""
    if isinstance(number, int) and -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
