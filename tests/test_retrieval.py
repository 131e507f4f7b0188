from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opened import snapshot_of

from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.engine.local.vectors import VectorIndex
from docsim.index import Index
from docsim.models import MODES, Document, Mode, Ranking
from docsim.search import scoring, smoothing, vocabulary
from docsim.search.fusion import Fusion
from docsim.search.query_terms import query_terms
from docsim.search.retrieval import CANDIDATES, Candidate, Query, share_for, tiers

WORDS = """
train ticket book keys signing rotate boil lentils soup cook water server deploy database backup
""".split()  # noqa: SIM905


def text(seed: int, words: int = 40) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, size=words))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    path = tmp_path_factory.mktemp("candidates") / "index"
    with Index.create(path, encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(Document(str(i), text(i, 3 if i % 3 else 400), title=WORDS[i % 15]) for i in range(60))
        index.remove(["7", "8"])
        yield index


def asked(index: Index, words: str, exclude: int | None = None) -> Query:
    document = Document("asked", words)  # no question, which a page named like it would answer first
    vectors = encode_documents(index.encoder, [document])[0]
    return Query("query", document, vectors, () if exclude is None else (exclude,))


def found(index: Index, query: Query, mode: Mode, *, depth: int = CANDIDATES) -> list[list[Candidate]]:
    with snapshot_of(index) as snapshot:
        return [list(tier) for tier in tiers(snapshot, query, mode, depth=depth)]


def scores(index: Index, query: Query) -> tuple[dict[int, float], dict[int, float]]:
    """Dense and lexical scores of all documents by number, each document scored by itself."""
    dense, words = {}, {}
    with snapshot_of(index) as snapshot:
        matching = snapshot.text_search(query_terms(snapshot, query.document).telling)
        for number in snapshot.passage_counts():
            rows = snapshot.embeddings(np.array([number]))[0].astype(np.float32)
            scored = scoring.scored(query.vectors, [rows], nothing=vocabulary.nothing(snapshot))
            dense[number] = float(scored.scores[0])
            words[number] = float(matching.of(np.array([number]))[0])
    return dense, words


def drawn(index: Index, numbers: list[int], fused: np.ndarray) -> np.ndarray:
    """Fused scores after smoothing, document by document."""
    with snapshot_of(index) as snapshot:
        rows, nothing = snapshot.embeddings(np.array(numbers)), vocabulary.nothing(snapshot)
        directions = scoring.scored(np.eye(1, snapshot.dim, dtype=np.float32), rows, nothing=nothing).directions
    cosines = directions @ directions.T
    result = np.empty(len(fused))
    for i in range(len(fused)):
        others = sorted((j for j in range(len(fused)) if j != i), key=lambda j: -cosines[i, j])[: smoothing.NEIGHBOURS]
        around = np.average(fused[others], weights=np.maximum(cosines[i, others], 1e-6))
        result[i] = (1 - smoothing.SHARE) * fused[i] + smoothing.SHARE * around
    return np.where(fused == fused.max(), fused, result)


@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True), long=st.booleans())
@pytest.mark.properties
@settings(max_examples=examples(8, 20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_mode_ranks_as_brute_force_does(index: Index, words: list[str], long: bool) -> None:
    query = asked(index, " ".join(words) * (80 if long else 1))
    dense, matching = scores(index, query)
    numbers = sorted(dense)
    d, w = (np.array([one[number] for number in numbers], np.float32) for one in (dense, matching))
    with snapshot_of(index) as snapshot:
        share = share_for(snapshot, query.document, long=len(query.vectors) > 1)
    fused = (1 - share) * (d - d.mean()) / (d.std() if d.std() > 1e-4 else 1) + share * (w - w.mean()) / (
        w.std() if w.std() > 1e-4 else 1
    )
    fused = fused if len(query.vectors) > 1 else drawn(index, numbers, fused)
    for mode, expected in (("dense", d), ("lexical", w), ("hybrid", fused)):
        ranked = [one for tier in found(index, query, mode, depth=10_000) for one in tier]  # type: ignore[arg-type]
        got = np.array([one.score for one in ranked])
        wanted = dict(zip(numbers, expected, strict=True))
        if mode == "lexical":
            assert {one.number for one in ranked if one.score > 0} >= {number for number in numbers if matching[number]}
            ranked = [one for one in ranked if matching[one.number]]
            got = got[: len(ranked)]
        else:
            assert sorted(one.number for one in ranked) == numbers
        np.testing.assert_allclose(got, [wanted[one.number] for one in ranked], atol=2e-3)
        assert (np.diff(got) <= 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_narrower_tiers_hold_the_same_documents_each_once(index: Index, mode: Mode) -> None:
    query = asked(index, "boil water for the soup")
    wide = [one.number for tier in found(index, query, mode) for one in tier]
    narrow = found(index, query, mode, depth=3)
    numbers = [one.number for tier in narrow for one in tier]
    assert len(narrow) > 2
    assert len(set(numbers)) == len(numbers)
    assert sorted(numbers) == sorted(wide)
    assert numbers[0] == wide[0]


@pytest.mark.parametrize("mode", MODES)
def test_the_excluded_document_is_never_a_candidate(index: Index, mode: Mode) -> None:
    number = index.document("5").number
    query = asked(index, index.document("5").document.text, exclude=number)
    assert number not in {one.number for tier in found(index, query, mode) for one in tier}


def test_a_search_ends_where_nothing_left_can_be_similar_enough(index: Index) -> None:
    query = asked(index, "boil water for the soup")
    every = [one for tier in found(index, query, "hybrid", depth=3) for one in tier]
    least = sorted(one.similarity for one in every)[-4]
    with snapshot_of(index) as snapshot:
        some = [one for tier in tiers(snapshot, query, "hybrid", min_similarity=least, depth=3) for one in tier]
    assert len(some) < len(every)
    assert {one.number for one in some} >= {one.number for one in every if one.similarity >= least}


def test_a_long_query_also_finds_what_is_near_its_passages_taken_together(
    tmp_path: Path, tiny_encoder_dir: Path
) -> None:
    texts = ["boil soup", "train ticket", "boil soup train ticket", "server backup", "signing keys"]
    with Index.create(tmp_path / "index", encoder=Encoder.load(tiny_encoder_dir)) as index:
        index.sync(Document(text, text) for text in texts)
        vectors = index.encoder.encode(texts[:2])
        tier = found(index, Query("query", Document("query", ""), vectors), "dense", depth=1)[0]
        assert {one.number for one in tier} == {index.document(text).number for text in texts[:3]}


def test_fusion_is_fitted_on_the_first_tier_only(index: Index) -> None:
    query = asked(index, "boil water")
    dense, matching = scores(index, query)
    first, *_ = narrow = found(index, query, "hybrid", depth=5)
    with snapshot_of(index) as snapshot:
        share = share_for(snapshot, query.document, long=False)
    fusion = Fusion.fitted(
        np.array([dense[one.number] for one in first], np.float32),
        np.array([matching[one.number] for one in first], np.float32),
        share=share,
    )
    last = narrow[-1][-1]
    expected = fusion.scores(np.array([dense[last.number]], np.float32), np.array([matching[last.number]], np.float32))
    assert last.score == pytest.approx(float(expected[0]), abs=2e-3)


@pytest.mark.parametrize("least", [None, 0.1])
def test_a_threshold_is_told_from_an_exact_search(index: Index, least: float | None) -> None:
    with mock.patch.object(VectorIndex, "exact", autospec=True, side_effect=lambda vectors: vectors) as exact:
        index.search("boil water for the soup", ranking=Ranking(min_similarity=least))
    assert exact.called == (least is not None)


@pytest.mark.parametrize("mode", MODES)
def test_later_tiers_are_ranked_by_what_they_would_score(index: Index, mode: Mode) -> None:
    narrow = found(index, asked(index, "boil water for the soup"), mode, depth=3)
    assert len(narrow) > 1
    for before, tier in itertools.pairwise(narrow):
        relevance = [one.relevance for one in tier]
        assert relevance == sorted(relevance, reverse=True)
        assert [one.score for one in tier] == [min(one.relevance, before[-1].score) for one in tier]


@pytest.mark.properties
def test_words_and_vectors_are_always_those_of_one_state(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    """A document turns from one text to another and back; every answer must be wholly of the one or the other."""
    encoder = Encoder.load(tiny_encoder_dir)
    texts = ["boil the lentils until soft", "rotate the signing keys"]
    similarity = [float(encoder.encode(["lentils"])[0] @ encoder.encode([one])[0]) for one in texts]
    path, done, wrong = tmp_path / "index", threading.Event(), []

    def read() -> None:
        with Index.open(path) as reader:
            while not done.is_set():
                for mode in MODES:
                    for hit in reader.search("lentils", mode=mode).hits:
                        which = texts.index(hit.passages[0].text)
                        if abs(hit.similarity - similarity[which]) > 5e-3 or (mode == "lexical" and which == 1):
                            wrong.append(hit)

    with Index.create(path, encoder=encoder) as index:
        index.sync([Document("turning", texts[0])])
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(1, examples(10, 25)):
            index.sync([Document("turning", texts[turn % 2])])
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
