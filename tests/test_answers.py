from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from docsim import Document, Encoder, Index
from docsim.cli import main
from docsim.search.answers import MOST_WORDS, Evidence, answerable, evidence

SUBJECTS = {
    "leave": "Parental leave lasts twenty weeks. Ask your manager three months before it begins.",
    "travel": "Book a train ticket in the travel portal. First class is allowed if it costs less on the day.",
    "keys": "Rotate the signing keys every ninety days, and revoke a key that was lost at once.",
    "lunch": "The canteen serves lunch from noon. Soup is free on Fridays.",
    "backup": "Databases are copied every night. A restore takes about an hour.",
    "visitors": "Visitors sign in at the desk and wear a badge while they are in the building.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Six subjects on four pages each."""
    with Index.create(tmp_path_factory.mktemp("answers") / "index", encoder=Encoder.default()) as made:
        made.sync(
            Document(f"{name}{page}", f"{text} See page {page} of the staff guide.")
            for name, text in SUBJECTS.items()
            for page in range(4)
        )
        yield made


def test_the_more_is_covered_and_the_rarer_the_similarity_the_likelier_is_an_answer() -> None:
    least, covered, rare = Evidence(0.0, 50.0), Evidence(1.0, 50.0), Evidence(0.0, 99.9)
    assert 0 < least.likelihood < min(covered.likelihood, rare.likelihood)
    assert max(covered.likelihood, rare.likelihood) < Evidence(1.0, 99.9).likelihood < 1


def test_a_question_about_another_subject_is_doubted_and_one_about_its_own_is_not(index: Index) -> None:
    for question in ("how long is parental leave", "book a train ticket", "rotate signing keys"):
        assert not index.search(question).nothing_here
    for question in ("supersonic boundary layer turbulence", "treatment of viral hepatitis in infants"):
        found = index.search(question)
        assert found.nothing_here
        assert found.answerable is not None
        assert found.answerable < 0.25
        assert found.hits


def test_nothing_is_said_of_documents_other_modes_later_pages_and_long_questions(index: Index) -> None:
    text = "treatment of viral hepatitis"
    long = " ".join(f"word{i}" for i in range(MOST_WORDS + 1))
    told = [index.similar("leave0"), index.search(text, mode="dense"), index.search(text, mode="lexical")]
    assert [one.answerable for one in (*told, index.search(long))] == [None] * 4


def test_of_a_long_question_there_is_evidence_with_the_words_that_no_document_holds_but_no_estimate(
    index: Index,
) -> None:
    words = "how does an unheard zeppelin moor while visitors sign in at the desk and wear a badge in the building"
    question = Document(
        "query", words + " where soup is free and keys are lost on the day that the canteen serves lunch"
    )
    hits = index.search(question.text).hits
    with index.engine.snapshot(encoder=True) as snapshot:
        number = snapshot.number(hits[0].id)
        assert number is not None
        told = evidence(snapshot, question, number, hits[0].percentile)
        assert answerable(snapshot, question, number, hits[0].percentile) is None
    assert told is not None
    assert told.missing == ("unheard", "zeppelin", "moor")
    assert 0 < told.covered < 1


def test_the_command_line_says_that_there_is_probably_nothing(index: Index) -> None:
    def said(*arguments: str) -> str:
        return CliRunner().invoke(main, ["query", *arguments, "--index", str(index.path)]).stderr

    assert "Probably nothing here" in said("treatment of viral hepatitis in infants")
    assert "Probably nothing here" not in said("book a train ticket")
    assert "Probably nothing here" not in said("treatment of viral hepatitis in infants", "--quiet")
