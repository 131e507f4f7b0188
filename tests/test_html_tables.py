"""Merged cells of tables don't shift the cells after them."""

from __future__ import annotations

import time

import pytest

from docsim.ingest.readers.html import read
from docsim.ingest.readers.html_tables import span


def rows(html: str) -> list[list[str]]:
    """Return the cells of a table as its Markdown has them, without the line below the header."""
    lines = read(f"<p>before</p><table>{html}</table>").text.splitlines()[2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in [lines[0], *lines[2:]]]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<tr><th>Region<th>Q1<th>Q2<tr><td colspan=2>North<td>7",
            [["Region", "Q1", "Q2"], ["North", "", "7"]],
        ),
        (
            "<tr><th rowspan=2>Region<th colspan=2>Sales<tr><th>Q1<th>Q2<tr><td>North<td>1<td>2",
            [["Region", "Sales", ""], ["", "Q1", "Q2"], ["North", "1", "2"]],
        ),
        (
            "<tr><td>a<td rowspan=3>b<td>c<tr><td>d<td>e<tr><td>f<td>g<tr><td>h<td>i<td>j",
            [["a", "b", "c"], ["d", "", "e"], ["f", "", "g"], ["h", "i", "j"]],
        ),
        (
            "<tr><td rowspan=2 colspan=2>a<td>b<tr><td>c<tr><td>d<td>e<td>f",
            [["a", "", "b"], ["", "", "c"], ["d", "e", "f"]],
        ),
        ("<tr><td>a<td rowspan=2>b<tr><td>c", [["a", "b"], ["c", ""]]),
        (
            "<thead><tr><th rowspan=9>a<th>b</thead><tbody><tr><td>c<td>d</tbody>",
            [["a", "b"], ["c", "d"]],
        ),
        (
            "<tbody><tr><td rowspan=0>a<td>b<tr><td>c</tbody><tbody><tr><td>d<td>e</tbody>",
            [["a", "b"], ["", "c"], ["d", "e"]],
        ),
        ("<tr><td colspan=0>a<td colspan=-2>b<td colspan=x>c", [["a", "b", "c"]]),
    ],
)
def test_every_cell_stays_in_its_column(html: str, expected: list[list[str]]) -> None:
    assert rows(html) == expected


def test_the_line_below_the_header_has_as_many_columns_as_the_header_spans() -> None:
    text = read("<table><tr><th colspan=3>Sales<tr><td>1<td>2<td>3</table>").text
    assert text == "| Sales |  |  |\n| --- | --- | --- |\n| 1 | 2 | 3 |"


def test_hostile_spans_make_a_page_only_a_few_times_as_long() -> None:
    across = "<tr><td colspan=1000>x" * 2_000
    down = "<tr>" + "<td rowspan=65534>x" * 2_000 + "<tr><td>x" * 2_000
    for html in (across, down):
        began = time.monotonic()
        text = read(f"<table>{html}</table>").text
        assert len(text) < 25 * len(html)
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(("value", "columns"), [("2", 2), (" 3 ", 3), ("2.9", 2), (None, 1), ("", 1), ("two", 1)])
def test_a_span_is_the_number_that_an_attribute_begins_with(value: str | None, columns: int) -> None:
    assert span(value) == columns
