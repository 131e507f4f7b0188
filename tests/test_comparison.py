"""How far encoders agree, with hand-made embeddings whose rankings are known, and over a real index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.errors import UsageError
from docsim.evaluation.comparison import (
    EncodedDocuments,
    EncodedTwice,
    agreement,
    compare_by_judgements,
    encode_twice,
)
from docsim.index import Index
from docsim.models import Document
from docsim.search import scoring


def unit(*rows: list[float]) -> NDArray[np.float32]:
    vectors = np.array(rows, dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def sample(first: list[list[float]], second: list[list[float]]) -> EncodedTwice:
    """Return documents of one passage each, named a, b, c and so on."""
    a, b = (EncodedDocuments.of([unit(row) for row in rows]) for rows in (first, second))
    return EncodedTwice(tuple("abcdefgh"[: len(first)]), a, b, documents=len(first))


@pytest.fixture(scope="module")
def tiny(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny: Encoder) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "index"
    texts = {
        "train": "book a train ticket",
        "keys": "rotate signing keys",
        "soup": "boil lentils",
        "long": "cat dog. " * 900,
    }
    with Index.create(path, encoder=tiny) as opened:
        opened.sync([Document(id, text, title=id) for id, text in texts.items()])
    return path


def test_documents_are_ranked_as_the_index_ranks_them() -> None:
    random = np.random.default_rng(3)
    documents = [unit(*random.normal(size=(count, 8)).tolist()) for count in (1, 3, 2, 7, 1, 4)]
    query = unit(*random.normal(size=(3, 8)).tolist())
    expected = [one.position for one in scoring.rank(query, documents)]
    assert EncodedDocuments.of(documents).nearest(query, 6) == expected


def test_a_document_is_its_own_passages() -> None:
    documents = [unit([1, 0], [0, 1]), unit([1, 1]), unit([1, 2], [2, 1], [3, 1])]
    encoded = EncodedDocuments.of(documents)
    for place, rows in enumerate(documents):
        np.testing.assert_array_equal(encoded.document(place), rows)


def test_overlap_is_the_share_of_hits_that_both_find() -> None:
    # From each of a, b, c, d the nearest by angle; the second encoder has c and d in each other's place.
    angles = [0.0, 0.1, 0.5, 1.5]
    first = [[np.cos(angle), np.sin(angle)] for angle in angles]
    found = agreement(sample(first, [first[0], first[1], first[3], first[2]]), k=1)
    # a: b and b; b: a and a; c: b and d; d: c and b.
    assert (found.queries, found.k, found.overlap, found.same_first) == (4, 1, 0.5, 0.5)


def test_k_is_cut_to_the_documents_there_are() -> None:
    found = agreement(sample([[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 1], [1, 1]]), k=10)
    assert (found.k, found.overlap) == (2, 1.0)


def test_no_more_documents_are_asked_for_than_wanted() -> None:
    rows = [[1.0, float(n)] for n in range(8)]
    assert agreement(sample(rows, rows), queries=3).queries == 3


def test_cosines_are_those_of_matched_embeddings() -> None:
    found = agreement(sample([[1, 0], [0, 1]], [[0, 1], [0, 1]]))
    assert found.cosine == pytest.approx(0.5)
    assert found.lowest_cosine == pytest.approx(0.05)


def test_embeddings_of_different_dimension_have_no_cosine() -> None:
    found = agreement(sample([[1, 0], [0, 1]], [[1, 0, 0], [0, 1, 0]]))
    assert (found.overlap, found.cosine, found.lowest_cosine) == (1.0, None, None)


def test_the_index_texts_are_encoded_with_their_titles(index: Path, tiny: Encoder) -> None:
    with Index.open(index) as opened:
        found = encode_twice(opened.engine, (tiny, tiny))
    place = found.ids.index("keys")
    np.testing.assert_allclose(found.first.document(place), tiny.encode(["keys\nrotate signing keys"]), atol=1e-6)
    assert found.documents == 4


def test_an_encoder_agrees_with_itself(index: Path, tiny: Encoder) -> None:
    with Index.open(index) as opened:
        found = agreement(encode_twice(opened.engine, (tiny, tiny)))
    assert (found.overlap, found.same_first) == (1.0, 1.0)
    assert found.cosine == pytest.approx(1.0, abs=1e-5)


def test_a_large_index_is_sampled_judged_documents_first(index: Path, tiny: Encoder) -> None:
    with Index.open(index) as opened:
        found = encode_twice(opened.engine, (tiny, tiny), include=["soup", "gone", "train"], passages=2)
    assert set(found.ids) == {"soup", "train"}
    assert found.documents == 4


def test_an_index_of_one_document_is_refused(tmp_path: Path, tiny: Encoder) -> None:
    with Index.create(tmp_path / "index", encoder=tiny) as opened:
        opened.sync([Document("a", "text")])
        with pytest.raises(UsageError, match="at least two documents"):
            encode_twice(opened.engine, (tiny, tiny))


def test_judgements_say_which_encoder_ranks_better(tiny: Encoder) -> None:
    # The first encoder has a and b together, and c and d; the second has a and c, and b and d.
    first = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    second = [first[0], first[2], first[1], first[3]]
    found = compare_by_judgements(sample(first, second), {"a": {"b": 1}, "c": {"d": 1}}, (tiny, tiny))
    assert found.first.metrics["RR@10"].value == 1.0
    assert found.second.metrics["RR@10"].value < 1.0
    assert found.difference["RR@10"].difference.value == found.second.metrics["RR@10"].value - 1.0


def test_a_document_is_no_answer_to_itself(tiny: Encoder) -> None:
    rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]
    found = compare_by_judgements(sample(rows, rows), {"a": {"a": 2, "c": 1}}, (tiny, tiny))
    assert found.first.metrics["nDCG@10"].value == 1.0


def test_queries_may_be_texts(index: Path, tiny: Encoder) -> None:
    with Index.open(index) as opened:
        documents = encode_twice(opened.engine, (tiny, tiny))
    found = compare_by_judgements(documents, {"q": {"keys": 1}}, (tiny, tiny), texts={"q": "keys\nrotate signing keys"})
    assert found.second.metrics["RR@10"].value == 1.0


def test_judgements_of_other_documents_are_refused(tiny: Encoder) -> None:
    with pytest.raises(UsageError, match="found none among 1"):
        compare_by_judgements(sample([[1, 0], [0, 1]], [[1, 0], [0, 1]]), {"x": {"a": 1}}, (tiny, tiny))
