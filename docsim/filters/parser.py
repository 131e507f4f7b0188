"""Expressions: the language of filters, read into a condition.

    expression  = conjunction {"or" conjunction}
    conjunction = condition {"and" condition}
    condition   = "not" condition | "(" expression ")" | field test
    test        = ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | ["not"] "in" "(" value {"," value} ")"
                | ["not"] ("like" | "contains") string
                | "is" ["not"] "null" | "exists"
    field       = name {"." name}         name: letters, digits, _ and -, or anything "in double quotes"
    value       = string | number | "true" | "false"      string: 'in quotes' or "in double quotes"

A quote inside quotes is doubled. Keywords may be written in any case. ``==`` and ``<>`` mean ``=`` and ``!=``.
``a is null`` means ``not a exists``; ``!=``, ``not in``, ``not like`` and ``not contains`` are the opposites of ``=``,
``in``, ``like`` and ``contains``. ``docsim.filters.condition`` says which documents meet a condition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar, get_args

from docsim.errors import UsageError
from docsim.filters.condition import (
    MAX_CONDITIONS,
    Compare,
    Condition,
    Exists,
    Field,
    Not,
    Ordering,
    Textual,
    Value,
    all_of,
    any_of,
)
from docsim.text.storing import storable

__all__ = ["MAX_CHARACTERS", "parse"]

MAX_CHARACTERS = 10_000
"""Characters in one expression."""

MAX_DEPTH = 50
"""Parentheses and nots within each other."""

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
_ORDERING: tuple[Ordering, ...] = get_args(Ordering)
_TEXTUAL: tuple[Textual, ...] = get_args(Textual)
_KEYWORDS = {"and", "or", "not", "in", *_TEXTUAL, "is", "null", "exists", "true", "false"}
_ALIASES = {"==": "=", "<>": "!="}
_SHOWN = 30  # characters of a token in a message

Keyword = TypeVar("Keyword", bound=str)


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of an expression.

    Attributes:
        kind: The name of the group of ``_TOKEN`` that it matches.
        text: Its characters, quotes included.
        start: The index of its first character in the expression.
    """

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The keyword in lower case, or the symbol, that it is; empty if it is neither."""
        if self.kind == "word" and self.text.lower() in _KEYWORDS:
            return self.text.lower()
        return _ALIASES.get(self.text, self.text) if self.kind == "symbol" else ""


def parse(expression: str) -> Condition:
    """Return the condition that an expression describes.

    Raises:
        UsageError: The expression cannot be read, and the message says at which character; or it is too large.
    """
    if len(expression) > MAX_CHARACTERS:
        raise UsageError(f"expected a filter of at most {MAX_CHARACTERS:,} characters, got {len(expression):,}")
    return _Parser(storable(expression)).whole()


class _Parser:
    """Reads an expression from left to right, with a method for each line of the grammar."""

    def __init__(self, expression: str) -> None:
        self._tokens = _tokens(expression)
        self._next = 0
        self._conditions = 0
        self._depth = 0

    def whole(self) -> Condition:
        """Read the whole expression."""
        found = self._disjunction()
        if self._token.kind != "end":
            dates = " (a date stands in quotes: '2026-01-31')" if self._token.kind == "number" else ""
            self._fail(f"and, or, or the end{dates}")
        return found

    def _disjunction(self) -> Condition:
        return any_of(self._separated("or", self._conjunction))

    def _conjunction(self) -> Condition:
        return all_of(self._separated("and", self._condition))

    def _separated(self, word: str, part: Callable[[], Condition]) -> list[Condition]:
        found = [part()]
        while self._take(word):
            found.append(part())
        return found

    def _condition(self) -> Condition:
        opening = self._take("not", "(")
        if not opening:
            return self._test(self._field())
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"at most {MAX_DEPTH} parentheses within each other")
        found = Not(self._condition()) if opening == "not" else self._disjunction()
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

    def _test(self, field: Field) -> Condition:
        if self._take("exists"):
            return Exists(field)
        if self._take("is"):
            present = self._take("not")
            self._expect("null", "null")
            return Exists(field) if present else Not(Exists(field))
        if self._take("not"):
            return Not(self._membership(field))
        return self._membership(field) if self._token.keyword in ("in", *_TEXTUAL) else self._comparison(field)

    def _membership(self, field: Field) -> Condition:
        if operator := self._take(*_TEXTUAL):
            return Compare(field, operator, (self._value("a string in quotes", str),))
        self._expect("in", f"in, {' or '.join(_TEXTUAL)}")
        self._expect("(", "( and values such as ('a', 'b')")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")", ", or )")
        return Compare(field, "=", tuple(values))

    def _comparison(self, field: Field) -> Condition:
        if self._take("="):
            return Compare(field, "=", (self._value(),))
        if self._take("!="):
            return Not(Compare(field, "=", (self._value(),)))
        operator = self._take(*_ORDERING)
        if operator is None:
            self._fail(f"=, !=, {', '.join(_ORDERING)}, in, {', '.join(_TEXTUAL)}, is or exists")
        return Compare(field, operator, (self._value("a string or a number", str, int, float),))

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
        digits = text.removeprefix("-")
        if not digits.isdigit():
            return value
        whole = int(digits.lstrip("0") or "0")  # int() refuses thousands of digits, be they zeros
        return -whole if text.startswith("-") else whole

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *keywords: Keyword) -> Keyword | None:
        """Step over the next token if it is one of some keywords, and return that keyword; else return None."""
        for keyword in keywords:
            if keyword == self._token.keyword:
                self._next += 1
                return keyword
        return None

    def _expect(self, keyword: str, expected: str) -> None:
        if not self._take(keyword):
            self._fail(expected)

    def _fail(self, expected: str) -> NoReturn:
        _fail(self._token, expected)


def _tokens(expression: str) -> list[_Token]:
    """Return the tokens of an expression; the last one is its end."""
    found, position = list[_Token](), 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(expression, position)
        if match is None:
            start = len(expression) - len(expression[position:].lstrip())
            expected = "the quote to be closed" if expression[start] in "\"'" else "a name, a value or an operator"
            _fail(_Token("unknown", expression[start], start), expected)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return found


def _unquoted(token: _Token) -> str:
    """Return what stands in the quotes of a token, doubled quotes made single."""
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def _fail(token: _Token, expected: str) -> NoReturn:
    shown = token.text if len(token.text) <= _SHOWN else token.text[:_SHOWN] + "..."
    got = "its end" if token.kind == "end" else shown
    raise UsageError(f"expected {expected} at character {token.start + 1} of the filter, got {got}")
