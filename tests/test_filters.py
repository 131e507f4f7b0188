from __future__ import annotations

import contextlib
import json
import math
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from docsim.errors import UsageError
from docsim.filters.conditions import MAX_CONDITIONS, MAX_NAMES, MAX_NESTING, Filter, both, compared, either, negated
from docsim.filters.parser import MAX_CHARACTERS, parse, wanted
from docsim.models import Document

Metadata = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A condition as a tree: ``and``, ``or`` and ``not`` over tests of one field."""

    kind: str
    parts: tuple[Node, ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[Any, ...] = field(default=())


# What a condition means, in Python: written from the documentation, and not from the SQL.


def holds(node: Node, metadata: Metadata) -> bool:
    if node.kind in ("and", "or"):
        return (all if node.kind == "and" else any)(holds(part, metadata) for part in node.parts)
    if node.kind == "not":
        return not holds(node.parts[0], metadata)
    if node.kind == "exists":
        return held(metadata, node.names) is not None
    if node.kind == "is null":
        return held(metadata, node.names) is None
    if node.kind == "!=":
        return not holds(Node("=", (), node.names, node.values), metadata)
    found = held(metadata, node.names)
    each = found if isinstance(found, list) else [found]
    return any(meets(one, node.kind, value) for one in each for value in node.values)


def held(metadata: Any, names: Sequence[str]) -> Any:
    for name in names:
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata


def meets(found: Any, kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return found is value
    if isinstance(value, str):
        return isinstance(found, str) and compare(kind, found, value)
    number = as_number(found)
    return number is not None and compare(kind, number, value)


def compare(kind: str, found: Any, value: Any) -> bool:
    if kind == "like":
        pattern = "".join({"%": ".*", "_": "."}.get(one, re.escape(one)) for one in ascii_lower(value))
        return re.fullmatch(pattern, ascii_lower(found), re.DOTALL) is not None
    if kind == "contains":
        return ascii_lower(value) in ascii_lower(found)
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: bool(found == value), "in": lambda: bool(found == value), "<": lambda: bool(found < value),
        "<=": lambda: bool(found <= value), ">": lambda: bool(found > value), ">=": lambda: bool(found >= value),
    }  # fmt: skip
    return tests[kind]()


def ascii_lower(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text)


def as_number(found: Any) -> int | float | None:
    """Return the number that a value is or spells."""
    if isinstance(found, bool) or found is None:
        return None
    if isinstance(found, str):
        try:
            found = json.loads(found.strip(" \t\r\n"))
        except ValueError:
            return None
        return (
            found if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found) else None
        )
    return found if isinstance(found, int | float) else None


# How a condition is written


def text_of(node: Node) -> str:
    if node.kind in ("and", "or"):
        return "(" + f" {node.kind} ".join(map(text_of, node.parts)) + ")"
    if node.kind == "not":
        return f"not {text_of(node.parts[0])}"
    name = ".".join('"' + one.replace('"', '""') + '"' for one in node.names)
    if node.kind in ("exists", "is null"):
        return f"{name} {node.kind}"
    values = [literal(value) for value in node.values]
    return f"{name} in ({', '.join(values)})" if node.kind == "in" else f"{name} {node.kind} {values[0]}"


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


NAMES = ["team", "tags", "a.b", 'quo"te', "back\\slash", "new\nline", "é", "", "not", "$[0]"]
TEXTS = [
    "sre",
    "SRE",
    "dev",
    "2026-01-01",
    "5",
    "5.0",
    " 7 ",
    "0x5",
    "5x",
    "",
    "50%_off",
    "it's",
    'a "b"',
    "É",
    "é",
    "\\",
    "😀",
]
NUMBERS: list[int | float] = [0, 5, -3, 7, 2.5, 5.0, 1e300, 2**53 + 1, -(2**63)]

names = st.sampled_from(NAMES)
scalars = st.sampled_from([*TEXTS, *NUMBERS, True, False])
contents = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
metadatas = st.dictionaries(names, contents, max_size=4)
paths = st.lists(names, min_size=1, max_size=2).map(tuple)
patterns = st.sampled_from([*TEXTS, "%r%", "_re", "%", "S%"])
leaves = st.one_of(
    st.builds(Node, st.sampled_from(["=", "!="]), st.just(()), paths, st.tuples(scalars)),
    st.builds(
        Node, st.sampled_from(["<", "<=", ">", ">="]), st.just(()), paths,
        st.tuples(st.sampled_from(TEXTS) | st.sampled_from(NUMBERS)),
    ),
    st.builds(Node, st.just("in"), st.just(()), paths, st.lists(scalars, min_size=1, max_size=4).map(tuple)),
    st.builds(Node, st.sampled_from(["like", "contains"]), st.just(()), paths, st.tuples(patterns)),
    st.builds(Node, st.sampled_from(["exists", "is null"]), st.just(()), paths),
)  # fmt: skip
nodes = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Node, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Node, st.just("not"), st.tuples(inner))
    ),
    max_leaves=5,
)


def selected(condition: Filter, documents: Sequence[Document]) -> list[bool]:
    """Return which documents SQLite says meet a condition; it must say true or false of each."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT UNIQUE, metadata TEXT)")
    rows = [
        (number, one.id, json.dumps(one.metadata, ensure_ascii=False, sort_keys=True))
        for number, one in enumerate(documents)
    ]
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
    found = connection.execute(
        f"SELECT {condition.sql} FROM documents ORDER BY number", condition.parameters
    ).fetchall()
    connection.close()
    assert {value for (value,) in found} <= {0, 1}
    return [value == 1 for (value,) in found]


