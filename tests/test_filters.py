"""The language of filters: expressions and mappings are read into conditions, or refused in a sentence."""

from __future__ import annotations

import contextlib
import math
from typing import Any, get_args

import pytest
from effort import examples
from filter_sqlite import matching, selected
from filter_strategies import compares, conditions, fields
from hypothesis import example, given, settings
from hypothesis import strategies as st

from docsim.errors import UsageError
from docsim.filters import condition as of
from docsim.filters.condition import (
    MAX_CONDITIONS,
    MAX_NAMES,
    MAX_NESTING,
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
    all_of,
    any_of,
)
from docsim.filters.parser import MAX_CHARACTERS, parse
from docsim.filters.where import wanted
from docsim.models import Document

A = Compare(("a",), "=", (1,))


def text_of(condition: Condition) -> str:
    """Return the expression that describes a condition."""
    match condition:
        case All(parts) | Either(parts):
            word = " AND " if isinstance(condition, All) else "\tor\n"
            return "(" + word.join(map(text_of, parts)) + ")"
        case Not(part):
            return f"not {text_of(part)}"
        case Exists(field):
            return f"{name_of(field)} exists"
        case Compare(field, operator, values):
            given = [literal(value) for value in values]
            return f"{name_of(field)} " + (f"in ({', '.join(given)})" if operator == "=" else f"{operator} {given[0]}")
        case _:
            raise AssertionError(f"no expression describes {condition}")


def name_of(field: of.Field) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in field)


def literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


tests = compares.filter(lambda one: bool(one.values)) | st.builds(Exists, fields)


@given(condition=conditions(tests, least=2))
@settings(max_examples=examples(100, 400), deadline=None)
@pytest.mark.properties
def test_an_expression_is_read_as_the_condition_that_it_describes(condition: Condition) -> None:
    assert parse(text_of(condition)) == condition


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", A),
        ("a == 1", A),
        ("a != 1", Not(A)),
        ("a <> 1", Not(A)),
        ("a in (1, 'x')", Compare(("a",), "=", (1, "x"))),
        ("a NOT IN (1)", Not(A)),
        ("a not like '%x'", Not(Compare(("a",), "like", ("%x",)))),
        ("a not contains 'x'", Not(Compare(("a",), "contains", ("x",)))),
        ("a is null", Not(Exists(("a",)))),
        ("a is not null", Exists(("a",))),
        ("((a = 1))", A),
        ("a.b >= -1.5e3", Compare(("a", "b"), ">=", (-1500.0,))),
        ("a = 1 or not a = 1 and a = 1", Either((A, All((Not(A), A))))),
    ],
)
def test_each_form_of_a_test_has_its_condition(text: str, expected: Condition) -> None:
    assert parse(text) == expected


def test_a_number_may_have_thousands_of_zeros() -> None:
    assert parse("a = -" + "0" * 5000 + "7") == Compare(("a",), "=", (-7,))
    assert parse("a = " + "0" * 5000) == Compare(("a",), "=", (0,))


WORDS = "team . = != < >= <> ( ) , 'x' ' \" 3 -1.5e3 1e999 and or not in like contains is null exists true ; -- ? %"
PIECES = [*WORDS.split(), '"a b"', "\x00", "\ud800", "٣"]


@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | st.text(max_size=40))
@example(text="'" * 33)
@example(text="(" * 200)
@example(text="not " * 200 + "a exists")
@settings(max_examples=examples(100, 400), deadline=None)
@pytest.mark.properties
def test_any_text_is_a_filter_or_refused_with_a_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        matching(text, {"team": "x"}, {})


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


def test_what_is_asked_for_is_a_condition_without_engine_or_text() -> None:
    assert wanted({"team": "sre"}, "./ops/") == All((Under("ops"), Compare(("team",), "=", ("sre",))))
    assert wanted({"a": {"b": ["x", None]}}) == All(
        (IsObject(("a",)), Either((Compare(("a", "b"), "=", ("x",)), Not(Exists(("a", "b"))))))
    )


def test_a_path_that_is_no_string_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a path to search below as a string, got 5"):
        wanted(None, 5)  # type: ignore[arg-type]


