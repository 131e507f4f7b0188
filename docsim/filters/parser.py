"""Expressions: the language of ``--where``, read into a filter.

    expression = conjunction {"or" conjunction}
    conjunction = condition {"and" condition}
    condition  = "not" condition | "(" expression ")" | field test
    test       = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
               | ["not"] "in" "(" value {"," value} ")"
               | ["not"] ("like" | "contains") string
               | "is" ["not"] "null" | "exists"
    field      = name {"." name}          name: letters, digits, _ and -, or anything "in double quotes"
    value      = string | number | "true" | "false"       string: 'in quotes' or "in double quotes"

A quote within quotes is doubled. Keywords are recognised in any case. ``==`` and ``<>`` are taken for ``=`` and ``!=``.
What a condition means is said in ``docsim.filters.conditions``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from docsim.errors import UsageError
from docsim.filters.conditions import (
    MAX_CONDITIONS,
    Field,
    Filter,
    Value,
    both,
    compared,
    either,
    equalities,
    exists,
    negated,
    under,
)
from docsim.models import storable

__all__ = ["MAX_CHARACTERS", "Where", "parse", "wanted"]

Where = str | Mapping[str, object] | None
"""What documents are wanted: an expression, equalities by field name, or None for all."""

MAX_CHARACTERS = 10_000
"""Longest expression that is read."""

MAX_DEPTH = 50
"""Most parentheses and nots within each other."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>[^\W\d][\w-]*)
    | (?P<symbol><=|>=|!=|<>|==|[=<>(),.])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)
_KEYWORDS = {"and", "or", "not", "in", "like", "contains", "is", "null", "exists", "true", "false"}
_ORDER = ("<", "<=", ">", ">=")
_WORDS = ("in", "like", "contains")
_SHOWN = 30
_ALIASES = {"==": "=", "<>": "!="}


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of an expression; ``start`` counts from 0."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The keyword or symbol that it is, or nothing."""
        if self.kind == "word" and self.text.lower() in _KEYWORDS:
            return self.text.lower()
        return _ALIASES.get(self.text, self.text) if self.kind == "symbol" else ""


def wanted(where: Where, within: str = "") -> Filter | None:
    """Return the filter that an expression or a mapping of equalities and a path prefix ask for; None for all.

    Raises:
        UsageError: It is neither, the expression cannot be read, or the mapping holds something else than values.
    """
    if not isinstance(where, str | Mapping | None):
        raise UsageError(f"expected a filter as a string or a mapping, got {where!r}")
    condition = equalities(where) if isinstance(where, Mapping) else None if where is None else parse(where)
    conditions = [one for one in (under(within) if within else None, condition) if one is not None]
    return both(*conditions) if conditions else None


def parse(expression: str) -> Filter:
    """Return the filter that an expression stands for.

    Raises:
        UsageError: It cannot be read; the message says at which character.
    """
    if len(expression) > MAX_CHARACTERS:
        raise UsageError(f"expected a filter of at most {MAX_CHARACTERS:,} characters, got {len(expression):,}")
    return _Parser(storable(expression)).whole()


