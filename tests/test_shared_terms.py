"""Terms that two texts share, as the full-text index stems and counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docsim.analysis.shared_terms import SharedTerm, shared_terms
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.index import Index
from docsim.models import Document


@pytest.fixture
def snapshot(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Snapshot]:
    texts = {"a": "Rotating keys", "b": "rotate the key", "c": "the soup", "d": "a ticket"}
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(id, text) for id, text in texts.items()])
        with index.engine.snapshot() as snapshot:
            yield snapshot


def test_forms_of_a_word_are_one_term_and_rare_terms_come_first(snapshot: Snapshot) -> None:
    assert shared_terms(snapshot, "Rotating the tickets, the keys", "we rotate THE key; ticket") == [
        SharedTerm("ticket", ("ticket", "tickets"), documents=1, a=1, b=1),
        SharedTerm("key", ("key", "keys"), documents=2, a=1, b=1),
        SharedTerm("rotat", ("rotate", "rotating"), documents=2, a=1, b=1),
        SharedTerm("the", ("the",), documents=2, a=2, b=1),
    ]


def test_terms_of_a_script_without_spaces_are_pairs_of_characters(snapshot: Snapshot) -> None:
    found = shared_terms(snapshot, "\u5e74\u5047\u653f\u7b56", "\u5e26\u85aa\u5e74\u5047")
    assert [term.term for term in found] == ["\u5e74\u5047"]


def test_a_term_that_no_document_holds_counts_none(snapshot: Snapshot) -> None:
    assert [term.documents for term in shared_terms(snapshot, "umbrella", "Umbrellas")] == [0]


@pytest.mark.parametrize("text", ["", "\N{GRINNING FACE} '\" OR * ) NEAR", "x\ud800y"])
def test_any_text_has_terms_in_common_with_itself_or_none(snapshot: Snapshot, text: str) -> None:
    assert all(term.a == term.b > 0 for term in shared_terms(snapshot, text, text))
