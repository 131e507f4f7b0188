"""The sample corpus: that it is what it says, and that the default encoder finds in it what people judged relevant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import docsim
from docsim.encoding.encoder import Encoder
from docsim.engine.records import SourceName
from docsim.evaluation import judgements, metrics
from docsim.index import Index
from docsim.ingest.sources import open_source

CORPUS = Path(__file__).parents[1] / "corpus"
DEFAULT = Path(docsim.__file__).parent / "encoders" / "fast" / "manifest.json"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the sample corpus is not beside the tests")


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    if not DEFAULT.is_file():
        pytest.skip("the default encoder has not been made")
    source = open_source(str(CORPUS / "handbook"))
    with Index.create(tmp_path_factory.mktemp("corpus") / "index", encoder=Encoder.default()) as index:
        report = index.sync(source.entries(), source=SourceName(source.kind, source.location, source.name))
        assert report.failures == ()
        yield index


def pages() -> set[str]:
    return {path.relative_to(CORPUS / "handbook").as_posix() for path in (CORPUS / "handbook").rglob("*.md")}


def queries() -> Mapping[str, str]:
    return judgements.read_queries(CORPUS / "queries.jsonl")


def test_the_handbook_has_a_hundred_pages_in_eight_folders() -> None:
    assert len(pages()) >= 100
    assert len({page.partition("/")[0] for page in pages() if "/" in page}) >= 8


def test_every_page_has_a_title_and_no_two_are_alike() -> None:
    texts = [(CORPUS / "handbook" / page).read_text() for page in sorted(pages())]
    assert all("# " in text for text in texts)
    assert len(set(texts)) == len(texts)


def test_every_query_is_judged_and_has_one_id() -> None:
    lines = (CORPUS / "queries.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert len(set(ids)) == len(ids) >= 100
    assert set(judgements.read_qrels(CORPUS / "qrels.txt")) == set(ids)


def test_every_judged_page_is_there() -> None:
    for name in ("qrels.txt", "related.qrels.txt"):
        judged = judgements.read_qrels(CORPUS / name)
        assert {page for grades in judged.values() for page in grades} <= pages()
    assert set(judgements.read_qrels(CORPUS / "related.qrels.txt")) <= pages()


def test_every_query_has_a_relevant_page() -> None:
    judged = judgements.read_qrels(CORPUS / "qrels.txt")
    assert [query for query, grades in judged.items() if max(grades.values()) < 1] == []


def ndcg(index: Index, run: Mapping[str, list[str]], qrels: str) -> float:
    report = metrics.evaluate(run, judgements.read_qrels(CORPUS / qrels))
    return report.metrics["nDCG@10"].value


def test_every_page_finds_itself_first(handbook: Index) -> None:
    for page in sorted(pages()):
        document = handbook.document(page).document
        hit = handbook.similar_to(document, 1, mode="dense").hits[0]
        assert (hit.id, round(hit.score, 2)) == (page, 1.0)


def test_questions_find_the_pages_that_people_judged_relevant(handbook: Index) -> None:
    texts = queries()
    results = handbook.search_many(list(texts.values()), 10)
    run = {id: [hit.id for hit in result.hits] for id, result in zip(texts, results, strict=True)}
    assert ndcg(handbook, run, "qrels.txt") >= 0.46


def test_pages_find_the_pages_that_people_judged_related(handbook: Index) -> None:
    judged = judgements.read_qrels(CORPUS / "related.qrels.txt")
    run = {page: [hit.id for hit in handbook.similar(page, 10).hits] for page in judged}
    assert ndcg(handbook, run, "related.qrels.txt") >= 0.54
