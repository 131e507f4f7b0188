"""A question that is the name of a page is answered by that page first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import Document
from docsim.search.names import AMONG, MOST_WORDS, named_first

WORDY = "Lost phones: report lost phones, phones that are lost, and lost phones again to the desk for lost phones."
PAGES = [
    Document("it/lost_phones.md", "Call the service desk at once and change every password.", "What to do first"),
    Document("it/asset-list.md", WORDY, "Assets"),
    Document("hr/leave/index.md", "You have 28 days of holiday a year.", "Annual leave"),
    Document("hr/sick.md", f"Annual leave and sick leave differ. {'Leave is annual. ' * 20}", "Being ill"),
    Document("de/über.md", "Wir sind ein kleines Team.", "Über uns"),
]


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Index:
    made = Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir))
    made.sync(PAGES)
    return made


@pytest.mark.parametrize(
    ("asked", "id"),
    [
        ("lost phones", "it/lost_phones.md"),
        ("Lost Phones", "it/lost_phones.md"),
        ("annual leave", "hr/leave/index.md"),
        ("leave", "hr/leave/index.md"),
        ("being ill", "hr/sick.md"),
        ("uber uns", "de/über.md"),
    ],
)
def test_a_page_is_first_when_its_title_or_the_name_of_its_file_is_asked_for(index: Index, asked: str, id: str) -> None:
    with index:
        hits = index.search(asked).hits
    assert hits[0].id == id
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_what_is_no_name_changes_nothing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["phones", "how do I report a phone", "annual leave days"]
    with index:
        found = [[(hit.id, hit.score) for hit in index.search(text).hits] for text in asked]
        monkeypatch.setattr("docsim.search.retrieval.named_first", lambda snapshot, question, numbers, scores: scores)
        assert [[(hit.id, hit.score) for hit in index.search(text).hits] for text in asked] == found


def test_the_first_hits_do_not_depend_on_how_many_are_wanted(index: Index) -> None:
    with index:
        many = [hit.id for hit in index.search("lost phones", k=5).hits]
        assert [hit.id for hit in index.search("lost phones", k=1).hits] == many[:1]
        assert [hit.id for hit in index.search("lost phones", k=2).hits] == many[:2]


def test_named_documents_keep_their_order_and_lead_all_others(index: Index) -> None:
    with index, index.engine.snapshot() as snapshot:
        numbers = np.array(sorted(snapshot.number(page.id) or 0 for page in PAGES), np.int64)
        scores = np.linspace(1, 0, len(numbers), dtype=np.float32)
        raised = named_first(snapshot, Document("query", "being ill"), numbers, scores)
        assert int(numbers[raised.argmax()]) == snapshot.number("hr/sick.md")
        assert len(numbers) <= AMONG
        long = Document("query", "being ill " * MOST_WORDS)
        assert named_first(snapshot, long, numbers, scores) is scores
