"""Conditions compiled to SQL give the answers that their documentation promises."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, get_args

import pytest
from effort import examples
from filter_reference import meets, number_of
from filter_sqlite import matching, selected
from filter_strategies import NUMBERS, PATTERNS, TEXTS, TOO_LARGE, compares, conditions, contents, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.engine.local.filter_sql import compiled
from docsim.filters.condition import (
    MAX_NAMES,
    MAX_NESTING,
    All,
    Compare,
    Condition,
    Either,
    IsObject,
    Not,
    Operator,
    Under,
    Value,
    nesting,
)
from docsim.filters.parser import MAX_CHARACTERS, parse
from docsim.filters.where import wanted
from docsim.models import Document


@given(condition=conditions(), documents=st.lists(documents, min_size=1, max_size=4))
@settings(max_examples=examples(80, 300), deadline=None)
@pytest.mark.properties
def test_sqlite_selects_what_a_brute_force_evaluation_selects(condition: Condition, documents: list[Document]) -> None:
    assert selected(condition, documents) == [meets(condition, document) for document in documents]


@pytest.mark.parametrize("operator", get_args(Operator))
def test_sqlite_compares_every_pair_of_awkward_values_as_plain_python_does(operator: Operator) -> None:
    values: list[Value] = [*PATTERNS] if operator in ("like", "contains") else [*TEXTS, *NUMBERS]
    held = [*TEXTS, *NUMBERS, *TOO_LARGE, True, False, None, {}, [], {"a": 5}, [[5]]]
    documents = [Document("x", "", metadata={"a": one}) for value in held for one in (value, [None, value])]
    for value in [*values, *([True, False] if operator == "=" else [])]:
        condition = Compare(("a",), operator, (value,))
        assert selected(condition, documents) == [meets(condition, document) for document in documents], value


@given(condition=compares, found=contents)
@settings(max_examples=examples(60, 200), deadline=None)
@pytest.mark.properties
def test_sqlite_compares_one_value_as_plain_python_does(condition: Compare, found: Any) -> None:
    for name in reversed(condition.field):
        found = {name: found}
    document = Document("x", "", metadata=found)
    assert selected(condition, [document]) == [meets(condition, document)]


SPELLINGS = st.from_regex(r"\A[ \t]?-?(0|[1-9][0-9]?)(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,3})?[\n]?\Z")


@given(text=SPELLINGS | st.text("0123456789+-.eE \t\n", max_size=7) | st.integers().map(str))
@settings(max_examples=examples(60, 200), deadline=None)
@pytest.mark.properties
def test_a_string_is_a_number_only_as_json_spells_numbers(text: str) -> None:
    is_number = number_of(text) is not None
    assert matching("n >= 0 or n < 0", {"n": text}, {"n": [text]}) == [is_number, is_number]


@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300))
@settings(deadline=None)
def test_every_finite_number_equals_itself(value: int | float) -> None:
    condition = wanted({"n": value})
    assert condition is not None
    held = [value, repr(value), [None, value]]
    assert selected(condition, [Document("x", "", metadata={"n": one}) for one in held]) == [True, True, True]


def test_integers_compare_exactly_up_to_64_bits_and_as_doubles_beyond() -> None:
    assert matching({"n": 2**53 + 1}, {"n": 2**53 + 1}, {"n": 2**53}, {"n": 2.0**53}) == [True, False, False]
    assert matching(f"n < {2**63 - 1}", {"n": 2**63 - 2}, {"n": 2**63 - 1}, {"n": 2**63}) == [True, False, False]
    assert matching({"n": 2**63}, {"n": 2**63 + 1}, {"n": 2.0**63}, {"n": 2**63 - 1}) == [True, True, False]


def test_a_number_too_large_for_a_double_is_above_all_others() -> None:
    above: list[dict[str, Any]] = [{"n": 10**400}, {"n": "1e999"}, {"n": "1" * 5000}]
    below: list[dict[str, Any]] = [{"n": -(10**400)}, {"n": "-1e999"}]
    assert matching("n > 1.7e308", *above, *below) == [True, True, True, False, False]
    assert matching("n < -1.7e308", *above, *below) == [False, False, False, True, True]


def test_only_ascii_letters_lose_their_case() -> None:
    texts = [{"n": text} for text in ("SRE", "sre", "\u017fre", "É", "é", "\u212a")]
    assert matching("n like 's%'", *texts) == [True, True, False, False, False, False]
    assert matching("n contains 'É'", *texts) == [False, False, False, True, False, False]
    assert matching("n like 'k'", *texts) == [False] * 6


def test_strings_compare_by_code_point() -> None:
    texts = [{"n": text} for text in ("Z", "a", "é", "\ufb00", "😀")]
    assert matching("n > 'a'", *texts) == [False, False, True, True, True]
    assert matching("n < '\ufb00'", *texts) == [True, True, True, False, False]


def test_names_lead_through_objects_but_not_through_lists() -> None:
    assert matching("a.b = 1", {"a": {"b": [1, 2]}}, {"a": [{"b": 1}]}, {"a": [[1]]}) == [True, False, False]
    assert matching("a = 1", {"a": [[1]]}, {"a": {"b": 1}}, {"a": [2, 1]}) == [False, False, True]
    assert matching('a."0" = 1', {"a": {"0": 1}}, {"a": [1]}, {"a": [[1]]}) == [True, False, False]
    assert matching("a.b = 1", {"a": '{"b": 1}'}, {"a": "{"}, {"a": 1}) == [False, False, False]


def test_conditions_without_parts_or_values_are_always_or_never_met() -> None:
    documents = [Document("x", "", metadata={"a": 1}), Document("y", "")]
    for condition, expected in ((All(()), True), (Either(()), False), (Compare(("a",), "=", ()), False)):
        assert selected(condition, documents) == [expected] * 2
        assert selected(Not(condition), documents) == [not expected] * 2


def test_an_object_is_told_from_what_merely_exists() -> None:
    held: list[Any] = [{}, {"b": 1}, [], [{}], "{}", None]
    documents = [Document("x", "", metadata={"a": one}) for one in held]
    assert selected(IsObject(("a",)), documents) == [True, True, False, False, False, False]


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
    ids = ["ab", "ab/x", "ab/c/y", "abc/x", "a", "ab0", "AB/x", "x/ab/z"]
    assert selected(Under("ab"), [Document(one, "") for one in ids]) == [True, True, True, *[False] * 5]


def test_names_and_values_are_never_part_of_the_sql() -> None:
    expression = compiled(parse("\"x' OR 1=1 --\" = '''; DROP TABLE documents; --'"))
    assert "DROP" not in expression.sql
    assert "1=1" not in expression.sql
    assert set(expression.parameters) == {"x' OR 1=1 --", json.dumps(["'; DROP TABLE documents; --"])}


@pytest.mark.parametrize("word", ["or", "and"])
def test_the_longest_filters_that_are_read_run_in_sqlite(word: str) -> None:
    expected = [word == "or"]
    text = f" {word} ".join([*["a.b.c.d.e.f.g.h.i.j not in (1, 'x', true)"] * 199, "b exists"])
    assert matching(text, {"a": 1}) == expected
    many = {f"a{number}": {"b": 1} for number in range(100)}
    assert matching(many, many, {}) == [True, False]
    pattern = "😀" * (MAX_CHARACTERS - len("a like ''"))
    assert matching(f"a like '{pattern}'", {"a": pattern}) == [True]


def test_the_most_nested_filters_that_are_built_run_in_sqlite() -> None:
    leaf = Compare(("a",) * MAX_NAMES, "=", (1, "x", True))
    built: Condition = leaf
    while (levels := nesting(built)) < MAX_NESTING:
        built = Not(built) if levels % 3 == 0 else All((leaf, built)) if levels % 3 == 1 else Either((leaf, built))
    document = Document("x", "", metadata={"a": 1})
    assert selected(built, [document]) == [meets(built, document)]


def test_metadata_that_is_no_json_for_sqlite_meets_only_negations() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (metadata TEXT)")
    connection.execute("INSERT INTO documents VALUES ('{\"a\": NaN')")
    for where, expected in (("a = 1", 0), ("a != 1", 1), ("a is null", 1)):
        expression = compiled(parse(where))
        found = connection.execute(f"SELECT {expression.sql} FROM documents", expression.parameters).fetchone()
        assert found == (expected,)
    connection.close()
