from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.text.folding import folded, normalized


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Straße", "strasse"),
        ("STRASSE", "strasse"),
        ("Łódź", "lodz"),
        ("Tromsø", "tromso"),
        ("Kırıkkale", "kirikkale"),
        ("İstanbul", "istanbul"),
        ("ΑΘΉΝΑΣ", "αθηνασ"),
        ("ὁδός", "οδοσ"),
        ("Ёлка", "елка"),
        ("замо\u0301к", "замок"),
        ("ﬁnden", "finden"),
        ("Ｆｕｌｌ", "full"),
        ("Ｋｒａｎｋｅｎ\u00adｋａｓｓｅ", "krankenkasse"),
        ("Reise\u200bkosten", "reisekosten"),
        ("naïve", "naive"),
        ("nai\u0308ve", "naive"),
        ("שָׁלוֹם", "שלומ"),
        ("كِتَاب", "كتاب"),
        ("أحمد", "احمد"),
    ],
)
def test_spellings_of_one_word_are_one(word: str, expected: str) -> None:
    assert folded(normalized(word)) == expected


@pytest.mark.parametrize(
    ("one", "other"), [("мой", "мои"), ("ガス", "カス"), ("कि", "की"), ("год", "гид"), ("их", "їх")]
)
def test_marks_that_make_another_letter_stay(one: str, other: str) -> None:
    assert folded(normalized(one)) != folded(normalized(other))


@pytest.mark.parametrize("halves", ["カ\u3099", "ｶﾞ"])
def test_a_letter_in_two_halves_is_the_whole_one(halves: str) -> None:
    assert folded(normalized(halves)) == "ガ"


@given(st.text(max_size=30))
def test_what_is_folded_stays_as_it_is(text: str) -> None:
    once = folded(normalized(text))
    assert folded(normalized(once)) == folded(once) or not once.isalpha()
