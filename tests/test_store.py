from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from written import DIM, embedded, opened, put

from docsim.engine.local.writer import LocalWriter
from docsim.engine.records import Embedded
from docsim.errors import StoreError
from docsim.models import Document, Passage


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalWriter]:
    with opened(tmp_path) as store:
        yield store


def test_a_document_is_read_back_as_it_was_written(store: LocalWriter) -> None:
    document = Document("a", "Grüße 😀\n", title="T", metadata={"n": 1, "list": [1, None], "nested": {"ü": "x"}})
    with store.writing():
        number = store.put(Embedded(document, (Passage(0, 8, "H"),), np.eye(1, DIM, dtype=np.float16)),
                           number=None)  # fmt: skip
    stored = store.document("a")
    assert stored is not None
    assert (stored.number, stored.document, stored.digest) == (number, document, document.digest())
    assert store.passages(number) == [Passage(0, 8, "H")]
    np.testing.assert_array_equal(store.vectors(1, [number])[number], np.eye(1, DIM))


def test_a_digest_that_is_given_is_kept_as_it_is(store: LocalWriter) -> None:
    with store.writing():
        store.put(embedded("a"), number=None, digest="from its source")
    stored = store.document("a")
    assert stored is not None
    assert stored.digest == "from its source"


def test_vectors_after_a_passage_come_in_order_of_passage(store: LocalWriter) -> None:
    numbers = [put(store, id, passages=2) for id in "abc"]
    put(store, "a", "changed", passages=1, number=numbers[0])
    assert [(first, len(rows)) for first, rows in store.vectors_after(1, 0)] == [(3, 2), (5, 2), (7, 1)]
    assert [first for first, _ in store.vectors_after(1, 5)] == [7]


@pytest.mark.parametrize("change", ["zeroblob(8)", "substr(vectors, 1, 6)", "cast(vectors || x'0000' AS BLOB)"])
def test_damaged_embeddings_are_noticed(store: LocalWriter, change: str) -> None:
    number = put(store, "a")
    with store.writing():
        store.execute(f"UPDATE embeddings SET vectors = {change}")
    with pytest.raises(StoreError, match="damaged"):
        store.vectors(1, [number])
    with pytest.raises(StoreError, match="damaged"):
        list(store.vectors_after(1, 0))


def test_missing_embeddings_are_noticed(store: LocalWriter) -> None:
    number = put(store, "a")
    with store.writing():
        store.execute("DELETE FROM embeddings")
    with pytest.raises(StoreError, match="then repair it"):
        store.vectors(1, [number])


def test_sql_in_an_id_is_only_a_name(store: LocalWriter) -> None:
    id = "a'; DROP TABLE documents; --"
    number = put(store, id)
    stored = store.document(id)
    assert stored is not None
    assert stored.number == number
    assert store.document("' OR 1=1 --") is None
