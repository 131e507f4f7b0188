from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from opened import snapshot_of
from vocabulary import WORDS

from docsim.encoding.encoder import Encoder
from docsim.index import Index
from docsim.models import MODES, Document
from docsim.search import percentiles
from docsim.search.percentiles import DOCUMENTS, PASSAGES, percentile


def texts(count: int) -> list[str]:
    generator = np.random.default_rng(3)
    return [" ".join(generator.choice(WORDS, size=generator.integers(5, 400))) for _ in range(count)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("background") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), text) for i, text in enumerate(texts(30))])
        yield index


def pairs(probes: list[np.ndarray], rows: list[np.ndarray]) -> np.ndarray:
    """Similarities of probes with all documents but the one that each comes from, by brute force."""
    return np.array([(a @ b.T).max() for i, a in enumerate(probes) for j, b in enumerate(rows) if i != j])


def random_pairs(
    index: Index, length: int | None, *, documents: int = DOCUMENTS, passages: int = PASSAGES
) -> np.ndarray:
    with snapshot_of(index) as snapshot:
        return percentiles.similarities(snapshot, length=length, documents=documents, passages=passages)


def embeddings(index: Index, documents: int = DOCUMENTS) -> list[np.ndarray]:
    """Those of the documents that may be in the sample."""
    with snapshot_of(index) as snapshot:
        rows = snapshot.embeddings(snapshot.sample(documents))
    return [one.astype(np.float32) for one in rows]


def spans(index: Index, length: int) -> list[str]:
    """Random texts about as long, one of each document."""
    with snapshot_of(index) as snapshot:
        return percentiles._spans(snapshot, snapshot.sample(100).tolist(), length)


def test_a_percentile_is_the_share_of_pairs_that_are_less_similar() -> None:
    found = [percentile(np.array([0.1, 0.2, 0.2, 0.5], np.float32), one) for one in (0.1, 0.2, 0.3, 0.6)]
    assert found == [0, 25, 75, 100]


def test_without_pairs_there_is_no_percentile() -> None:
    assert percentile(np.zeros(0, np.float32), 0.5) is None


def test_a_long_query_is_compared_with_pairs_of_documents(index: Index) -> None:
    rows = embeddings(index)
    np.testing.assert_allclose(random_pairs(index, None), np.sort(pairs(rows, rows)), atol=1e-5)


@pytest.mark.parametrize("length", [6, 30, 300])
def test_a_short_query_is_compared_with_texts_as_long(index: Index, length: int) -> None:
    texts = spans(index, percentiles._rounded(length))
    probes = list(index.encoder.encode(texts)[:, None])
    assert np.median([len(text) for text in texts]) == pytest.approx(length, rel=0.5)
    np.testing.assert_allclose(random_pairs(index, length), np.sort(pairs(probes, embeddings(index))), atol=1e-5)


def test_texts_are_whole_words_from_somewhere_in_their_documents(index: Index) -> None:
    with snapshot_of(index) as snapshot:
        numbers = snapshot.sample(100).tolist()
        found = percentiles._spans(snapshot, numbers, 16)
        documents = snapshot.documents(numbers)
    whole = [documents[number].document.text for number in numbers]
    assert set(" ".join(found).split()) <= set(WORDS)
    assert len(set(found)) > 20
    assert all(span in text for span, text in zip(found, whole, strict=True))
    assert sum(span not in text[:100] for span, text in zip(found, whole, strict=True)) > 15


def test_texts_are_cut_where_there_are_no_spaces(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("a", "\u96fb\u8eca" * 500), Document("b", "", title="train")])
        with snapshot_of(index) as snapshot:
            found = percentiles._spans(snapshot, [1, 2], 8)
    assert found == ["\u96fb\u8eca" * 4, "train"]


def test_the_shorter_a_random_text_is_the_less_it_is_like_documents(index: Index) -> None:
    medians = [float(np.median(random_pairs(index, length))) for length in (4, 16, 64, 256)]
    assert medians == sorted(medians)


def test_lengths_that_are_nearly_the_same_share_a_background(index: Index) -> None:
    assert random_pairs(index, 30) is random_pairs(index, 35)
    assert random_pairs(index, 30) is not random_pairs(index, 16)


def test_one_document_has_no_background(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document("0", "train ticket")])
        assert index.search("soup").hits[0].percentile is None


def test_percentiles_of_a_search_are_of_its_length_whatever_the_mode_and_the_filter(index: Index) -> None:
    pairs = random_pairs(index, len("boil soup"))
    for mode in MODES:
        for within in ("", "7"):
            hits = index.search("boil soup", mode=mode, within=within).hits
            assert [hit.percentile for hit in hits] == [percentile(pairs, hit.similarity) for hit in hits]


def test_a_short_indexed_document_is_compared_with_texts_as_long(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), text) for i, text in enumerate([*texts(5), "boil soup"])])
        found, asked = index.similar("5").hits, index.search("boil soup", 6).hits
    assert [hit.percentile for hit in found] == [hit.percentile for hit in asked if hit.id != "5"]


def test_two_openings_of_an_index_give_the_same_percentiles(index: Index) -> None:
    first = [hit.percentile for hit in index.search("train ticket").hits]
    with Index.open(index.path) as again:
        assert [hit.percentile for hit in again.search("train ticket").hits] == first


@pytest.mark.parametrize("passages", [1, 12, 10_000])
def test_a_sample_is_bounded_in_documents_and_passages(index: Index, passages: int) -> None:
    rows = embeddings(index, 10)
    fitting = int((np.cumsum([len(one) for one in rows]) <= passages).sum())
    assert len(rows) == 10
    assert passages != 12 or 2 < fitting < 10
    sample = rows[: max(fitting, 2)]
    with Index.open(index.path) as again:  # which does not remember the pairs of larger samples
        found = random_pairs(again, None, documents=10, passages=passages)
        np.testing.assert_allclose(found, np.sort(pairs(sample, sample)), atol=1e-5)


def test_a_sample_has_the_beginnings_of_two_documents_where_more_do_not_fit(
    tmp_path: Path, tiny_encoder_dir: Path
) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), " ".join(texts(30)[i::3])) for i in range(3)])
        rows = embeddings(index)
        assert min(len(one) for one in rows) > 2
        sample = [one[:2] for one in rows[:2]]
        np.testing.assert_allclose(random_pairs(index, None, passages=2), np.sort(pairs(sample, sample)), atol=1e-5)


def test_documents_that_were_removed_are_not_in_the_background(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync([Document(str(i), text) for i, text in enumerate(texts(5))])
        assert index.search("soup").hits[0].percentile is not None
        index.remove(["0", "1", "2", "3"])
        assert index.search("soup").hits[0].percentile is None


@pytest.mark.parametrize("length", [4, 8, 16])
def test_texts_are_neither_blank_nor_parts_of_words_where_documents_are_short_or_have_gaps(
    tmp_path: Path, tiny_encoder_dir: Path, length: int
) -> None:
    gaps = [f"train{' ' * 400}ticket {n}" for n in range(8)]
    short = ["the train ticket here", "kubernetes", "train", "ticket to the soup"]
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(Document(str(n), text) for n, text in enumerate([*gaps, *short]))
        found = spans(index, length)
    assert len(found) == 12
    assert all(found)
    known = {*" ".join([*gaps, *short]).split()}
    assert {word for span in found for word in span.split()} - known <= {"kube", "kubernet"}  # longer than twice 4
