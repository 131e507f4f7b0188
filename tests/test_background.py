from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docsim import background
from docsim.background import percentile
from docsim.encoder import Encoder
from docsim.index import Index
from docsim.records import Document

WORDS = [
    "train",
    "ticket",
    "book",
    "keys",
    "signing",
    "rotate",
    "boil",
    "lentils",
    "soup",
    "cook",
    "water",
    "server",
    "deploy",
    "database",
    "backup",
]


def texts(count: int) -> list[str]:
    generator = np.random.default_rng(3)
    return [" ".join(generator.choice(WORDS, size=generator.integers(5, 400))) for _ in range(count)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("background") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), text) for i, text in enumerate(texts(30))])
        yield index


def pairs(index: Index, *, single: bool) -> np.ndarray:
    """Similarities of the pairs of all documents, by brute force; of one passage each on one side when ``single``."""
    with index.reader.reading() as view:
        rows = [one.astype(np.float32) for one in view.rows(np.arange(len(view.documents)))]
    if not single:
        return np.array([(a @ b.T).max() for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j])
    return np.array([(p @ b.T).max() for i, a in enumerate(rows) for p in a for j, b in enumerate(rows) if i != j])


def test_a_percentile_is_the_share_of_pairs_of_documents_that_are_less_similar(index: Index) -> None:
    expected = pairs(index, single=False)
    with index.reader.reading() as view:
        for similarity in (-0.2, 0.7, 0.9, 0.95):
            found = percentile(view, similarity, single=False)
            assert found == pytest.approx(100 * float((expected < similarity).mean()), abs=0.2)


def test_a_single_passage_is_compared_with_documents(index: Index) -> None:
    expected = pairs(index, single=True)
    with index.reader.reading() as view:
        found = percentile(view, 0.9, single=True)
    assert found == pytest.approx(100 * float((expected < 0.9).mean()), abs=12)  # one passage of each, taken at random


def test_a_percentile_grows_with_the_similarity_from_0_to_100(index: Index) -> None:
    with index.reader.reading() as view:
        found = [percentile(view, similarity, single=True) for similarity in (-1, 0, 0.5, 0.8, 0.9, 1.01)]
    assert found == sorted(found, key=lambda one: one or 0)
    assert (found[0], found[-1]) == (0, 100)


def test_two_openings_of_an_index_give_the_same_percentiles(index: Index) -> None:
    first = [hit.percentile for hit in index.search("train ticket").hits]
    with Index.open(index.path) as again:
        assert [hit.percentile for hit in again.search("train ticket").hits] == first


def test_a_sample_is_bounded_in_documents_and_passages(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "DOCUMENTS", 10)
    monkeypatch.setattr(background, "PASSAGES", 12)
    with index.reader.reading() as view:
        sample = background._sample(view)
    assert 2 <= len(sample) <= 10
    assert sum(map(len, sample)) <= 12


def test_documents_that_were_removed_are_not_in_the_background(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), text) for i, text in enumerate(texts(5))])
        assert index.search("soup").hits[0].percentile is not None
        index.remove(["0", "1", "2", "3"])
        assert index.search("soup").hits[0].percentile is None
