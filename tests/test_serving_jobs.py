"""Jobs that change which encoder answers, and what other programs ask in their own words, in this process."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import asking
from httpx2 import Response
from jsonschema import Draft202012Validator
from served import PAGES, made, problem, token
from starlette.testclient import TestClient

from docsim import Document, Encoder, Index, extras
from docsim.encoding.documents import encode_documents
from docsim.progress import SILENT, Progress
from docsim.serving.server_database import ServerDatabase
from docsim.serving.writing import Jobs


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("jobs") / "kitchen", tiny_encoder_dir)


@pytest.fixture(scope="module")
def client(index: Path) -> Iterator[TestClient]:
    with asking(index, token(index, "boss", scope="admin")) as opened:
        yield opened


def over(client: TestClient, answer: Response) -> dict[str, Any]:
    """Return a job once it is over."""
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(answer.headers["location"]).json()
        if job["state"] in ("done", "failed"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def test_an_encoder_is_changed_while_the_server_answers_and_taken_back(
    client: TestClient, index: Path, tiny_encoder_dir: Path
) -> None:
    body = {"encoder": str(tiny_encoder_dir), "dim": 16}
    refused = over(client, client.post("/v1/reindex", json=body))
    assert (refused["state"], refused["result"]["published"]) == ("done", False)
    assert refused["result"]["refusal"] == "unmeasured"
    assert refused["progress"]["total"] == len(PAGES)
    assert "expected a generation that waits to be published, got 9; found 2" in problem(
        client.post("/v1/publish", json={"generation": 9}), 409
    )
    published = over(client, client.post("/v1/publish", json={"generation": 2, "publish_anyway": True}))
    assert published["result"]["published"] is True
    found = client.get("/v1/search", params={"text": "soup", "at_least": published["result"]["revision"]}).json()
    assert found["generation"] == 2
    back = over(client, client.post("/v1/rollback", json={}))
    assert (back["result"]["generation"], back["result"]["previous"]) == (1, 2)
    states = {one["number"]: one["state"] for one in client.get("/v1/generations").json()["generations"]}
    assert states == {1: "live", 2: "retired"}
    failed = over(client, client.post("/v1/reindex", json={"encoder": str(index / "nothing")}))
    assert failed["state"] == "failed"
    assert "nothing" in failed["result"]["error"]
    listed = client.get("/v1/jobs").json()["jobs"]
    assert [one["kind"] for one in listed] == ["reindex", "rollback", "publish", "reindex"]


def test_training_is_refused_in_one_sentence_where_it_is_not_installed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "available", lambda extra: extra != "train")
    told = problem(client.post("/v1/adapt", json={}), 501)
    assert told == 'adapting an index needs the extra "train": pip install "docsim[train]"'


def test_a_job_that_is_done_twice_ends_as_one_that_is_done_once(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    from docsim.jobs.job_process import carry_out

    silent: Progress = SILENT
    path = made(tmp_path / "index", tiny_encoder_dir)
    with Index.open(path) as opened:
        begun = {"encoder": str(tiny_encoder_dir), "dim": 16, "publish_anyway": True}
        assert [carry_out(opened, "reindex", begun, silent).generation for _ in range(2)] == [2, 2]
        assert [carry_out(opened, "rollback", {"generation": 1}, silent).generation for _ in range(2)] == [1, 1]
        assert opened.generation().number == 1


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    ServerDatabase(tmp_path)
    with closing(sqlite3.connect(tmp_path / "serving.db")) as database, database:
        database.execute("ALTER TABLE jobs DROP COLUMN progress")
        database.execute("PRAGMA user_version = 1")
    opened = [threading.Thread(target=ServerDatabase, args=(tmp_path,)) for _ in range(4)]
    for one in opened:
        one.start()
    for one in opened:
        one.join()
    jobs = Jobs(ServerDatabase(tmp_path))
    job = jobs.rebuild("rollback", {"generation": 1}, "boss")
    assert jobs.next(["put", "delete"]) is None
    number, kind, asked = jobs.next(["rollback"]) or (0, "", None)
    assert (kind, asked) == ("rollback", {"generation": 1})
    jobs.note(number, {"step": "documents"})
    assert jobs.rebuilds()[0].progress == {"step": "documents"}
    assert jobs.job(job.id) == jobs.rebuilds()[0]


# In others' words


def test_embeddings_are_asked_for_as_of_openai(client: TestClient, tiny_encoder_dir: Path) -> None:
    model = client.get("/v1/models").json()["data"][0]["id"]
    encoder = Encoder.load(tiny_encoder_dir)
    assert model == encoder.fingerprint
    expected = encode_documents(encoder, [Document("a", "boil lentils"), Document("b", "keys")])
    asked: dict[str, Any] = {"model": model, "input": ["boil lentils", "keys"]}
    found = client.post("/v1/embeddings", json=asked).json()
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert np.array([one["embedding"] for one in found["data"]]) == pytest.approx(np.concatenate(expected), abs=1e-6)
    assert found["usage"]["prompt_tokens"] == 3
    packed = client.post("/v1/embeddings", json={**asked, "input": "keys", "encoding_format": "base64"}).json()
    row = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert row == pytest.approx(expected[1][0], abs=1e-6)
    told = problem(client.post("/v1/embeddings", json={**asked, "model": "text-embedding-3-small"}), 404)
    assert model in told
    assert "expected dimensions 32" in problem(client.post("/v1/embeddings", json={**asked, "dimensions": 8}), 400)
    assert "blank" in problem(client.post("/v1/embeddings", json={**asked, "input": ["a", " "]}), 400)
    problem(client.post("/v1/embeddings", json={**asked, "input": [[1, 2]]}), 400)


def test_texts_are_ranked_as_by_jina(client: TestClient) -> None:
    texts = [PAGES[2].text, {"text": PAGES[0].text}, "Book a train."]
    asked: dict[str, Any] = {"query": "boil the lentils", "documents": texts, "top_n": 2}
    found = client.post("/v1/rerank", json=asked).json()
    assert found["results"][0]["index"] == 1
    assert found["results"][0]["document"] == {"text": PAGES[0].text}
    scores = [one["relevance_score"] for one in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2
    bare = client.post("/v1/rerank", json={**asked, "return_documents": False}).json()
    assert set(bare["results"][0]) == {"index", "relevance_score"}


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("is", "kitchen", {"soup.md", "stew.md"}),
        ("is not", "kitchen", {"keys.md", "travel/ticket.md"}),
        ("in", ["sre", "none"], {"keys.md"}),
        ("contains", "itch", {"soup.md", "stew.md"}),
        ("not contains", "itch", {"keys.md", "travel/ticket.md"}),
        ("start with", "s", {"keys.md"}),
        ("end with", "hen", {"soup.md", "stew.md"}),
        ("empty", None, {"travel/ticket.md"}),
        ("not empty", None, {"soup.md", "stew.md", "keys.md"}),
        (">", "l", {"keys.md"}),
    ],
)
def test_passages_are_found_as_dify_asks(client: TestClient, operator: str, value: Any, expected: set[str]) -> None:
    condition = {"name": ["team"], "comparison_operator": operator, "value": value}
    setting = {"top_k": 10, "score_threshold": -1.0, "score_threshold_enabled": False}
    asked: dict[str, Any] = {"knowledge_id": "kitchen", "query": "lentils", "retrieval_setting": setting}
    found = client.post("/retrieval", json={**asked, "metadata_condition": {"conditions": [condition]}}).json()
    assert {one["metadata"]["document_id"] for one in found["records"]} == expected
    assert all(0 <= one["score"] <= 1 and one["content"] and one["title"] for one in found["records"])


def test_what_dify_may_not_ask_is_told(client: TestClient) -> None:
    asked: dict[str, Any] = {"knowledge_id": "garden", "query": "lentils"}
    assert "expected the knowledge id kitchen" in problem(client.post("/retrieval", json=asked), 404)
    asked["knowledge_id"] = "kitchen"
    for test, told in (
        ({"name": "team", "comparison_operator": "sounds like", "value": "x"}, "an operator that Dify has"),
        ({"name": "team", "comparison_operator": "is"}, "expected a value for 'is'"),
    ):
        answer = client.post("/retrieval", json={**asked, "metadata_condition": {"conditions": [test]}})
        assert told in problem(answer, 400)


def test_the_new_routes_are_described_as_they_answer(client: TestClient) -> None:
    described = client.get("/v1/openapi.json").json()
    model = client.get("/v1/models").json()["data"][0]["id"]
    asked: list[tuple[str, str, Any]] = [
        ("get", "/v1/duplicates", None), ("get", "/v1/map", None), ("get", "/v1/jobs", None),
        ("get", "/v1/models", None), ("post", "/v1/embeddings", {"model": model, "input": "a"}),
        ("post", "/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("post", "/retrieval", {"knowledge_id": "kitchen", "query": "soup"}),
    ]  # fmt: skip
    for method, path, body in asked:
        answer = client.request(method, path, json=body)
        assert answer.status_code == 200, path
        schema = described["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": described["components"]}).validate(answer.json())
        refused = client.request(method, f"{path}?surely_not=1", json=body)
        assert "surely_not" in problem(refused, 400)
    for path in ("publish", "rollback", "reindex", "adapt"):
        assert "post" in described["paths"][f"/v1/{path}"]
    assert json.dumps(described)