class _Parser:
    """Reads an expression from left to right, a method for each line of the grammar."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._next = 0
        self._conditions = 0
        self._depth = 0

    def whole(self) -> Filter:
        """Read all of it."""
        found = self._disjunction()
        if self._token.kind != "end":
            dates = " (a date stands in quotes: '2026-01-31')" if self._token.kind == "number" else ""
            self._fail(f"and, or, or the end{dates}")
        return found

    def _disjunction(self) -> Filter:
        return either(*self._separated("or", self._conjunction))

    def _conjunction(self) -> Filter:
        return both(*self._separated("and", self._condition))

    def _separated(self, word: str, part: Callable[[], Filter]) -> list[Filter]:
        found = [part()]
        while self._take(word):
            found.append(part())
        return found

    def _condition(self) -> Filter:
        opening = self._take("not", "(")
        if not opening:
            return self._test(self._field())
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"at most {MAX_DEPTH} parentheses within each other")
        found = negated(self._condition()) if opening == "not" else self._disjunction()
        if opening == "(":
            self._expect(")", "and, or, or )")
        self._depth -= 1
        return found

    def _field(self) -> Field:
        names = [self._name()]
        while self._take("."):
            names.append(self._name())
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            self._fail(f"at most {MAX_CONDITIONS} conditions (many values fit into one: field in ('a', 'b'))")
        return tuple(names)

    def _name(self) -> str:
        token = self._token
        if token.kind == "quoted" or (token.kind == "word" and not token.keyword):
            self._next += 1
            return _unquoted(token) if token.kind == "quoted" else token.text
        return self._fail('the name of a field (in "double quotes" if it is not a plain word)')

    def _test(self, field: Field) -> Filter:
        if self._take("exists"):
            return exists(field)
        if self._take("is"):
            present = self._take("not")
            self._expect("null", "null")
            return exists(field) if present else negated(exists(field))
        opposite = bool(self._take("not"))
        found = self._membership(field) if opposite or self._token.keyword in _WORDS else self._comparison(field)
        return negated(found) if opposite else found

    def _membership(self, field: Field) -> Filter:
        operator = self._take(*_WORDS) or self._fail("in, like or contains")
        if operator != "in":
            value = self._value("a string in quotes", str)
            return compared(field, operator, [value])
        self._expect("(", "( and values such as ('a', 'b')")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")", ", or )")
        return compared(field, "=", values)

    def _comparison(self, field: Field) -> Filter:
        operator = self._take("=", "!=", *_ORDER) or self._fail("=, !=, <, <=, >, >=, in, like, contains, is or exists")
        if operator in _ORDER:
            return compared(field, operator, [self._value("a string or a number", str, int, float)])
        equal = compared(field, "=", [self._value()])
        return equal if operator == "=" else negated(equal)

    def _value(self, expected: str = "a string in quotes, a number, true or false", *kinds: type) -> Value:
        token = self._token
        if token.kind in ("string", "quoted"):
            value: Value = _unquoted(token)
        elif token.kind == "number":
            value = self._number(token.text)
        elif token.keyword in ("true", "false"):
            value = token.keyword == "true"
        elif token.keyword == "null":
            self._fail(f"{expected} (null is asked for with: is null)")
        else:
            quotes = f" (a text stands in quotes: '{token.text}')" if token.kind == "word" else ""
            self._fail(expected + quotes)
        if kinds and type(value) not in kinds:
            self._fail(expected)
        self._next += 1
        return value

    def _number(self, text: str) -> int | float:
        value = float(text)
        if not math.isfinite(value):
            self._fail("a number below 1.8e308")
        return int(text) if text.lstrip("-").isdigit() else value

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *keywords: str) -> str:
        """Step over the next token if it is one of some keywords; return which, or nothing."""
        found = self._token.keyword
        if found not in keywords:
            return ""
        self._next += 1
        return found

    def _expect(self, keyword: str, expected: str) -> None:
        if not self._take(keyword):
            self._fail(expected)

    def _fail(self, expected: str) -> NoReturn:
        _fail(self._token, expected)


def _tokens(expression: str) -> list[_Token]:
    found, place = list[_Token](), 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(expression, place)
        if match is None:
            start = len(expression) - len(expression[place:].lstrip())
            expected = "the quote to be closed" if expression[start] in "\"'" else "a name, a value or an operator"
            _fail(_Token("unknown", expression[start], start), expected)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        place = match.end()
    return found


def _unquoted(token: _Token) -> str:
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def _fail(token: _Token, expected: str) -> NoReturn:
    shown = token.text if len(token.text) <= _SHOWN else token.text[:_SHOWN] + "..."
    got = "its end" if token.kind == "end" else shown
    raise UsageError(f"expected {expected} at character {token.start + 1} of the filter, got {got}")
