"""The report of duplicates: every member, what differs, and nothing that is not escaped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from docsim.analysis import duplicates_page
from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import Document

BASE = "Rotate the signing keys of every server once a year, then report it to the team <security> & restart."


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        others = [Document("copy", BASE), Document("edited", BASE.replace("year", "month"), title="Keys <new>")]
        index.sync([Document("base", BASE), *others])
        yield index


def page_of(index: Index) -> str:
    found = index.duplicates()
    with index.engine.snapshot() as snapshot:
        return duplicates_page.duplicates_page(found, snapshot)


def test_every_duplicate_is_told_with_its_kind(index: Index) -> None:
    page = page_of(index)
    assert 'Keys &lt;new&gt; <small class="id">edited</small>' in page
    assert "<td>near</td>" in page
    assert "<td>exact</td><td>100%</td><td>100%</td><td>1.00</td>" in page


def test_what_differs_is_marked_and_all_text_escaped(index: Index) -> None:
    page = page_of(index)
    assert "<del>year</del><ins>month</ins>" in page
    assert "&lt;security&gt; &amp; restart" in page
    assert "<security>" not in page


def test_a_page_needs_nothing_else(index: Index) -> None:
    page = page_of(index)
    assert not any(word in page for word in ("http:", "https:", "src=", "href=", "@import", "url("))


def test_beyond_the_first_passages_are_left_out(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates_page, "_MOST_COMPARED", 0)
    page = page_of(index)
    assert "<details>" not in page
    assert '<small class="id">edited</small>' in page
