"""Conditions: a filter as a small tree of frozen records, free of any query language.

Each engine compiles conditions for itself (the local one in ``docsim.engine.local.filter_sql``). All engines must give
the answers described here. A document either meets a condition or does not; there is no third answer.

**Fields.** Conditions ask about the fields of a document's metadata. A field is given by the names that lead to it:
``("author", "name")`` is the member ``name`` of the object ``author``. Names are compared exactly. They lead into
objects only, never into lists.

**Values.** A field has a set of values:

    missing, or null                no value
    an object                       no value, but the field exists
    a list                          its elements; null, lists and objects among them do not count
    a string, number or boolean     that one value

``title`` and ``id`` are those of the document, unless its metadata has a field of that name.

``Compare`` is met when at least one of these values passes its test. A document without the field therefore meets no
``Compare`` on it, and every ``Not(Compare(...))``.

**Types.** Values of different types never match: ``priority < 3`` is not met by ``"high"`` or ``true``. There is one
exception. A string in a document that spells a number as JSON does (``3``, ``-0.5``, ``1e3``, also with white space
around it, but not ``03`` or ``+3``) counts as that number too when it is compared with a number, because CSV files hold
nothing but strings. The converse does not hold: a number in a document never matches a string.

**Strings** compare by code point, so that ISO dates sort in order and ``"Z" < "a"``. ``like`` and ``contains`` ignore
the case of the ASCII letters, and of no other letters. Where both sides of ``<``, ``<=``, ``>`` or ``>=`` are dates in
ISO 8601, they compare as points in time, to the millisecond: a date without a time is its first moment, and what has no
time zone counts as UTC. Unpaired surrogates and NUL in names, values and paths become U+FFFD, as they do in documents.

**Words.** ``Holds`` asks about the words of title and text, as ``docsim.text`` has them, and not about metadata.

**Numbers.** Integers of 64 bits (signed) compare exactly, with fractions too. Any other number is rounded to double
precision, and to an infinity if it is too large for that. The same spelling always gives the same number; which way
the last bit of other numbers is rounded is up to the engine.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from docsim.errors import UsageError
from docsim.text.storing import storable

__all__ = [
    "MAX_CONDITIONS",
    "MAX_NAMES",
    "MAX_NESTING",
    "OWN_FIELDS",
    "All",
    "Compare",
    "Condition",
    "Either",
    "Exists",
    "Field",
    "Holds",
    "IsObject",
    "Not",
    "Operator",
    "Ordering",
    "Textual",
    "Under",
    "Value",
    "all_of",
    "any_of",
    "asks_for_words",
    "fields",
    "is_instant",
    "narrowed",
    "nesting",
]

Value = str | int | float | bool
"""What a field is compared with."""

Field = tuple[str, ...]
"""The names that lead to a value: one for a field of the document, more where fields hold objects."""

Ordering = Literal["<", "<=", ">", ">="]
"""Operators that take one string or one number."""

Textual = Literal["like", "contains"]
"""Operators that take one string."""

Operator = Literal["=", Ordering, Textual]
"""How a value of a field is compared. The parser takes the names from here."""

OWN_FIELDS = ("title", "id")
"""Fields that every document has, beside its metadata."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)

MAX_NAMES = 10
"""Names in one field."""

MAX_CONDITIONS = 200
"""Tests of fields (``Compare``, ``Exists``, ``IsObject``) in one condition."""

MAX_NESTING = 10
"""Levels of ``Not``, ``All`` and ``Either`` within each other."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Met when one of a field's values compares with one of ``values``.

    Two comparisons are equal only if their values are of the same types, so that ``n = 1`` and ``n = true`` are not
    taken for each other (in Python, ``1 == True``).

    Attributes:
        field: The names that lead to the field, at most ``MAX_NAMES``.
        operator: ``=`` is met by equal values; ``<``, ``<=``, ``>`` and ``>=`` by values in that order; ``like`` by
            strings that the pattern describes from beginning to end, in which ``%`` stands for any characters or none
            and ``_`` for exactly one; ``contains`` by strings in which the given one occurs.
        values: For ``=`` any number of values; without any, no document meets the condition. For the other
            operators exactly one: a string for ``like`` and ``contains``, a string or a number for the order.
        types: The type of each value; derived from ``values``.

    Raises:
        UsageError: The field has too many names, there is no such operator, or it does not take these values.
    """

    field: Field
    operator: Operator
    values: tuple[Value, ...]
    types: tuple[type, ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", _checked_field(self.field))
        values = tuple(_checked_value(self.field[-1], value) for value in self.values)
        _check_operator(self.operator, values)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "types", tuple(map(type, values)))


@dataclass(frozen=True, slots=True)
class _FieldTest:
    """A test of a field that needs no values."""

    field: Field

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", _checked_field(self.field))


class Exists(_FieldTest):
    """Met when a document has a field that is not null: a value, a list (even an empty one) or an object.

    Raises:
        UsageError: The field has too many names.
    """

    __slots__ = ()


