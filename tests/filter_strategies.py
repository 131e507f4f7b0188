"""Random documents and conditions that are likely to meet: both draw from the same few names and values."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from docsim.filters.condition import (
    All,
    Compare,
    Condition,
    Either,
    Exists,
    IsObject,
    Not,
    Operator,
    Under,
    Value,
)
from docsim.models import Document

NAMES = ["team", "tags", "a.b", 'quo"te', "back\\slash", "new\nline", "é", "", "not", "$[0]", "0", "nul\x00", "\ud800"]

WORDS = ["sre", "SRE", "dev", "Dev", "2026-01-01", "", "50%_off", "it's", 'a "b"', "\\", "[s]re", "s\nre", "a\x01\x7f"]
ODD = [
    "É",
    "é",
    "e\u0301",
    "ß",
    "\u017fre",
    "\u212a",
    "İ",
    "ı",
    "😀",
    "\ufffd",
    "\x00",
    "\udc00",
    "\ufeff",
    "\u2028",
    "\U0010ffff",
]
SPELT = ["5", "5.0", " 7 ", "\t-3\n", "1e3", "1E+3", "-0", "0.0", "9223372036854775807", "9223372036854775808", "1e999"]
NOT_SPELT = [
    "0x5",
    "5x",
    "05",
    "+5",
    ".5",
    "5.",
    "1e",
    "-",
    "Infinity",
    "NaN",
    "true",
    "null",
    '"5"',
    "[5]",
    "٣",
    "1_0",
]
TEXTS = [*WORDS, *ODD, *SPELT, *NOT_SPELT]
PATTERNS = [*TEXTS, "%r%", "_re", "%", "S%", "%É", "__", "%\n%", "%%5%"]

NUMBERS: list[int | float] = [
    0, -0.0, 1, 5, 5.0, -3, 7, 2.5, 1000, 1e300, -1e300, 5e-324, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2.0**63,
    -(2**63), 2**63, -(2**63) - 1, 2**64, 2.0**64, 10**25, -(10**30),
]  # fmt: skip
TOO_LARGE = [10**400, -(10**400)]  # for a condition; a document may hold them

characters = st.characters(exclude_characters="\ufffe\uffff")  # see docsim.engine.local.filter_sql
names = st.sampled_from(NAMES[:2]) | st.sampled_from(NAMES)  # the first more often, so that they meet
texts = st.sampled_from(TEXTS) | st.text(characters, max_size=4) | st.integers(-(10**30), 10**30).map(str)
# Floats of 32 bits are so far apart that it does not matter how the last of 64 bits is rounded.
numbers = st.sampled_from(NUMBERS) | st.integers(-10, 10) | st.integers(-(2**63), 2**63 - 1) | st.floats(
    allow_nan=False, allow_infinity=False, width=32
)  # fmt: skip
values: st.SearchStrategy[Value] = texts | numbers | st.booleans()


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


contents = st.recursive(values | st.sampled_from(TOO_LARGE) | st.none(), _deeper, max_leaves=6)
ids = st.lists(st.sampled_from(["a", "ab", "b", "é", "."]), min_size=1, max_size=3).map("/".join)
documents = st.builds(Document, ids, st.just(""), metadata=st.dictionaries(names, contents, min_size=1, max_size=4))

fields = st.sampled_from([("team",), ("tags",), ("team", "tags")]) | st.lists(names, min_size=1, max_size=2).map(tuple)


def _compare(operator: Operator) -> st.SearchStrategy[Compare]:
    if operator == "=":
        given: st.SearchStrategy[Any] = st.lists(values, max_size=4).map(tuple)
    elif operator in ("like", "contains"):
        given = st.tuples(st.sampled_from(PATTERNS) | texts)
    else:
        given = st.tuples(texts | numbers)
    return st.builds(Compare, fields, st.just(operator), given)


compares = st.one_of([_compare(operator) for operator in get_args(Operator)])
leaves: st.SearchStrategy[Condition] = st.one_of(
    compares,
    st.builds(Exists, fields),
    st.builds(IsObject, fields),
    st.builds(Under, st.sampled_from(["a", "a/", "./a/b", "ab", "é", "/", "", "."])),
)


@st.composite
def conditions(
    draw: st.DrawFn, of: st.SearchStrategy[Condition] = leaves, levels: int = 3, least: int = 0
) -> Condition:
    """Return a condition of up to some levels of ``Not``, ``All`` and ``Either``, with at least so many parts each."""
    kind = draw(st.sampled_from([None, Not, All, Either])) if levels else None
    if kind is None:
        return draw(of)
    inner = conditions(of, levels - 1, least)
    if kind is Not:
        return Not(draw(inner))
    parts = tuple(draw(st.lists(inner, min_size=least, max_size=3)))
    return All(parts) if kind is All else Either(parts)
