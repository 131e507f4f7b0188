"""Questions with operators and with typos, over an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened import snapshot_of

from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.filters.condition import Compare
from docsim.index import Index
from docsim.models import MODES, Correction, Document, Mode, SearchResult
from docsim.search.corrections import corrected
from docsim.search.highlighting import highlighted

DOCUMENTS = [
    Document("leave", "Annual leave is 25 days. Sick leave is paid.", "Leave policy", {"team": "hr"}),
    Document("leave-uk", "Leave is annual here; leave the form with HR.", "Policy", {"team": "hr"}),
    Document("backup", "Restore the database backup. Backups are kept on tape.", "Backup guide", {"team": "sre"}),
    Document(
        "deploy",
        "Deploying the server needs max_retry_count. E-mail the team after the backup.",
        "Deployment",
        {"team": "sre"},
    ),
    Document("secret", "Project zanzibar restores the reserve of backap.", "", {"team": "board"}),
    Document("german", "Der Urlaub für Mitarbeiter in München ist geregelt.", "Urlaub"),
    Document("japanese", "東京都の年次休暇ポリシー", "休暇"),
    Document("empty", "", "policy annual leave"),
]
TEXTS = {one.id: (one.title, one.text) for one in DOCUMENTS}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("questions") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(DOCUMENTS)
        yield index


def ids(result: SearchResult) -> set[str]:
    return {hit.id for hit in result.hits}


def holding(words: str, *, title: bool = False, whole: bool = True) -> set[str]:
    """The documents that hold some words in a row in title or text, by a regular expression over both."""
    pattern = re.compile(r"\b" + r"[\W_]+".join(words.split()) + (r"(?![^\W_])" if whole else ""), re.IGNORECASE)
    return {
        id
        for id, parts in TEXTS.items()
        if any(pattern.search(one.replace("_", " ")) for one in parts[: 1 if title else 2])
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"annual leave"', {"leave", "empty"}),
        ('"leave annual"', set()),
        ('policy "annual leave" -sick', {"empty"}),
        ("title:policy leave", {"leave", "leave-uk", "empty"}),
        ('title:"annual leave"', {"empty"}),
        ('"policy annual"', {"empty"}),
        ("title:deploy* server", {"deploy"}),
        ('"retry count"', {"deploy"}),
        ('"e mail"', {"deploy"}),
        ('"für Mitarbeiter in munchen"', {"german"}),
        ('"年次休暇"', {"japanese"}),
        ('休暇 -"東京都"', set(TEXTS) - {"japanese"}),
        ('"nowhere to be found"', set()),
    ],
)
def test_operators_are_exact_in_every_mode(index: Index, mode: str, text: str, expected: set[str]) -> None:
    result = index.search(text, 99, mode=cast(Mode, mode))
    assert ids(result) == expected or (mode == "lexical" and ids(result) < expected and "-" in text)
    assert result.operators


operands = st.sampled_from(["leave", "annual", "policy", "backup", "the", "tape", "restore", "is", "server", "count"])
phrases = st.lists(operands, min_size=1, max_size=3).map(" ".join)
asked = st.tuples(phrases, st.lists(st.tuples(st.sampled_from(['"{}"', '-"{}"', 'title:"{}"']), phrases), max_size=3))


@pytest.mark.properties
@given(question=asked, mode=st.sampled_from(["dense", "hybrid"]))
@settings(max_examples=examples(25, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_operators_leave_what_a_regular_expression_leaves(
    index: Index, question: tuple[str, list[tuple[str, str]]], mode: str
) -> None:
    words, operators = question
    expected = set(TEXTS)
    for form, operand in operators:
        held = holding(operand, title=form.startswith("title"))
        expected = expected - held if form.startswith("-") else expected & held
    parts = sorted((form.format(operand) for form, operand in operators), key=lambda one: one.startswith("-"))
    assert ids(index.search(" ".join([words, *parts]), 99, mode=cast(Mode, mode))) == expected


@pytest.mark.properties
@given(text=st.text(min_size=1).filter(str.strip))
@settings(max_examples=examples(25, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_refused(index: Index, text: str) -> None:
    result = index.search(text, 99)
    assert result.operators or ids(result) == set(TEXTS)


def test_the_beginning_of_a_word_finds_all_words_that_begin_so(index: Index) -> None:
    assert ids(index.search("rest*", mode="lexical")) == {"backup", "secret"}
    assert ids(index.search("rest*", mode="lexical", where="team = 'sre'")) == {"backup"}
    assert len(index.search("rest*", 99).hits) == len(DOCUMENTS)


def test_filters_and_operators_both_count(index: Index) -> None:
    assert ids(index.search('"annual leave"', where="team = 'hr'")) == {"leave"}
    assert ids(index.search("leave -tape", where="team = 'sre'", mode="dense")) == {"deploy"}


def test_what_is_encoded_are_the_words_without_operators(index: Index) -> None:
    with_operators = index.search('backup "restore the database" -leave', mode="dense").hits[0]
    (plain,) = (hit for hit in index.search("backup restore the database", mode="dense").hits if hit.id == "backup")
    assert with_operators.id == "backup"
    assert with_operators.similarity == pytest.approx(plain.similarity)


def test_a_plain_search_reads_no_operators_and_corrects_nothing(index: Index) -> None:
    result = index.search('"annual leave" -sick bakcup', 99, plain=True)
    assert ids(result) == set(TEXTS)
    assert (result.operators, result.corrections) == ((), ())


# Corrections


def corrections(index: Index, text: str, where: str | None = None) -> list[tuple[str, str]]:
    result = index.search(text, where=where)
    return [(one.given, one.used) for one in result.corrections]


def test_a_word_that_no_document_holds_is_taken_for_the_one_that_was_meant(index: Index) -> None:
    result = index.search("restore the bakcup", mode="lexical")
    assert result.corrections == (Correction("bakcup", "backup"),)
    assert [hit.id for hit in result.hits] == [
        hit.id for hit in index.search("restore the backup", mode="lexical").hits
    ]
    assert result.query == "restore the bakcup"
    assert corrections(index, "Anual polcy?") == [("Anual", "annual"), ("polcy", "policy")]
    assert corrections(index, "der Urlaup in Munchenn") == [("Urlaup", "urlaub"), ("Munchenn", "munchen")]


@pytest.mark.parametrize(
    "text",
    [
        "backup", "backups", "restoring", "giraffe", "tap", "servr1", "max_retri_count", "maxRetriCount",
        "BAKCUP of it", "bakcup.md", "bakcup@example.org",
        '"bakcup"', "leave -bakcup", "title:bakcup", "bakcu*", "data base",
        "maxretrycount", "bakcup " * 25, "12345",
    ],
)  # fmt: skip
def test_nothing_else_is_corrected(index: Index, text: str) -> None:
    assert corrections(index, text) == []


def test_what_is_used_instead_occurs_where_the_filter_allows(index: Index) -> None:
    assert corrections(index, "zanzibaar") == [("zanzibaar", "zanzibar")]
    assert corrections(index, "zanzibaar", "team = 'hr'") == []
    assert corrections(index, "rezerve", "team = 'board'") == [("rezerve", "reserve")]
    assert corrections(index, "backip", "team = 'board'") == [("backip", "backap")]
    assert corrections(index, "backip") == [("backip", "backup")]
    assert corrections(index, "backip -zanzibar") == [("backip", "backup")]


def test_words_of_what_somebody_may_not_see_are_neither_used_nor_known(index: Index) -> None:
    seen = Compare(("team",), "=", ("sre",))
    with snapshot_of(index) as snapshot:
        assert corrected(snapshot, "zanzibaar", where=seen, visible=seen) == ("zanzibaar", ())
        assert corrected(snapshot, "backap", where=seen, visible=seen)[1] == (Correction("backap", "backup"),)
        assert corrected(snapshot, "backap") == ("backap", ())


def test_a_word_of_the_encoders_vocabulary_is_a_word_though_no_document_holds_it(index: Index) -> None:
    seen = Compare(("team",), "=", ("board",))
    with snapshot_of(index) as snapshot:
        assert snapshot.encoder.has_token("backup")
        assert corrected(snapshot, "backup", where=seen, visible=seen) == ("backup", ())
        assert corrected(snapshot, "backop", where=seen, visible=seen)[1] == (Correction("backop", "backap"),)


# Highlighting


def test_the_passages_of_an_answer_say_where_they_hold_what_was_asked_for(index: Index) -> None:
    result = highlighted(index.search('"sick leave" polcy', mode="lexical"))
    (passage,) = result.hits[0].passages
    assert [passage.text[start - passage.start : end - passage.start] for start, end in passage.matches] == [
        "leave",
        "Sick leave",
    ]
    assert highlighted(index.search("anything else")).hits
    assert index.search("leave").hits[0].passages[0].matches == ()


# Suggestions


def test_what_is_typed_is_completed_by_what_most_documents_hold(index: Index) -> None:
    found = index.suggest("annual le")
    assert [(one.text, one.documents) for one in found.words] == [("annual leave", 3)]
    assert [one.id for one in found.titles] == ["empty"]
    assert [one.text for one in index.suggest("back", 2).words] == ["backup", "backap"]
    assert [one.text for one in index.suggest("back", where="team = 'board'").words] == ["backap"]
    assert [one.text for one in index.suggest("Münch").words] == ["munchen"]
    assert {one.id for one in index.suggest("pol").titles} == {"leave", "leave-uk", "empty"}
    assert {one.id for one in index.suggest("pol", where="team = 'hr'").titles} == {"leave", "leave-uk"}
    assert [one.id for one in index.suggest("休").titles] == ["japanese"]
    for nothing in ("", " ", "zzz", "東", "..."):
        assert index.suggest(nothing).words == ()
    with pytest.raises(UsageError, match="expected k"):
        index.suggest("back", 0)