class IsObject(_FieldTest):
    """Met when a field holds an object, even an empty one.

    Raises:
        UsageError: The field has too many names.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Under:
    """Met when a document's id is ``path`` or lies below it.

    ``people`` and ``people/`` mean ``people/leave.md`` and a document called ``people``, but not ``people-old/x.md``.

    Attributes:
        path: The path, kept without ``./`` at its beginning and slashes at its end.
    """

    path: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", storable(self.path).removeprefix("./").rstrip("/"))


@dataclass(frozen=True, slots=True)
class Holds:
    """Met when a document holds some words in a row, all of them in its title or all in its text.

    Attributes:
        words: Folded words, at least one; see ``docsim.text``.
        in_title: Whether they have to stand in the title.
        beginning: Whether the word, which is then the only one, may go on: ``deploy`` is met by "deployment".
    """

    words: tuple[str, ...]
    in_title: bool = False
    beginning: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """Met when ``condition`` is not.

    Raises:
        UsageError: This exceeds ``MAX_NESTING``.
    """

    condition: Condition

    def __post_init__(self) -> None:
        _check_size(self)


@dataclass(frozen=True, slots=True)
class All:
    """Met when all of ``conditions`` are; always, if there are none.

    Raises:
        UsageError: This exceeds ``MAX_NESTING`` or ``MAX_CONDITIONS``.
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        _check_size(self)


@dataclass(frozen=True, slots=True)
class Either:
    """Met when at least one of ``conditions`` is; never, if there are none.

    Raises:
        UsageError: This exceeds ``MAX_NESTING`` or ``MAX_CONDITIONS``.
    """

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        _check_size(self)


Condition = Compare | Exists | IsObject | Under | Holds | Not | All | Either
"""A condition that each document meets or does not. It can be hashed and compared; equal ones mean the same."""


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that all of some conditions are met; a single one as it is."""
    found = tuple(conditions)
    return found[0] if len(found) == 1 else All(found)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Return the condition that at least one of some conditions is met; a single one as it is."""
    found = tuple(conditions)
    return found[0] if len(found) == 1 else Either(found)


def narrowed(condition: Condition | None, *further: Condition) -> Condition | None:
    """Return the condition that is met where one is, if there is one, and all of some further ones are."""
    known = condition.conditions if isinstance(condition, All) else () if condition is None else (condition,)
    return all_of([*known, *further]) if further else condition


def asks_for_words(condition: Condition) -> bool:
    """Return whether a condition asks about words."""
    match condition:
        case Not(part):
            return asks_for_words(part)
        case All(parts) | Either(parts):
            return any(map(asks_for_words, parts))
        case _:
            return isinstance(condition, Holds)


def is_instant(text: str) -> bool:
    """Return whether a string is a date in ISO 8601, with a time or without."""
    try:
        return bool(_INSTANT.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


def fields(condition: Condition) -> tuple[Field, ...]:
    """Return the fields that a condition asks about, in order, each once."""
    return tuple(dict.fromkeys(test.field for test in _tests(condition)))


def nesting(condition: Condition) -> int:
    """Return how many levels of ``Not``, ``All`` and ``Either`` a condition has; 0 for a single test."""
    match condition:
        case Not(part):
            return 1 + nesting(part)
        case All(parts) | Either(parts):
            return 1 + max(map(nesting, parts), default=0)
        case _:
            return 0


def _tests(condition: Condition) -> Iterator[Compare | Exists | IsObject]:
    """Yield the parts of a condition that ask about a field, in order."""
    match condition:
        case Compare() | Exists() | IsObject():
            yield condition
        case Not(part):
            yield from _tests(part)
        case All(parts) | Either(parts):
            for part in parts:
                yield from _tests(part)


def _check_size(condition: Condition) -> None:
    if nesting(condition) > MAX_NESTING:
        raise UsageError(f"expected a filter of at most {MAX_NESTING} levels of conditions within conditions, got more")
    count = sum(1 for _ in _tests(condition))
    if count > MAX_CONDITIONS:
        raise UsageError(f"expected at most {MAX_CONDITIONS} conditions in a filter, got {count}")


def _checked_field(field: Field) -> Field:
    if not field:
        raise UsageError("expected the name of a field in a filter, got none")
    if len(field) > MAX_NAMES:
        raise UsageError(f"expected at most {MAX_NAMES} names in one field of a filter, got {len(field)}")
    return tuple(map(storable, field))


def _checked_value(name: str, value: object) -> Value:
    if not isinstance(value, Value):
        raise UsageError(f"expected a string, a number or a boolean for {name!r} in a filter, got {value!r}")
    if isinstance(value, str):
        return storable(value)
    if not _is_finite(value):
        raise UsageError("expected numbers below 1.8e308 in a filter, got one that is not")
    return value


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int too large for a double
        return False


def _check_operator(operator: str, values: tuple[Value, ...]) -> None:
    if operator not in get_args(Operator):
        raise UsageError(f"expected {', '.join(get_args(Operator))} as an operator in a filter, got {operator!r}")
    if operator == "=":
        return
    textual = operator in get_args(Textual)
    if len(values) != 1 or isinstance(values[0], bool) or (textual and not isinstance(values[0], str)):
        takes = "one string" if textual else "one string or one number"
        raise UsageError(f"expected {takes} with {operator} in a filter, got {', '.join(map(repr, values)) or 'none'}")
