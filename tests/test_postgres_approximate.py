"""Approximate search in PostgreSQL: found broadly enough, never shortened by a filter, exact where it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from postgres_server import server

from docsim.encoding.encoder import Encoder
from docsim.engine.postgres import approximate
from docsim.engine.postgres.snapshot import PostgresSnapshot
from docsim.engine.records import Embedded, SourceName
from docsim.errors import UsageError
from docsim.filters.condition import Compare
from docsim.index import Index
from docsim.maintenance import verify
from docsim.models import Document, Passage

COUNT, DIM = 3_000, 32


@pytest.fixture(scope="module")
def index(tiny_encoder_dir: Path) -> Iterator[Index]:
    """An index of random vectors, one a document, searched approximately."""
    address = server().address()
    with Index.create(address, encoder=Encoder.load(tiny_encoder_dir), index_type="hnsw", recall=0.9) as index:
        fill(index, 0, COUNT)
        yield index


def fill(index: Index, first: int, count: int) -> None:
    rows = vectors(first, count)
    with index.engine.writer(wait=False) as writer:
        with writer.transaction():
            source = writer.open_source(None, SourceName("python", f"{first}", f"{first}"))
            for i, row in enumerate(rows, first):
                document = Document(f"d{i}", f"text {i}", metadata={"n": i, "share": i % 1000})
                number = writer.put(Embedded(document, (Passage(0, len(document.text)),), row[None]), number=None)
                writer.link(source, document.id, document_number=number, digest=document.digest())
        writer.optimize()


def vectors(seed: int, count: int) -> NDArray[np.float16]:
    found = np.random.default_rng(seed).standard_normal((count, DIM))
    rows: NDArray[np.float16] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)
    return rows


def asked(count: int = 20) -> NDArray[np.float32]:
    return vectors(99, count).astype(np.float32)


def recall(snapshot: Any, k: int, where: Any = None) -> float:
    found = snapshot.knn(asked(), k, where=where)
    exact = snapshot.knn(asked(), k, where=where, exact=True)
    assert found.similarities.shape == exact.similarities.shape
    assert (np.diff(found.similarities) <= 1e-6).all()
    assert found.exhausted == exact.exhausted
    return float((found.similarities >= exact.similarities[:, -1:] - 1e-6).mean())


def test_it_is_built_tuned_and_used(index: Index) -> None:
    facts = index.engine.search_facts()
    assert (facts.index_type, facts.tuned, facts.target, facts.warnings) == ("hnsw", COUNT, 0.9, [])
    assert facts.factory is not None
    assert facts.recall >= 0.9
    with index.engine.snapshot() as snapshot:
        assert isinstance(snapshot, PostgresSnapshot)
        assert snapshot._proposed(asked(3), 10, None) is not None
        assert recall(snapshot, 10) >= 0.85
        plan = snapshot.store.rows(
            "EXPLAIN SELECT document FROM embeddings_1"
            " ORDER BY embedding <#> (SELECT embedding FROM embeddings_1 LIMIT 1) LIMIT 10"
        )
        assert any("embeddings_1_hnsw" in line for (line,) in plan)


@pytest.mark.parametrize("share", [1000, 500, 120, 50, 10, 1])
def test_a_filter_never_shortens_the_result(index: Index, share: int) -> None:
    where = Compare(("share",), "<", (share,))
    with index.engine.snapshot() as snapshot:
        allowed = snapshot.matching(where)
        assert allowed == share * COUNT // 1000
        for k in (1, 10, 100):
            found = snapshot.knn(asked(), k, where=where)
            assert found.documents.shape == (20, min(k, allowed))
            assert found.exhausted == (k >= allowed)
        assert recall(snapshot, 10, where) >= 0.85
    assert len(index.search("text", 10, where=f"share < {share}").hits) == min(10, allowed)


def test_what_is_wanted_of_many_is_found_exactly(index: Index) -> None:
    with index.engine.snapshot() as snapshot:
        assert recall(snapshot, approximate.MOST + 1) == 1.0
        assert recall(snapshot, COUNT) == 1.0


def test_another_type_drops_it_and_nonsense_is_refused(tiny_encoder_dir: Path) -> None:
    address = server().address()
    with Index.create(address, encoder=Encoder.load(tiny_encoder_dir), index_type="hnsw") as index:
        fill(index, 0, 300)
        assert index.engine.search_facts().factory is not None
        fill(index, 300, 300)
        assert index.engine.search_facts().tuned == 600
        index.remove(["d5"])
        with index.engine.snapshot() as snapshot:
            gone = vectors(0, 300)[5:6].astype(np.float32)
            assert snapshot.knn(gone, 1).similarities[0, 0] < 0.99
        assert index.engine.repair(index_type="flat") == []
        assert index.engine.search_facts().factory is None
        assert verify.problems(index) == []
        with pytest.raises(UsageError, match="auto, flat, hnsw"):
            index.engine.repair(index_type="ivf")