def test_what_no_database_can_hold_is_replaced_as_it_is_in_documents() -> None:
    odd, stored = "a\ud800\x00", "a\ufffd\ufffd"
    assert Compare((odd,), "=", (odd, 1)) == Compare((stored,), "=", (stored, 1))
    assert (Exists((odd,)), IsObject((odd,)), Under(odd)) == (Exists((stored,)), IsObject((stored,)), Under(stored))
    document = Document("x", "", metadata={odd: odd})
    for condition in (wanted({odd: odd}), wanted(f"\"{odd}\" = '{odd}'")):
        assert condition is not None
        assert selected(condition, [document]) == [True]


def test_values_of_different_types_make_different_conditions() -> None:
    different = [Compare(("a",), "=", (value,)) for value in (1, True, "1", 0, False)]
    assert len(set(different)) == len(different)
    assert len({parse("a = 1"), parse(" a==1 "), Compare(("a",), "=", (1,))}) == 1
    assert hash(Compare(("a",), "=", (1,))) == hash(parse("a = 1"))


def test_the_fields_that_a_condition_asks_about_are_told_once_each() -> None:
    condition = wanted("b = 1 or not (a.c exists and b < 2)", "x")
    assert condition is not None
    assert of.fields(condition) == (("b",), ("a", "c"))
    mapping = wanted({"a": {"b": 1}, "c": None})
    assert mapping is not None
    assert of.fields(mapping) == (("a",), ("a", "b"), ("c",))


def test_one_condition_is_not_wrapped() -> None:
    assert all_of([A]) == any_of([A]) == A
    assert (all_of([A, A]), any_of([])) == (All((A, A)), Either(()))


def test_a_condition_of_too_many_levels_is_refused() -> None:
    nested = any_of([A, A])
    for _ in range(MAX_NESTING - 1):
        nested = Not(nested)
    for deeper in (lambda: Not(nested), lambda: All((A, nested)), lambda: Either((nested, A))):
        with pytest.raises(UsageError, match="at most 10 levels of conditions within conditions, got more"):
            deeper()
    with pytest.raises(UsageError, match="at most 10 levels of conditions"):
        parse("not " * (MAX_NESTING + 1) + "a exists")


def test_a_condition_of_too_many_tests_is_refused() -> None:
    most = All((A,) * MAX_CONDITIONS)
    assert All((Under("x"), most)).conditions[1] == most
    for more in (lambda: All((A, most)), lambda: Either((most, A)), lambda: All((Exists(("a",)), Not(most)))):
        with pytest.raises(UsageError, match="expected at most 200 conditions in a filter, got 201"):
            more()


@pytest.mark.parametrize("kind", [Exists, IsObject, lambda field: Compare(field, "=", (1,))])
def test_a_field_of_no_name_or_too_many_is_refused(kind: Any) -> None:
    assert kind(("a",) * MAX_NAMES).field == ("a",) * MAX_NAMES
    with pytest.raises(UsageError, match="expected at most 10 names in one field of a filter, got 11"):
        kind(("a",) * (MAX_NAMES + 1))
    with pytest.raises(UsageError, match="expected the name of a field in a filter, got none"):
        kind(())


@pytest.mark.parametrize(
    ("operator", "values", "message"),
    [
        ("<", (), "expected one string or one number with < in a filter, got none"),
        (">=", (1, 2), "expected one string or one number with >= in a filter, got 1, 2"),
        ("<=", (True,), "expected one string or one number with <="),
        ("like", (1,), "expected one string with like in a filter, got 1"),
        ("contains", ("a", "b"), "expected one string with contains"),
        ("; --", ("a",), "expected =, <, <=, >, >=, like, contains as an operator in a filter, got '; --'"),
        ("=", (None,), "expected a string, a number or a boolean for 'b' in a filter, got None"),
        ("=", (math.nan,), "expected numbers below 1.8e308 in a filter, got one that is not"),
    ],
)
def test_a_comparison_takes_only_values_that_its_operator_can_compare(
    operator: Any, values: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Compare(("a", "b"), operator, values)


def test_every_operator_is_part_of_the_language() -> None:
    for operator in get_args(Operator):
        condition = Compare(("a",), operator, ("x",))
        assert parse(f"a {operator} 'x'") == condition
