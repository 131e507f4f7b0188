"""What hits show: ``docsim.rendering``, modules ``readable`` and ``terminal_snippets``; ``docsim.analysis.alike``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsim.analysis.alike import folded
from docsim.models import Hit, PassageHit
from docsim.rendering.readable import inline, sentences
from docsim.rendering.terminal_snippets import Snippet, snippets
from docsim.text.matching import Matcher

PAGE = """\
## Setup

Collect your PIV card from the [badge office](https://example.org/a_(b)). It takes **two** days, e.g. on Mondays.

| Office | Hours |
|--------|:-----:|
| Leeds  | 9 to 5 |

Forgot your card
----------------

If it lies at home, ask the front desk for a day pass. Return it before you leave.

```sh
| piv reset --now
```
"""


def hit(text: str, *, rank: int = 1, title: str = "", heading: str = "") -> Hit:
    passage = PassageHit(0, len(text), text, 0.5, heading)
    return Hit(rank, f"h{rank}", title, 0.5, 0.5, None, {}, (passage,))


def shown(question: str, text: str, **more: str) -> Snippet:
    one = hit(text, **more)  # type: ignore[arg-type]
    return snippets(Matcher(question), [(one.title, one.passages)])[0]


def read(snippet: Snippet) -> str:
    return "".join(part for part, _ in snippet.parts)


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        ("See [the **guide**](a.md) and ![a map](m.png).", "See the guide and a map."),
        ("Ask in [[it/help|the help channel]] or [[it]].", "Ask in the help channel or it."),
        ("Set `max_retry_count` and `**kwargs`, *not* __init__.", "Set max_retry_count and **kwargs, not init."),
        ("2 * 3 * 4 and snake_case_name and a_b", "2 * 3 * 4 and snake_case_name and a_b"),
        ("AT&amp;T <b>bold</b> a < b and c > d", "AT&T bold a < b and c > d"),
        ("See :ref:`the setup <setup>` and `docs <https://x.y>`_.", "See the setup and docs."),
        ("Ends in a [link](https://example.org/cut", "Ends in a link"),
        ("Noted[^1] <https://example.org> \\*done\\*", "Noted https://example.org *done*"),
        ('A {{< note title="x" >}} here<!-- not this --> and {#anchor}', "A here and"),
    ],
)
def test_marks_are_taken_out_and_nothing_else(written: str, reads: str) -> None:
    assert inline(written) == reads


def test_a_passage_is_cut_into_sentences_rows_and_code_with_their_sections() -> None:
    assert [(one.section, one.text, one.is_code) for one in sentences(PAGE, "Above")] == [
        ("Setup", "Collect your PIV card from the badge office.", False),
        ("Setup", "It takes two days, e.g. on Mondays.", False),
        ("Setup", "Office \u00b7 Hours", False),
        ("Setup", "Leeds \u00b7 9 to 5", False),
        ("Forgot your card", "If it lies at home, ask the front desk for a day pass.", False),
        ("Forgot your card", "Return it before you leave.", False),
        ("Forgot your card", "| piv reset --now", True),
    ]
    assert sentences("goes on here", "Above")[0].section == "Above"


@given(st.text(alphabet="ab .|`*_[](){}<>#=-~\\&;:!\n\x00\u3002漢", max_size=300), st.text("ab 漢", max_size=9))
def test_any_text_is_read(text: str, question: str) -> None:
    for one in sentences(text):
        assert "\n" not in one.text
        assert one.text.strip() == one.text
    assert len(read(shown(question, text))) <= 244


def test_the_sentence_that_answers_is_shown_with_its_section_and_marked_words() -> None:
    found = shown("I forgot my card at home", PAGE)
    assert found.section == "Forgot your card"
    assert read(found).startswith("If it lies at home, ask the front desk")
    assert [part for part, is_marked in found.parts if is_marked] == ["home"]
    assert read(shown("Leeds opening hours", PAGE)).startswith("Office \u00b7 Hours \u00b7 Leeds")


def test_words_are_marked_whatever_their_ending_and_in_unspaced_scripts() -> None:
    assert ("Claims", True) in shown("how do I claim", "Claims are paid. Nothing else.").parts
    assert ("証明書", True) in shown("証明書の更新", "期限の前に証明書を入れ替える。").parts


def test_a_section_named_as_the_title_is_not_told_twice() -> None:
    assert shown("soup", "# Soup\n\nBoil the soup.", title="Soup").section == ""


def test_a_long_sentence_is_shown_around_what_was_asked() -> None:
    text = "word " * 200 + "needle " + "word " * 200
    found = read(shown("needle", text))
    assert "needle" in found
    assert found.startswith("\u2026 ")
    assert found.endswith(" \u2026")
    assert len(found) <= 244


def test_without_shared_words_similarity_decides() -> None:
    def similar(texts: object) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.array([0.0, 0.9, 0.1], np.float32)

    passages = hit("One thing. Rail fares are paid. Another thing.").passages
    assert read(snippets(Matcher("train"), [("", passages)], similar=similar)[0]).startswith("Rail fares")
    assert snippets(Matcher("x"), [("", ())]) == [Snippet("", ())]


def test_hits_that_say_the_same_are_one_group() -> None:
    text = " ".join(f"word{number}" for number in range(60))
    hits = [
        hit(text, rank=1),
        hit(" ".join(f"other{number}" for number in range(60)), rank=2),
        hit(text.replace("word30 ", "word30 changed "), rank=3),
        hit(" ".join(f"word{number}" for number in range(30)), rank=4),
        hit("", rank=5),
        hit("", rank=6),
        hit("short one", rank=7),
        hit("Short  one", rank=8),
    ]
    assert [[one.rank for one in group] for group in folded(hits)] == [[1, 3], [2], [4], [5], [6], [7, 8]]