def matching(where: Any, *metadata: Metadata) -> list[bool]:
    condition = wanted(where)
    assert condition is not None
    return selected(condition, [Document(str(i), "", metadata=one) for i, one in enumerate(metadata)])


@given(node=nodes, metadata=st.lists(metadatas, min_size=1, max_size=6))
@settings(max_examples=examples(80, 400), deadline=None)
def test_a_filter_selects_what_a_brute_force_evaluation_selects(node: Node, metadata: list[Metadata]) -> None:
    assert matching(text_of(node), *metadata) == [holds(node, one) for one in metadata]


WORDS = "team . = != < >= <> ( ) , 'x' ' \" 3 -1.5e3 1e999 and or not in like contains is null exists true ; -- ? %"
PIECES = [*WORDS.split(), '"a b"', "\x00", "\ud800", "٣"]


@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | st.text(max_size=40))
@example(text="'" * 33)
@example(text="(" * 200)
@example(text="not " * 200 + "a exists")
@settings(max_examples=examples(80, 400), deadline=None)
def test_any_text_is_a_filter_or_refused_with_a_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        matching(text, {"team": "x"}, {})


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_equals_itself(value: float) -> None:
    assert matching({"n": value}, {"n": value}, {"n": repr(value)}, {"n": [None, value]}) == [True, True, True]


@given(
    prefix=st.text("ab/%_é", max_size=4),
    ids=st.lists(st.text("ab/%_é0", min_size=1, max_size=6), max_size=8, unique=True),
)
@settings(deadline=None)
def test_a_prefix_selects_whole_path_components(prefix: str, ids: list[str]) -> None:
    condition = wanted(None, prefix)
    path = prefix.rstrip("/")
    expected = [not prefix or one == path or one.startswith(path + "/") for one in ids]
    found = [True] * len(ids) if condition is None else selected(condition, [Document(one, "") for one in ids])
    assert found == expected


def test_a_folder_is_not_one_that_begins_with_its_name() -> None:
    condition = wanted(None, "ab")
    assert condition is not None
    ids = ["ab", "ab/x", "ab/c/y", "abc/x", "a", "ab0", "AB/x", "x/ab/z"]
    assert selected(condition, [Document(one, "") for one in ids]) == [True, True, True, *[False] * 5]


