"""Learning from use: from what people open to pairs, batches and a better encoder; and back."""

from __future__ import annotations

import sqlite3  # noqa: F401  # before TensorFlow, see docsim.training
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import toy_training
from starlette.testclient import TestClient

from docsim.index import Index
from docsim.jobs.adapt import AdaptOptions, adapt
from docsim.jobs.judging import judged as judged_of
from docsim.models import Document
from docsim.reindex.gate import METRIC
from docsim.reindex.gate_report import numbers
from docsim.reindex.generations import rollback
from docsim.reindex.questions import USED
from docsim.serving.app import application
from docsim.serving.settings import Settings
from docsim.training.data.batch_layout import BatchOptions, InputFormat
from docsim.training.data.corpus import tokenize_corpus
from docsim.training.data.document_pairs import SpanBatches, SpanRecipe
from docsim.training.data.used_questions import BatchesWithQuestions, UsedPairs, used_pairs
from docsim.training.towers.saving import Lineage, save
from docsim.use.judgements import Judged, JudgedQuestion, Judgement

pytestmark = pytest.mark.training


def pages() -> list[Document]:
    """Documents of twelve topics, all in words of one kind: those that people ask with are in none of them."""
    random = np.random.default_rng(0)
    made = (toy_training.text(n % toy_training.TOPICS, "b", random, length=40) for n in range(96))
    return [Document(f"topic{n % toy_training.TOPICS}/{n}", text) for n, text in enumerate(made)]


def questions() -> dict[str, str]:
    """What people ask, in words of their own, and the folder of what answers it."""
    return {
        " ".join(toy_training.word(topic, "a", n) for n in pair): f"topic{topic}/"
        for topic in range(toy_training.TOPICS)
        for pair in combinations(range(toy_training.WORDS), 2)
    }


@pytest.fixture(scope="module")
def pairs() -> tuple[UsedPairs, SpanBatches, BatchesWithQuestions]:
    parts, held = toy_training.parts(), [0, 1]
    corpus = tokenize_corpus(toy_training.documents(60), parts)
    judgements = tuple(
        Judgement(id, grade, confidence, 1.0, 1.0)
        for id, grade, confidence in (
            ("topic2/2", 1, 0.9), ("topic2/14", 1, 0.3), ("topic0/0", 1, 0.9), ("topic3/3", 0, 0.8),
            ("topic1/1", 0, 0.8),
        )
    )  # fmt: skip
    asked = JudgedQuestion("q1", "a2x0 a2x1", 3, judgements, "learn")
    others = (replace(asked, id="q2", text="a5x0", part="gate"), replace(asked, id="q3", text="a5x1", part="probe"))
    judged = Judged((asked, *others), 3, 0, (), 0.6, 0.1, 0)
    found = used_pairs(judged, corpus, parts, without=held)
    format = InputFormat(np.array([], np.int32), np.array([], np.int32), 0, 256)
    options, recipe = BatchOptions(format, 16, 0), SpanRecipe(shortest=4)
    made = SpanBatches(corpus, range(2, 60), recipe=recipe, options=options)
    return found, made, BatchesWithQuestions(made, corpus, found.learn, recipe=recipe, options=options)


def test_questions_of_the_gate_and_documents_that_are_held_out_make_no_pairs(
    pairs: tuple[UsedPairs, SpanBatches, BatchesWithQuestions],
) -> None:
    found, _, _ = pairs
    assert [(one.row, one.weight, one.negatives, one.others) for one in found.learn] == [
        (2, 0.9, (3,), frozenset({2, 14})),
        (14, 0.3, (3,), frozenset({2, 14})),
    ]
    assert len({one.question.tobytes() for one in (*found.learn, *found.probe)}) == 2


def test_a_batch_has_pairs_of_questions_after_those_of_documents_and_what_was_passed_over_as_hard_negatives(
    pairs: tuple[UsedPairs, SpanBatches, BatchesWithQuestions],
) -> None:
    found, made, batches = pairs
    for step in range(6):
        before, batch = made.batch(step), batches.batch(step)
        again = batches.batch(step)
        assert all(np.array_equal(one, other) for one, other in zip(batch.sides, again.sides, strict=True))
        count = len(before.sides[0])
        asked = batch.sides[0][count:]
        assert [row[row != 0].tolist() for row in asked] == [found.learn[0].question.tolist()]
        excluded, wrong = batch.labels["excluded"], batch.labels["excluded_negatives"]
        assert excluded.shape == (count + 1, count + 1)
        assert np.array_equal(excluded[:count, :count], before.labels["excluded"])
        rows = made.rows(step)
        assert set(np.flatnonzero(np.isin(rows, [2, 14]))) <= set(np.flatnonzero(excluded[count]))
        assert not wrong[count].any()  # what was passed over is a wrong answer to the question
        assert wrong[:count, 0][rows == 3].all()  # and none to a part of the same document


@pytest.mark.thorough
def test_people_ask_click_and_say_and_the_index_gets_better_at_questions_that_it_never_learned_from(
    tmp_path: Path,
) -> None:
    encoder = save(toy_training.parts(), tmp_path / "encoder", name="toy", lineage=Lineage(0))
    with Index.create(tmp_path / "index", encoder=encoder) as index:
        index.sync(pages())
    app = application(Settings((tmp_path / "index").resolve(), record=True))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        for number, (text, folder) in enumerate(questions().items()):
            answer = client.get("/v1/search", params={"text": text, "k": 20}).json()
            for hit in answer["hits"]:
                if hit["id"].startswith(folder):
                    kind = "good" if number % 5 == 0 else "opened"
                    said = {"query_id": answer["query_id"], "kind": kind, "id": hit["id"]}
                    assert client.post("/v1/feedback", json=said).status_code == 200
    with Index.open(tmp_path / "index") as index:
        judged = judged_of(index)
        assert len(judged.qrels("gate")) >= 10
        assert all(
            one.document.startswith(questions()[each.text]) for each in judged.questions for one in each.positive
        )
        done = adapt(index, AdaptOptions()).reindexed
        assert done.gate is not None
        assert done.gate.verdict.quality is not None
        compared = done.gate.verdict.quality.kinds[USED]
        assert compared.new[METRIC] > compared.old[METRIC] + 0.1
        gained = numbers(done.gate)["asked"]["gained"]
        assert set(gained) <= {one.text for one in judged.questions if one.part == "gate"}
        assert len(gained) >= 5
        assert done.published
        assert adapt(index, AdaptOptions()).trained is None  # nothing has changed
        assert rollback(index).generation == 1
