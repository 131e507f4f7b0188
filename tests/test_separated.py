"""A quote that is never closed costs its own row and no other."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.ingest.separated import rows


def read(text: str, *, tabs: bool = False) -> list[list[str] | str]:
    """Return the cells of each row, or the reason why it cannot be read."""
    found = rows(io.StringIO(text, newline=""), tabs=tabs, longest=1 << 20)
    return [row.reason or row.cells for row in found]


NEVER = "a quote in the row is never closed"
HEAD = "id,title,text\n"


def test_a_quote_that_is_never_closed_swallows_no_row() -> None:
    assert read(HEAD + '1,a,b\n2,"c,d\n3,e,f\n4,g,h\n')[1:] == [
        ["1", "a", "b"],
        NEVER,
        ["3", "e", "f"],
        ["4", "g", "h"],
    ]


@pytest.mark.parametrize("last", ['2,"c,d', '2,c,"d\n', '2,"c,d\r\n'])
def test_nor_in_the_last_row(last: str) -> None:
    assert read(HEAD + "1,a,b\n" + last)[1:] == [["1", "a", "b"], NEVER]


def test_a_quote_that_another_row_seems_to_close_swallows_none_of_it() -> None:
    found = read(HEAD + '1,"a,b\n2,"c, c","d"\n3,"e","f"\n')
    assert found[2:] == [["2", "c, c", "d"], ["3", "e", "f"]]
    assert isinstance(found[1], str)


def test_a_quoted_cell_of_many_lines_is_one_cell() -> None:
    assert read(HEAD + '1,a,"b\r\n\n""c"" d"\n2,e,f\n')[1:] == [["1", "a", 'b\r\n\n"c" d'], ["2", "e", "f"]]


def test_quotes_that_are_not_as_they_should_be_are_read_if_they_end_on_their_line() -> None:
    assert read(HEAD + '1,"big" one,b\n2,5" disk,c\n')[1:] == [["1", "big one", "b"], ["2", '5" disk', "c"]]


def test_the_rest_of_a_row_that_could_not_be_read_is_no_row() -> None:
    found = read(HEAD + '1,a,"he said "hi" and\nleft",x\n2,b,c\n')
    assert found[-1] == ["2", "b", "c"]
    assert all(isinstance(one, str) for one in found[1:-1])


@pytest.mark.parametrize(
    ("text", "tabs"),
    [("a;b\n1;2,5\n", False), ("a|b\n1|2\n", False), ("sep=;\na;b\n1;2\n", False), ("a\tb\n1\t2\n", True)],
)
def test_the_separator_is_found(text: str, tabs: bool) -> None:
    assert [len(row) for row in read(text, tabs=tabs)] == [2, 2]


def test_lines_are_counted_from_the_one_a_row_begins_on() -> None:
    found = rows(io.StringIO('a,b\n1,"x\ny"\n2,"z\n3,w\n', newline=""), tabs=False, longest=100)
    assert [row.line for row in found] == [1, 2, 4, 5]


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2).filter(any), min_size=1, max_size=8))
def test_what_python_writes_is_read_back(table: list[list[str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *table])
    assert read(stream.getvalue())[1:] == table


@pytest.mark.parametrize("line", ['"\n', '"a\n', 'a,"b""\n', '""\n', "\n", 'x"y,"\n'])
def test_hostile_rows_take_linear_time(line: str) -> None:
    start = time.perf_counter()
    read("a,b\n" + line * 50_000)
    assert time.perf_counter() - start < 20