def test_a_filter_and_a_prefix_both_have_to_hold() -> None:
    condition = wanted({"team": "sre"}, "ops/")
    assert condition is not None
    documents = [Document(id, "", metadata={"team": team}) for id in ("ops/a", "dev/a") for team in ("sre", "web")]
    unique = [Document(f"{one.id}{i}", "", metadata=one.metadata) for i, one in enumerate(documents)]
    assert selected(condition, unique) == [True, False, False, False]


def test_nothing_asked_for_is_no_filter() -> None:
    assert wanted(None) is None
    assert wanted({}) is None
    assert wanted(None, "") is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("tags = 'a'", [True, False, True, False]),
        ("tags != 'a'", [False, True, False, True]),
        ("tags in ('b', 'c')", [True, False, False, False]),
        ("tags not in ('b', 'c')", [False, True, True, True]),
        ("tags exists", [True, True, True, False]),
        ("tags is null", [False, False, False, True]),
        ("not tags is not null", [False, False, False, True]),
    ],
)
def test_a_list_matches_by_any_of_its_elements_and_a_missing_field_by_negations_only(
    where: str, expected: list[bool]
) -> None:
    assert matching(where, {"tags": ["a", "b"]}, {"tags": []}, {"tags": "a"}, {}) == expected


def test_and_binds_more_tightly_than_or() -> None:
    assert matching("a = 1 or a = 2 and b = 3", {"a": 1}, {"a": 2}, {"a": 2, "b": 3}) == [True, False, True]


def test_not_reaches_as_far_as_its_condition() -> None:
    assert matching("not a = 1 and b = 1", {"b": 1}, {"a": 1, "b": 1}, {}) == [True, False, False]


def test_a_dot_leads_into_an_object_and_a_quoted_dot_is_part_of_a_name() -> None:
    metadata = {"a": {"b": 1}}, {"a.b": 1}
    assert matching("a.b = 1", *metadata) == [True, False]
    assert matching('"a.b" = 1', *metadata) == [False, True]


def test_a_number_matches_a_string_that_spells_it_but_a_string_matches_no_number() -> None:
    assert matching("year >= 2024", {"year": 2024}, {"year": "2025"}, {"year": "soon"}, {"year": "2023"}) == [
        True, True, False, False,
    ]  # fmt: skip
    assert matching("year = '2024'", {"year": 2024}, {"year": "2024"}) == [False, True]


def test_dates_compare_in_order() -> None:
    assert matching(
        "updated > '2026-01-01'",
        {"updated": "2026-01-02"},
        {"updated": "2025-12-31"},
        {"updated": "2026-01-01 08:00:00"},
    ) == [True, False, True]


def test_a_value_may_be_in_double_quotes_and_a_quote_is_doubled() -> None:
    assert matching('a = "it\'s"', {"a": "it's"}) == [True]
    assert matching("a = 'it''s'", {"a": "it's"}) == [True]


def test_names_and_values_are_never_part_of_the_sql() -> None:
    condition = parse("\"x' OR 1=1 --\" = '''; DROP TABLE documents; --'")
    assert "DROP" not in condition.sql
    assert "1=1" not in condition.sql
    assert set(condition.parameters) == {"x' OR 1=1 --", json.dumps(["'; DROP TABLE documents; --"])}


def test_a_mapping_means_equality_of_each_field() -> None:
    where = {"team": ["sre", "web"], "owner": None, "author": {"name": "x"}, "done": False}
    good = {"team": "web", "author": {"name": ["y", "x"]}, "done": False}
    assert matching(where, good, good | {"owner": "z"}, good | {"done": 0}, good | {"team": "ops"}) == [
        True, False, False, False,
    ]  # fmt: skip


def test_a_name_in_a_mapping_is_taken_literally() -> None:
    assert matching({"a.b": 1}, {"a.b": 1}, {"a": {"b": 1}}) == [True, False]


