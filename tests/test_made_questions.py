from __future__ import annotations

from docsim.models import Document
from docsim.reindex.made_questions import CorpusWords, made_questions, made_span

EXPENSES = Document(
    "expenses.md",
    """# Claiming expenses

Money that you spend on a journey is paid back within ten days. Send the receipts to the finance team, who check them
against the limits for the country that you went to, and keep a copy of each until the amount is in your account.

## What is never paid back

- fines, alcohol and [anything for the family](family.md)

Can I claim a taxi? Only if no train runs at that hour, or if you carry more than twenty kilograms of equipment.

## See also

Limits by country
""",
    "Claiming expenses",
)
OTHER = Document("other.md", "# Keys\n\n## See also\n\nNothing else is in here, and it is not about money.\n", "Keys")
CORPUS = CorpusWords.counted([EXPENSES, OTHER])


def test_a_span_is_a_part_of_the_text_and_the_rest_lacks_it() -> None:
    for turn in range(10):
        span = made_span(EXPENSES, turn)
        assert span is not None
        shown = span.shown.removeprefix("... ").removesuffix(" ...")
        assert shown in " ".join(EXPENSES.text.split())
        assert shown not in " ".join(span.rest.text.split())
        assert 8 <= len(shown.split()) <= 40
        assert len(span.rest.text.split()) >= 30
        assert set(span.text.split()) <= set(shown.split())
        assert (span.rest.id, span.rest.title) == ("expenses.md", "Claiming expenses")


def test_a_span_begins_with_a_sentence_or_a_line() -> None:
    starts = {span.shown.removeprefix("... ").split()[0] for turn in range(40) if (span := made_span(EXPENSES, turn))}
    beginnings = {line.split()[0] for line in EXPENSES.text.splitlines() if line.strip()} | {"Send", "Only"}
    assert starts <= beginnings


def test_some_of_the_words_that_the_rest_has_too_are_struck_and_no_others() -> None:
    text = "apple berry cherry damson elder fig grape hazel " * 2 + " ".join(f"w{n}" for n in range(60))
    struck = set()
    for turn in range(20):
        span = made_span(Document("d", text), turn)
        assert span is not None
        gone = set(span.shown.split()) - set(span.text.split()) - {"..."}
        assert gone <= set(span.rest.text.split())
        struck |= gone
    assert struck


def test_a_short_text_is_cut_in_the_middle_and_a_shorter_one_not_at_all() -> None:
    span = made_span(Document("d", " ".join(f"w{n}" for n in range(12))))
    assert span is not None
    assert len(span.text.split()) == 6
    assert made_span(Document("d", " ".join(f"w{n}" for n in range(11)))) is None


def test_texts_without_spaces_between_words_are_cut_as_well() -> None:
    text = "文書検索は利用者の質問に最も近い文書を見つける。埋め込みは文の意味を数値の並びで表す。" * 3
    span = made_span(Document("d", text))
    assert span is not None
    assert span.shown.strip(". ") in text
    assert len(span.rest.text) < len(text)


def test_questions_are_titles_headings_sentences_and_telling_words() -> None:
    made = {one.text for one in made_questions(EXPENSES, CORPUS, 20)}
    assert {
        "Claiming expenses",
        "What is never paid back",
        "Can I claim a taxi?",
        "Money that you spend on a journey is paid back within ten days.",
        "Limits by country",
    } <= made
    assert "See also" not in made, "what several documents say tells nothing about one of them"
    assert any(set(text.split()) <= set(EXPENSES.text.lower().split()) for text in made), "telling words"


def test_a_question_is_taken_out_of_its_document() -> None:
    for one in made_questions(EXPENSES, CORPUS, 20):
        assert one.text not in one.rest.text
        assert one.text != one.rest.title
        assert one.shown.startswith(one.text)


def test_half_of_the_words_of_questions_are_struck_from_the_rest() -> None:
    left, asked = 0, 0
    for one in made_questions(EXPENSES, CORPUS, 20):
        words = {word.strip(".,?").lower() for word in one.text.split()}
        elsewhere = words & {word.strip(".,?").lower() for word in EXPENSES.text.replace(one.text, "").split()}
        left += len(elsewhere & {word.strip(".,?").lower() for word in one.rest.text.split()})
        asked += len(elsewhere)
    assert 0 < left < asked


def test_the_same_questions_are_made_each_time_and_no_more_than_are_wanted() -> None:
    assert made_questions(EXPENSES, CORPUS, 3) == made_questions(EXPENSES, CORPUS, 3)
    assert len(made_questions(EXPENSES, CORPUS, 3)) == 3


def test_a_document_that_says_nothing_gives_no_question() -> None:
    for text in ("", "word", "# Keys", "...\n\n---"):
        assert made_questions(Document("d", text, "Keys"), CORPUS) == []
        assert made_span(Document("d", text)) is None
