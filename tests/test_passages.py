"""Passages slice back, cover everything, and are cut where a reader would cut them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.ingest.passages import split

_MARKUP = st.sampled_from(
    [
        "# A title\n",
        "## Part\n",
        "Setext\n======\n",
        "```\n",
        "~~~ sh\n",
        "\n\n",
        "- item\n",
        "| a | b |\n",
        " ",
        "word ",
    ]
)
TEXTS = st.lists(st.one_of(_MARKUP, st.text(max_size=80)), max_size=60).map("".join)


@given(TEXTS, st.integers(2, 200), st.integers(0, 100))
def test_every_visible_character_lies_in_a_passage(text: str, target: int, overlap: int) -> None:
    passages = split(text, target=target, overlap=min(overlap, target // 2))
    covered = set[int]()
    for passage in passages:
        covered.update(range(passage.start, passage.end))
    assert all(index in covered for index, character in enumerate(text) if not character.isspace())


@given(TEXTS, st.integers(2, 200), st.integers(0, 100))
def test_passages_come_in_order_and_within_the_length_asked_for(text: str, target: int, overlap: int) -> None:
    passages = split(text, target=target, overlap=min(overlap, target // 2))
    assert all(0 <= p.end - p.start <= target * 5 // 4 for p in passages)
    assert all(a.start < b.start and a.end < b.end for a, b in itertools.pairwise(passages))
    assert all(0 <= p.start <= p.end <= len(text) for p in passages)


@given(TEXTS)
def test_passages_begin_and_end_with_visible_characters(text: str) -> None:
    for passage in split(text):
        span = text[passage.start : passage.end]
        assert span == span.strip()


def test_a_text_without_content_has_one_empty_passage() -> None:
    assert [(p.start, p.end) for p in split(" \n\n\t")] == [(0, 0)]


def test_a_short_text_is_one_passage() -> None:
    text = "# Title\n\nOne paragraph.\n"
    assert [(p.start, p.end) for p in split(text)] == [(0, len(text) - 1)]


def test_a_passage_ends_before_a_heading_rather_than_between_paragraphs() -> None:
    text = "# One\n\n" + "a b c. " * 12 + "\n\n## Two\n\n" + "d e f. " * 4 + "\n\n" + "g h i. " * 10
    first, second = split(text, target=130, overlap=20)[:2]
    assert text[first.start : first.end].startswith("# One")
    assert second.start == text.index("## Two")
    assert second.heading == "One"


def test_a_passage_ends_between_paragraphs_rather_than_inside_one() -> None:
    text = "First sentence here. Another one.\n\nSecond paragraph starts. It goes on and on. And on."
    first = split(text, target=50, overlap=0)[0]
    assert text[first.start : first.end] == "First sentence here. Another one."


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "Alpha beta gamma delta. " * 20
    for passage in split(text, target=100, overlap=0):
        assert text[passage.start : passage.end].endswith(".")


def test_neighbours_in_one_section_overlap_and_sections_do_not() -> None:
    text = "# One\n\n" + "Alpha beta gamma. " * 12 + "\n\n# Two\n\n" + "Delta epsilon. " * 12
    passages = split(text, target=120, overlap=40)
    two = next(index for index, p in enumerate(passages) if p.start == text.index("# Two"))
    assert passages[1].start < passages[0].end
    assert passages[two].start >= passages[two - 1].end


def test_a_comment_inside_a_code_fence_is_no_heading() -> None:
    text = "# Real\n\n```sh\n# not a heading\nmake\n```\n\n" + "Text goes here. " * 20
    assert {p.heading for p in split(text, target=100, overlap=0)} == {"", "Real"}


def test_a_code_fence_is_not_cut_at_its_blank_lines() -> None:
    fence = "```\n" + "x = 1\n\ny = 2\n" + "```"
    text = "Intro words. " * 5 + "\n\n" + fence + "\n\n" + "After words. " * 8
    passages = split(text, target=100, overlap=0)
    assert any(fence in text[p.start : p.end] for p in passages)


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("# A\n\n## B\n\n{}", "A > B"),
        ("A\n=\n\nAbc\n===\n\nBcd\n---\n\n{}", "Abc > Bcd"),
        ("=====\nBoxed\n=====\n\nUnder\n=====\n\n{}", "Boxed > Under"),
        ("## Closed ##\n\n{}", "Closed"),
    ],
)
def test_a_passage_knows_the_headings_above_it(text: str, heading: str) -> None:
    assert split(text.format("Some words here. " * 30), target=150, overlap=0)[-1].heading == heading


@pytest.mark.parametrize(
    "hostile",
    [
        "~~~ x\n" * 100_000,
        "# " + " " * 500_000 + "x",
        "=" * 500_000,
        "\n \n" * 200_000,
        "a" * 2_000_000,
        "```" * 200_000,
    ],
)
@pytest.mark.timeout(60)
def test_hostile_texts_are_split_in_linear_time(hostile: str) -> None:
    passages = split(hostile)
    assert passages[-1].end == len(hostile.rstrip())


def test_lengths_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        split("text", target=10, overlap=6)
