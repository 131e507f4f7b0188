from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from written import first_passage, opened, put

from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import SourceName
from docsim.models import Failure


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalWriter]:
    with opened(tmp_path) as store:
        yield store


def test_numbers_of_removed_documents_and_passages_are_never_used_again(store: LocalWriter) -> None:
    number = put(store, "a", passages=3)
    first = first_passage(store, number)
    with store.writing():
        store.remove(number)
    again = put(store, "a", passages=2)
    assert again > number
    assert first_passage(store, again) >= first + 3


def test_numbers_stay_used_after_the_file_is_opened_anew(store: LocalWriter, tmp_path: Path) -> None:
    number = put(store, "a", passages=3)
    with store.writing():
        store.remove(number)
    store.close()
    reopened = LocalWriter(tmp_path, writable=True)
    again = put(reopened, "b")
    assert again == number + 1
    assert first_passage(reopened, again) == 4
    reopened.close()


def test_a_changed_document_keeps_its_number_and_gets_new_passages(store: LocalWriter) -> None:
    number = put(store, "a", passages=2)
    put(store, "a", "other text", passages=3, number=number)
    assert first_passage(store, number) == 3
    assert store.documents_after(1, 0).tolist() == [[3, number]]
    assert [row[1:] for row in store.deletions_after(0)] == [(1, 2)]


def test_a_removed_document_leaves_nothing_but_its_deletion(store: LocalWriter) -> None:
    number = put(store, "a", passages=2)
    with store.writing():
        store.remove(number)
    for table in ("documents", "passages", "embeddings", "origins"):
        assert store.value(f"SELECT count(*) FROM {table}") == 0
    assert [row[1:] for row in store.deletions_after(0)] == [(1, 2)]


def test_a_document_held_by_two_sources_stays_until_neither_has_it(store: LocalWriter) -> None:
    number = put(store, "a")
    with store.writing():
        assert store.open_source(None, SourceName("python", "q", "q")) == 2
        store.link(2, "a", document_number=number, digest="")
        assert not store.unlink(1, "a")
        assert store.document(number) is not None
        assert store.unlink(2, "a")
    assert store.document(number) is None


def test_failures_replace_those_of_the_run_before(store: LocalWriter) -> None:
    with store.writing():
        store.close_source(1, [Failure("a", "why"), Failure("b", "why")])
        store.close_source(1, [Failure("b", "still")])
    assert store.rows("SELECT path, reason FROM failures") == [("b", "still")]
