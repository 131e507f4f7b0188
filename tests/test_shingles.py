"""Shingles: the overlap of wordings, against a plain computation and in cases worked by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docsim.analysis import shingles
from docsim.analysis.shingles import Overlaps, Wording

SENTENCE = "rotate the signing keys of every server once a year"
TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join), min_size=2, max_size=6)


def covered(text: str, other: str) -> float:
    return shingles.covered(Wording(text), Wording(other))


def plain_overlap(texts: list[str], one: int, other: int) -> float:
    """The share of one text's shingles in the other, weighed as the module's docstring says."""
    sets = []
    for text in texts:
        words = text.split()
        length = min(3, len(words))
        sets.append({tuple(words[i : i + length]) for i in range(len(words) - length + 1)} if words else set())
    documents = Counter(shingle for each in sets for shingle in each)
    weight = {shingle: math.log(1 + len(texts) / count) for shingle, count in documents.items()}
    total = sum(weight[shingle] for shingle in sets[one])
    return sum(weight[shingle] for shingle in sets[one] & sets[other]) / total if total else 0.0


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS)
def test_overlaps_are_those_of_a_plain_computation(texts: list[str]) -> None:
    pairs = np.array([(i, j) for i in range(len(texts)) for j in range(len(texts))])
    expected = [[plain_overlap(texts, i, j), plain_overlap(texts, j, i)] for i, j in pairs.tolist()]
    assert (overlaps := Overlaps(texts)).of(pairs) == pytest.approx(np.array(expected), abs=1e-6)
    others = pairs[:, 0] != pairs[:, 1]
    assert (overlaps.at_most(pairs)[others] >= overlaps.of(pairs)[others]).all()


def test_a_character_of_a_script_without_spaces_is_a_word() -> None:
    text, other = "2024\u5e74\u306e\u4f11\u6687\u898f\u5b9a", "2025\u5e74\u306e\u4f11\u6687\u898f\u5b9a"
    assert covered(text, other) == pytest.approx(6 / 7)
    assert Overlaps([text, other]).counts.tolist() == [5, 5]


def test_a_text_contains_itself_whatever_its_case_and_punctuation() -> None:
    shares = Overlaps([SENTENCE, SENTENCE.title().replace(" ", " - "), "soup"]).of(np.array([[0, 1]]))
    assert shares.tolist() == [[pytest.approx(1.0), pytest.approx(1.0)]]


def test_wording_that_many_share_counts_less() -> None:
    template = "see the page of the command for more"
    texts = [f"{template} {one}" for one in ("boil the soft soup", "book a train ticket", "report an error now")]
    pair = Overlaps([*texts, SENTENCE]).of(np.array([[0, 1]]))[0, 0]
    alone = Overlaps([*texts[:2], SENTENCE, "soup"]).of(np.array([[0, 1]]))[0, 0]
    assert pair < alone < 0.6


def test_texts_without_words_share_nothing() -> None:
    overlaps = Overlaps(["", "...", SENTENCE])
    assert overlaps.counts.tolist() == [0, 0, 8]
    assert overlaps.of(np.array([[0, 1], [0, 2]])).tolist() == [[0, 0], [0, 0]]


def test_covered_is_the_share_of_words_in_common_runs() -> None:
    assert covered("now " + SENTENCE, SENTENCE + " again") == pytest.approx(10 / 11)
    assert covered("rotate keys signing the", SENTENCE) == 0.0
    assert covered("Every Server!", SENTENCE) == 1.0
    assert covered("", SENTENCE) == 0.0
