from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoder_variants import reading_fewer_tokens, with_other_dim
from opened import snapshot_of, store_of
from tiny_encoder import WORDS

from docsim.encoding.encoder import Encoder
from docsim.engine.local.vectors import NearestPassages, VectorIndex
from docsim.errors import UsageError
from docsim.evaluation import metrics, significance
from docsim.index import Index
from docsim.models import Document
from docsim.reindex import gate, gate_report, probe, questions
from docsim.reindex.building import Build
from docsim.reindex.examination import GateOptions
from docsim.reindex.gate_report import GateReport
from docsim.reindex.generations import rollback
from docsim.reindex.reindexing import Reindexed, reindex

QRELS = {"q1": {"d3": 1}, "q2": {"d5": 1}, "q3": {"d7": 2, "d8": 1}}


def documents() -> list[Document]:
    """Forty documents, each of words of its own kind drawn from a small vocabulary."""
    random = np.random.default_rng(0)
    favourites = [random.choice(WORDS[15:], 6, replace=False) for _ in range(40)]
    return [
        Document(f"d{i}", " ".join(random.choice([*some, *WORDS[:8]], 70)), title=" ".join(some[:2]))
        for i, some in enumerate(favourites)
    ]


@pytest.fixture(scope="module")
def encoder(tiny_encoder_dir: Path) -> Encoder:
    return Encoder.load(tiny_encoder_dir)


