"""Files that a writer replaces or removes while a reader opens them are not damaged: nothing is told or lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opened import engine_of, faiss_file, store_of, write_faiss_file
from tiny_encoder import WORDS
from turned_encoder import turned

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann, ann_files, checks, generations, mappings, notices, writer
from docsim.engine.local import word_storage as storage
from docsim.engine.local.ann_files import ApproximateFacts
from docsim.engine.local.mappings import Mappings
from docsim.engine.local.store import Store
from docsim.engine.records import QueryTerm
from docsim.engine.retrying import retrying
from docsim.errors import IndexChanged
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document
from docsim.reindex.instant import upgrade
from docsim.reindex.reindexing import abort

SOUP = [QueryTerm(("soup",))]


def documents(count: int, *, version: int = 0) -> list[Document]:
    random = np.random.default_rng(version)
    return [Document(f"d{i}", f"soup {' '.join(random.choice(WORDS[15:], 12))}") for i in range(count)]


@pytest.fixture
def index(tmp_path: Path, tiny_encoder_dir: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(documents(120))
        yield index


@pytest.fixture
def earlier(index: Index) -> Iterator[Store]:
    """A reader that goes on seeing the state that the index has now."""
    store = Store(index.path, writable=False)
    with store.reading():
        store.revision()
        yield store
    store.close()


def replaced(path: Path) -> None:
    """Change all documents, and write every file again."""
    with Index.open(path) as other:
        other.sync(documents(120, version=1))
        verify.repair(other)


def words(store: Store) -> tuple[int, notices.Notices]:
    told: notices.Notices = {}
    with notices.into(told):
        found = storage.refreshed(store, store.path.parent, None)
    return found.count, told


def test_merged_words_are_opened_instead_of_those_that_are_gone(index: Index) -> None:
    index.sync([Document("one more", "soup")], prune=False)
    named = [row.digest for row in storage.rows(store_of(index))]
    assert len(named) == 2
    with Index.open(index.path) as other, other.engine.snapshot() as snapshot:
        with writer.opened(index.path, wait=False) as store:
            store.write_words(force=True)
        assert not any((index.path / "words" / f"{digest}.words").exists() for digest in named)
        assert snapshot.frequencies(SOUP) == [121]
        assert snapshot.warnings == ()
        files = {one.name for one in (index.path / "words").iterdir()}
        assert {f"{digest}.words" for digest in snapshot._words.digests} == files  # type: ignore[attr-defined]


def test_words_of_changed_documents_are_not_taken_for_damaged(index: Index, earlier: Store) -> None:
    replaced(index.path)
    assert words(earlier) == (120, {})


def test_who_is_called_again_sees_the_words_of_the_next_state(index: Index, earlier: Store) -> None:
    replaced(index.path)
    with retrying(), pytest.raises(IndexChanged, match="were replaced while they were opened; try again"):
        words(earlier)


def test_words_that_are_still_named_and_gone_are_damaged(index: Index, earlier: Store) -> None:
    for file in (index.path / "words").iterdir():
        file.unlink()
    count, told = words(earlier)
    assert count == 120
    assert "missing or damaged; repair the index; making it of the stored texts" in told["words"]


def test_a_search_is_asked_again_when_words_are_replaced_in_the_middle_of_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_first, refreshed = [replaced], storage.refreshed

    def once_replaced(store: Store, path: Path, *given: Any) -> Any:
        if at_first:
            at_first.pop()(path)
        return refreshed(store, path, *given)

    with Index.open(index.path) as other:
        monkeypatch.setattr(storage, "refreshed", once_replaced)
        result = other.search("soup", 200, mode="lexical")
    assert {hit.id: hit.passages[0].text for hit in result.hits} == {
        one.id: one.text for one in documents(120, version=1)
    }
    assert result.warnings == ()


# FAISS files


def test_a_replaced_faiss_file_gives_the_next_state_and_no_warning(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_faiss_file(index.path)
    with Index.open(index.path) as other:
        engine = engine_of(other)
        at_first, refreshed = [replaced], engine._refreshed

        def once_replaced(revision: int) -> generations.View:
            if at_first:
                at_first.pop()(index.path)
            return refreshed(revision)

        monkeypatch.setattr(engine, "_refreshed", once_replaced)
        text = documents(120, version=1)[7].text
        result = other.search(text, mode="dense")
    assert (result.hits[0].id, result.hits[0].passages[0].text) == ("d7", text)
    assert result.warnings == ()


def test_where_nobody_reads_again_a_replaced_faiss_file_is_done_without(index: Index) -> None:
    write_faiss_file(index.path)
    with Index.open(index.path) as other, store_of(other).reading():
        store_of(other).revision()
        replaced(index.path)
        with other.engine.snapshot() as snapshot:
            assert len(snapshot.embedded()) == 120
            assert snapshot.warnings == ()


def test_a_faiss_file_that_is_still_named_and_gone_is_damaged(index: Index) -> None:
    write_faiss_file(index.path)
    faiss_file(index).unlink()
    with Index.open(index.path) as other:
        (warning,) = other.search("soup", mode="dense").warnings
    assert "answering from the stored embeddings" in warning


# Mappings


def test_a_mapping_that_has_ended_is_not_damaged(index: Index, tiny_encoder_dir: Path, tmp_path: Path) -> None:
    assert upgrade(index, Encoder.load(turned(tiny_encoder_dir, tmp_path / "turned")))
    store, told = Store(index.path, writable=False), notices.Notices()
    with store.reading(), notices.into(told):
        row = store.mapping()
        assert row is not None
        abort(index)
        assert not mappings.alignment_path(index.path, 2).exists()
        assert Mappings(index.path).read(store, row) is None
        assert told == {}
        with retrying(), pytest.raises(IndexChanged):
            Mappings(index.path).read(store, row)
    store.close()


def test_who_saw_a_mapping_goes_on_encoding_with_its_encoder(
    index: Index, tiny_encoder_dir: Path, tmp_path: Path
) -> None:
    new = Encoder.load(turned(tiny_encoder_dir, tmp_path / "turned"))
    assert upgrade(index, new)
    with Index.open(index.path) as other, other.engine.snapshot() as snapshot:
        abort(index)
        with other.engine.at(1).snapshot() as later:
            assert later.fingerprint != new.fingerprint
        assert snapshot.encoder.fingerprint == snapshot.fingerprint == new.fingerprint


# Files of approximate search


def test_an_approximate_index_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).normal(size=(2_000, 16)).astype(np.float16)
    facts = ApproximateFacts("a snapshot", "ivf", "IVF16,SQ8", 0.95, 0.97, len(rows), 4)
    made = ann.build(facts.factory, rows)
    ann_files.save(tmp_path, made, facts)
    at_first, read, told = [1], ann_files._read, notices.Notices()

    def once_replaced(folder: Path, facts: ApproximateFacts) -> Any:
        if at_first:
            at_first.pop()
            ann_files.save(tmp_path, ann.build(facts.factory, rows[:1_500]), facts)
        return read(folder, facts)

    monkeypatch.setattr(ann_files, "_read", once_replaced)
    with notices.into(told):
        loaded = ann_files.load(tmp_path, "a snapshot")
    assert loaded is not None
    assert loaded.index.ntotal == 1_500
    assert told == {}


# Verification


def test_files_that_are_replaced_while_they_are_checked_are_no_problems(index: Index, earlier: Store) -> None:
    write_faiss_file(index.path)
    store = Store(index.path, writable=False)
    with store.reading():
        store.revision()
        replaced(index.path)
        assert checks.problems(index.path, store) == []
        with retrying(), pytest.raises(IndexChanged):
            checks.problems(index.path, store)
    store.close()
    assert verify.problems(index) == []
