from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.ingest.readers.right_to_left import reordered

HEBREW = "\u05d3\u05e8\u05da"
LEAVE = "\u05d7\u05d5\u05e4\u05e9\u05d4"
FORM = "\u05d8\u05d5\u05e4\u05e1"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (f"{LEAVE} {FORM} {HEBREW} Portal Resources Human", f"{LEAVE} {FORM} {HEBREW} Human Resources Portal"),
        (f"{LEAVE} {FORM} {HEBREW} 2.3 version 7 Form", f"{LEAVE} {FORM} {HEBREW} Form 7 version 2.3"),
        (f"The form is {LEAVE} {FORM} in Hebrew", f"The form is {FORM} {LEAVE} in Hebrew"),
        (f"{LEAVE} {FORM} 15 {HEBREW} 2024", f"{LEAVE} {FORM} 15 {HEBREW} 2024"),
        (f"{LEAVE} {FORM} (A Form) {HEBREW}", f"{LEAVE} {FORM} (Form A) {HEBREW}"),
        ("No word of another script 12 13", "No word of another script 12 13"),
    ],
)
def test_words_of_the_other_direction_are_read_in_their_order(given: str, read: str) -> None:
    assert reordered(f"Before it\n{given}\nAfter it") == f"Before it\n{read}\nAfter it"


@given(st.text(f"ab1 .()\n{HEBREW}", max_size=60))
def test_no_word_is_lost(text: str) -> None:
    assert sorted(reordered(text)) == sorted(text)