@pytest.mark.parametrize("where", [5, ["team", "sre"], True])
def test_what_is_no_filter_is_refused(where: object) -> None:
    with pytest.raises(UsageError, match="expected a filter as a string or a mapping, got"):
        wanted(where)  # type: ignore[arg-type]


def test_none_in_a_list_stands_for_a_missing_field() -> None:
    assert matching({"a": ["x", None]}, {"a": "x"}, {}, {"a": None}, {"a": "y"}) == [True, True, True, False]


def test_an_empty_mapping_asks_for_an_object() -> None:
    assert matching({"a": {}}, {"a": {}}, {"a": {"b": 1}}, {"a": "x"}, {}) == [True, True, False, False]


def test_a_mapping_of_too_many_names_is_refused() -> None:
    many = {f"a{i}": 1 for i in range(MAX_CONDITIONS)}
    assert matching(many, dict(many), {}) == [True, False]
    for more in ({**many, "b": 1}, {"b": many}):
        with pytest.raises(UsageError, match="expected at most 200 names in a filter, got 201"):
            wanted(more)


def test_an_empty_list_in_a_mapping_matches_nothing() -> None:
    assert matching({"a": []}, {"a": 1}, {}) == [False, False]


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"x", 10**400, {1: 2}])
def test_a_mapping_of_anything_else_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="in a filter, got"):
        wanted({"a": value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the name of a field .* at character 1 of the filter, got its end"),
        ("team = sre", r"true or false \(a text stands in quotes: 'sre'\) at character 8 of the filter, got sre"),
        ("updated > 2026-01-01", r"or the end \(a date stands in quotes: '2026-01-31'\) at character 15"),
        ("team = null", r"\(null is asked for with: is null\) at character 8"),
        ("team = 'sre", "expected the quote to be closed at character 8"),
        ("(a = 1", r"expected and, or, or \) at character 7"),
        ("a = 1 b = 2", "expected and, or, or the end at character 7 of the filter, got b"),
        ("a > true", "expected a string or a number at character 5"),
        ("a like 3", "expected a string in quotes at character 8"),
        ("a not = 3", "expected in, like or contains at character 7"),
        ("a in ()", "at character 7"),
        ("a = 1e999", "expected a number below 1.8e308 at character 5"),
        ("'a' = 1", "expected the name of a field"),
        ("in = 1", 'in "double quotes" if it is not a plain word'),
        ("a = 1; drop", "expected a name, a value or an operator at character 6 of the filter, got ;"),
        ("a.b.c.d.e.f.g.h.i.j.k = 1", f"at most {MAX_NAMES} names"),
        (" or ".join(["a = 1"] * 201), "at most 200 conditions"),
        ("a = '" + "x" * MAX_CHARACTERS + "'", "at most 10,000 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)


def test_the_largest_filters_that_are_read_run_in_sqlite() -> None:
    assert matching(" or ".join(["a.b.c.d.e.f.g.h.i.j not in (1, 'x', true)"] * 200), {"a": 1}) == [True]
    leaf = nested = compared(("a",) * MAX_NAMES, "=", [1, "x", True])
    for level in range(MAX_NESTING):
        nested = both(leaf, nested) if level % 2 else either(leaf, negated(nested) if level == 0 else nested)
        if nested.nesting == MAX_NESTING:
            break
    assert selected(nested, [Document("x", "", metadata={"a": 1})]) in ([True], [False])
    with pytest.raises(UsageError, match="levels of conditions"):
        negated(nested)


def test_metadata_that_is_no_json_for_sqlite_meets_only_negations() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (metadata TEXT)")
    connection.execute("INSERT INTO documents VALUES ('{\"a\": NaN')")
    for where, expected in (("a = 1", 0), ("a != 1", 1), ("a is null", 1)):
        condition = parse(where)
        assert (
            connection.execute(f"SELECT {condition.sql} FROM documents", condition.parameters).fetchone()[0] == expected
        )
    connection.close()