@pytest.fixture(scope="module")
def worse(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of 2 components, which cannot tell much apart."""
    return Encoder.load(with_other_dim(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "worse", 2))


@pytest.fixture(scope="module")
def same(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder with another fingerprint that gives the same embeddings."""
    return Encoder.load(reading_fewer_tokens(tiny_encoder_dir, tmp_path_factory.mktemp("encoders") / "same", 500))


@pytest.fixture(scope="module")
def made(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "index"
    with Index.create(path, encoder=encoder) as index:
        index.sync(documents())
    return path


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Iterator[Index]:
    with Index.open(shutil.copytree(made, tmp_path / "index")) as index:
        yield index


@pytest.fixture
def refused(index: Index, worse: Encoder) -> Reindexed:
    return reindex(index, worse)


def told(outcome: Reindexed) -> dict[str, object]:
    assert outcome.report is not None
    found: dict[str, object] = json.loads((outcome.report / "report.json").read_text())
    return found


def texts() -> dict[str, str]:
    by_id = {one.id: one for one in documents()}
    return {"q1": by_id["d3"].text[:60], "q2": by_id["d5"].text[:60], "q3": by_id["d7"].title}


def test_a_worse_encoder_is_not_published(index: Index, refused: Reindexed) -> None:
    assert not refused.published
    assert refused.gate is not None
    verdict = refused.gate.verdict
    assert (verdict.passed, verdict.sound) == (False, True)
    assert [check.name for check in verdict.checks if not check.passed] == ["spans"]
    assert verdict.refusal == "worse"
    assert verdict.quality is not None
    assert verdict.quality.gain < -0.1
    assert index.search("soup").generation == 1


def test_what_was_refused_is_published_when_told_to_without_encoding_again(index: Index, refused: Reindexed) -> None:
    outcome = reindex(index, gate=GateOptions(publish_anyway=True))
    assert (outcome.generation, outcome.published, outcome.embedded) == (refused.generation, True, 0)
    assert index.search("soup").generation == 2


def test_as_much_as_is_allowed_may_be_lost(index: Index, worse: Encoder) -> None:
    assert reindex(index, worse, gate=GateOptions(max_loss=1)).published


def test_an_encoder_that_is_as_good_is_published(index: Index, same: Encoder) -> None:
    outcome = reindex(index, same, gate=GateOptions(max_loss=0))
    assert outcome.published
    assert outcome.gate is not None
    quality = outcome.gate.verdict.quality
    assert quality is not None
    assert quality.gain == 0
    assert quality.old_answers == quality.new_answers


def test_judgements_decide_when_they_are_given(index: Index, worse: Encoder) -> None:
    qrels = {query: {"d3": 1} for query in texts()} | {f"x{i}": {"d3": 1} for i in range(10)}
    asked = texts() | {f"x{i}": documents()[3].text[: 40 + 20 * i] for i in range(10)}
    outcome = reindex(index, worse, gate=GateOptions(qrels=qrels, texts=asked))
    report = told(outcome)
    assert report["quality"]["source"] == "judged queries, hybrid"  # type: ignore[index]
    assert report["quality"]["questions"] == 13  # type: ignore[index]


def test_judged_documents_are_queries_of_their_own(index: Index) -> None:
    asked = questions.judged(index, {"d1": {"d2": 1, "d1": 1}, "gone": {"d2": 1}, "d4": {"d5": 0}})
    assert asked.qrels == {"d1": {"d2": 1}}
    assert "d1" not in [one.id for one in asked.ask(index)["d1"]]


def test_a_judged_document_that_is_written_meanwhile_is_asked_of_neither_generation(
    index: Index, refused: Reindexed
) -> None:
    asked = questions.judged(index, {f"d{i}": {f"d{i + 1}": 1} for i in range(1, 39)})
    changed = [replace(one, text=one.text + " more") if one.id == "d1" else one for one in documents()]
    index.sync(changed)
    with Index.open(index.path, generation=1) as old, Index.open(index.path, generation=refused.generation) as new:
        found = gate.quality(old, new, asked)
    assert found is not None
    assert "d1" not in found.old_answers
    assert list(found.old_answers) == list(found.new_answers)
    assert found.old.queries == found.new.queries == len(found.new_answers) > 0


def test_the_answers_to_judged_queries_are_those_of_a_search(index: Index) -> None:
    asked = questions.judged(index, QRELS, texts())
    answers = asked.ask(index)
    for query, text in texts().items():
        assert [one.id for one in answers[query]] == [hit.id for hit in index.search(text, 100).hits]


def test_judgements_without_a_query_that_can_be_asked_are_an_error(index: Index) -> None:
    with pytest.raises(UsageError, match="queries with a text and a relevant document, found none among 1"):
        questions.judged(index, {"q": {"d1": 1}}, {"other": "text"})


def test_each_document_is_asked_for_by_a_span_and_by_a_question(index: Index) -> None:
    asked = probe.from_documents(index)
    assert Counter(asked.kinds.values()) == {"spans": 40, "questions": 40}
    for kind in ("spans", "questions"):
        assert {asked.questions[id].rest.id for id, one in asked.kinds.items() if one == kind} == {
            one.id for one in documents()
        }


def test_questions_whose_documents_are_removed_meanwhile_are_not_asked(index: Index, refused: Reindexed) -> None:
    asked = probe.from_documents(index)
    index.remove(["d1", "d2"])
    gone = {id for id, one in asked.questions.items() if one.rest.id in ("d1", "d2")}
    assert len(gone) == 4
    assert set(asked.ask(index)) == set(asked.questions) - gone
    index.remove([one.id for one in documents()])
    assert asked.ask(index) == {}
    with Index.open(index.path, generation=1) as old, Index.open(index.path, generation=refused.generation) as new:
        assert gate.quality(old, new, asked) is None


def test_the_same_questions_are_made_each_time(index: Index) -> None:
    assert probe.from_documents(index) == probe.from_documents(index)


def test_what_is_left_of_a_document_takes_its_place_in_the_answer(index: Index, encoder: Encoder) -> None:
    asked = probe.from_documents(index)
    answers = asked.ask(index)
    for id, question in list(asked.questions.items())[::20]:
        rest = encoder.encode([f"{question.rest.title}\n{question.rest.text}".strip()])
        query = encoder.encode([question.text])
        own = next(one for one in answers[id] if one.id == question.rest.id)
        assert own.similarity == pytest.approx(float((rest @ query.T)[0, 0]), abs=2e-3)
        if question.kind == "questions":
            continue  # in hybrid mode, words count as well
        similarities = [one.similarity for one in answers[id]]
        np.testing.assert_allclose(similarities, sorted(similarities, reverse=True), atol=1e-3)


def test_documents_that_training_held_out_are_the_only_ones_asked_about(index: Index) -> None:
    only = [f"d{i}" for i in range(10)]
    asked = probe.from_documents(index, only=only)
    assert {question.rest.id for question in asked.questions.values()} == set(only)
    assert Counter(asked.kinds.values())["spans"] == 100
    assert asked.source == "made from documents unseen in training"


def test_too_few_documents_that_training_held_out_are_not_enough(index: Index) -> None:
    assert Counter(probe.from_documents(index, only=["d1", "d2"]).kinds.values())["spans"] == 40


@pytest.fixture
def small(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    with Index.create(tmp_path / "small", encoder=encoder) as small:
        small.sync(documents()[:9])
        yield small


def test_what_cannot_be_measured_is_not_published(small: Index, same: Encoder) -> None:
    outcome = reindex(small, same)
    assert not outcome.published
    assert outcome.gate is not None
    verdict = outcome.gate.verdict
    assert (verdict.sound, verdict.refusal) == (True, "unmeasured")
    assert verdict.checks[-1].detail == "not measured: 18 questions are too few, 10 of a kind are needed"
    assert told(outcome)["refusal"] == "unmeasured"


def test_what_cannot_be_measured_is_published_when_told_to_or_when_any_loss_is_allowed(
    small: Index, same: Encoder, worse: Encoder
) -> None:
    assert reindex(small, same, gate=GateOptions(publish_anyway=True)).published
    assert reindex(small, worse, gate=GateOptions(max_loss=1)).published


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("fast", "accurate"),
        pytest.param("accurate", "fast", marks=pytest.mark.thorough),
        pytest.param("fast 128", "accurate", marks=pytest.mark.thorough),
    ],
)
def test_a_shipped_encoder_is_published_in_the_place_of_another_where_little_can_be_measured(
    tmp_path: Path, before: str, after: str
) -> None:
    first, second = (
        Encoder.load(name.split()[0], dim=128 if name.endswith("128") else None) for name in (before, after)
    )
    with Index.create(tmp_path / "few", encoder=first) as few:
        few.sync(documents()[:3])
        outcome = reindex(few, second)
        assert outcome.published
        assert few.encoder.fingerprint == second.fingerprint
    assert outcome.gate is not None
    assert outcome.gate.verdict.quality is None
    told_why = outcome.gate.verdict.checks[-1].detail
    assert "not measured" in told_why
    assert "both encoders come with docsim" in told_why
    assert outcome.report is not None
    assert "both encoders come with docsim" in (outcome.report / "report.html").read_text(encoding="utf-8")


def test_no_other_encoder_is_published_so(tmp_path: Path, encoder: Encoder) -> None:
    for first, second in ((encoder, Encoder.default()), (Encoder.default(), encoder)):
        with Index.create(tmp_path / first.name, encoder=first) as few:
            few.sync(documents()[:3])
            outcome = reindex(few, second)
            assert outcome.gate is not None
            assert (outcome.published, outcome.gate.verdict.refusal) == (False, "unmeasured")


def test_few_judged_queries_are_too_few(index: Index, same: Encoder) -> None:
    outcome = reindex(index, same, gate=GateOptions(qrels=QRELS, texts=texts()))
    assert outcome.gate is not None
    assert (outcome.published, outcome.gate.verdict.refusal) == (False, "unmeasured")


def test_what_harms_one_kind_of_question_is_not_published(
    index: Index, same: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = probe.Probe.ask

    def harmed(self: probe.Probe, asked: Index) -> dict[str, questions.Answer]:
        answers = ask(self, asked)
        if asked.generation().number == 1:
            return answers
        return {id: () if self.kinds[id] == "questions" else found for id, found in answers.items()}

    monkeypatch.setattr(probe.Probe, "ask", harmed)
    outcome = reindex(index, same)
    assert outcome.gate is not None
    assert [check.name for check in outcome.gate.verdict.checks if not check.passed] == ["questions"]
    kinds = told(outcome)["quality"]["kinds"]  # type: ignore[index]
    assert kinds["spans"]["metrics"]["nDCG@10"]["difference"] == 0
    assert kinds["questions"]["metrics"]["nDCG@10"]["new"] == 0


def test_a_generation_whose_embeddings_are_damaged_is_not_published_whatever_is_wanted(
    index: Index, same: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Build.run

    def run_and_damage(self: Build, advance: object = None) -> int:
        done = run(self, None)
        damaged = sqlite3.connect(index.path / "index.db", isolation_level=None)
        damaged.execute("UPDATE embeddings SET checksum = 1 WHERE generation = 2 AND document = 7")
        damaged.close()
        return done

    monkeypatch.setattr(Build, "run", run_and_damage)
    with pytest.raises(Exception, match="damaged"):
        reindex(index, same, gate=GateOptions(publish_anyway=True))
    assert index.generation().number == 1


def test_search_that_finds_too_little_does_not_pass(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.passed for check in gate.checks(index)] == [True, True, True]
    search = VectorIndex.search

    def worse(self: VectorIndex, queries: np.ndarray[tuple[int, ...], np.dtype[np.float32]], k: int) -> NearestPassages:
        found = search(self, queries, k + 1)
        return NearestPassages(found.similarities[:, 1:], found.ids[:, 1:])

    monkeypatch.setattr(VectorIndex, "search", worse)
    check = gate.checks(index)[2]
    assert (check.passed, check.detail) == (False, "recall@10 0.900 of exact search")


def test_exact_search_equals_a_sort_of_all_similarities(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_TOGETHER", 7)
    with snapshot_of(index) as snapshot:
        numbers = snapshot.embedded()
        rows = np.concatenate(snapshot.embeddings(numbers)).astype(np.float32)
        found = gate._exact(snapshot, numbers, rows[:5], k=3)
    np.testing.assert_allclose(found, -np.sort(-(rows[:5] @ rows.T), axis=1)[:, :3], atol=1e-6)


def test_the_report_tells_what_changed(index: Index, worse: Encoder) -> None:
    outcome = reindex(index, worse, gate=GateOptions(threshold=0.5))
    report = told(outcome)
    assert (report["format"], report["passed"], report["max_loss"]) == (2, False, 0.01)
    assert (report["old"]["dim"], report["new"]["dim"]) == (32, 2)  # type: ignore[index]
    assert outcome.gate is not None
    quality = outcome.gate.verdict.quality
    assert quality is not None
    metric = report["quality"]["metrics"]["nDCG@10"]  # type: ignore[index]
    expected = [
        metrics.evaluate({id: [one.id for one in found] for id, found in answers.items()}, quality.questions.qrels)
        for answers in (quality.old_answers, quality.new_answers)
    ]
    assert [metric["old"], metric["new"]] == [one.metrics["nDCG@10"].value for one in expected]
    assert metric["difference"] == pytest.approx(metric["new"] - metric["old"])
    assert metric["interval"][0] <= metric["difference"] <= metric["interval"][1]


@pytest.mark.parametrize(("lost", "p", "passes"), [(0.005, 0.01, True), (0.05, 0.01, False), (0.05, 0.3, True)])
def test_a_loss_counts_unless_it_may_be_chance(lost: float, p: float, passes: bool) -> None:
    one = significance.RunComparison(12, significance.Estimate(-lost, -lost - 0.1, 0.1 - lost), p, p < 0.05)
    compared = gate.KindComparison({gate.METRIC: 0.5}, {gate.METRIC: 0.5 - lost}, {gate.METRIC: one})
    check = gate.kind_check("questions", compared, "questions", max_loss=0.01)
    assert check.passed == passes
    assert check.detail.endswith("may be chance") == (passes and lost > 0.01)


def test_the_report_lists_what_lost_most_with_both_results(index: Index, refused: Reindexed) -> None:
    lost = told(refused)["lost"]
    assert isinstance(lost, list)
    losses = [one["nDCG@10"][0] - one["nDCG@10"][1] for one in lost]
    assert len(lost) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0
    assert lost[0]["relevant"][0] in [one["id"] for one in lost[0]["old"]]
    assert len(lost[0]["new"]) == 10


def test_overlap_is_the_share_of_the_first_ten_that_both_find() -> None:
    def found(*ids: str) -> list[questions.Found]:
        return [questions.Found(id, "", 0.5) for id in ids]

    assert gate_report._overlap(found("a", "b", "c", "d"), found("d", "x", "y", "a")) == 0.5
    assert gate_report._overlap(found("a"), found("b")) == 0
    assert gate_report._overlap((), ()) == 0


def test_a_threshold_is_mapped_to_the_similarity_that_lets_as_many_hits_through() -> None:
    old, new = np.linspace(0, 1, 101), np.linspace(0.5, 0.7, 101)
    mapped = gate_report._mapped(0.9, old, new)
    assert mapped["share"] == pytest.approx(11 / 101)
    assert mapped["new"] == pytest.approx(0.678, abs=2e-3)
    assert gate_report._mapped(2.0, old, new)["share"] == 0


def test_the_page_needs_no_other_file_and_escapes_what_users_wrote(index: Index, worse: Encoder) -> None:
    index.sync([*documents()[1:], Document("d0", "<script>alert(1)</script> " + documents()[0].text)])
    outcome = reindex(index, worse)
    assert outcome.report is not None
    page = (outcome.report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "<script>" not in page
    assert "Questions that lost most" in page


def test_a_report_goes_where_it_is_wanted(index: Index, same: Encoder, tmp_path: Path) -> None:
    outcome = reindex(index, same, gate=GateOptions(report=tmp_path / "deep" / "report"))
    assert outcome.report == tmp_path / "deep" / "report"
    assert sorted(one.name for one in outcome.report.iterdir()) == ["report.html", "report.json"]


def test_what_was_found_is_kept_with_the_generation(index: Index, refused: Reindexed) -> None:
    passed, summary = store_of(index).rows("SELECT passed, summary FROM verdicts WHERE generation = 2")[0]
    assert passed == 0
    assert isinstance(refused.gate, GateReport)
    assert refused.gate.verdict.quality is not None
    new = refused.gate.verdict.quality.new
    assert json.loads(summary)["metrics"]["nDCG@10"] == new.metrics["nDCG@10"].value


def test_a_rollback_passes_no_gate(index: Index, worse: Encoder) -> None:
    reindex(index, worse, gate=GateOptions(publish_anyway=True))
    assert rollback(index).gate is None
