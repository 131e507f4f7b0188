"""The API of a running server, read with a real client."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from office_files import docx, paragraph
from served import PAGES, Served, made, problem, serving, token

from docsim import Document, Index
from docsim.engine.records import SourceName

SEARCH_KEYS = [
    "query", "mode", "generation", "encoder", "took_ms", "hits", "adapter", "operators", "corrections", "warnings",
    "answerable", "nothing_here", "revision",
]  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("served") / "index", tiny_encoder_dir)


@pytest.fixture(scope="module")
def secret(index: Path) -> str:
    return token(index, "tester", scope="write")


@pytest.fixture(scope="module")
def served(index: Path, secret: str) -> Iterator[Served]:
    with serving(index) as running:
        yield running


@pytest.fixture
def client(served: Served, secret: str) -> Iterator[httpx.Client]:
    with served.client(secret) as opened:
        yield opened


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


# Searching


def test_a_search_answers_as_the_library_does_and_says_the_revision(client: httpx.Client, index: Path) -> None:
    answer = client.get("/v1/search", params={"text": "boil lentils", "k": 2})
    found = answer.json()
    assert list(found) == SEARCH_KEYS
    with Index.open(index) as opened:
        expected = opened.search("boil lentils", 2)
        with opened.engine.snapshot() as snapshot:
            assert found["revision"] == snapshot.revision
    assert ids(answer) == [hit.id for hit in expected.hits]
    assert found["hits"][0]["similarity"] == pytest.approx(expected.hits[0].similarity)
    assert found["hits"][0]["passages"][0]["text"] == PAGES[0].text


def test_get_and_post_answer_alike(client: httpx.Client) -> None:
    asked: dict[str, Any] = {"text": "lentils", "where": "team = 'kitchen'", "k": 3, "mode": "dense", "offset": 1}
    got, posted = client.get("/v1/search", params=asked), client.post("/v1/search", json=asked)
    assert ids(got) == ids(posted)
    assert len(ids(got)) == 1


def test_a_filter_may_be_a_mapping_in_json(client: httpx.Client) -> None:
    assert ids(client.post("/v1/search", json={"text": "lentils", "where": {"team": "sre"}})) == ["keys.md"]


def test_search_below_a_path(client: httpx.Client) -> None:
    assert ids(client.get("/v1/search", params={"text": "lentils", "in": "travel"})) == ["travel/ticket.md"]


def test_a_search_explains_its_hits_when_asked(client: httpx.Client) -> None:
    hit = client.get("/v1/search", params={"text": "signing keys", "k": 1, "explain": True}).json()["hits"][0]
    assert (hit["id"], hit["explain"]["b"]["id"]) == ("keys.md", "keys.md")
    assert {"key", "sign"} & {term["term"] for term in hit["explain"]["terms"]}


def test_similar_to_an_id_leaves_that_document_out(client: httpx.Client) -> None:
    assert ids(client.get("/v1/similar", params={"id": "soup.md", "k": 10}))[0] == "stew.md"
    assert "soup.md" not in ids(client.get("/v1/similar", params={"id": "soup.md", "k": 10}))


def test_similar_to_several_and_unlike_others(client: httpx.Client) -> None:
    both = ids(client.get("/v1/similar", params={"id": ["soup.md", "keys.md"]}))
    assert set(both) == {"stew.md", "travel/ticket.md"}
    asked: dict[str, Any] = {"id": ["soup.md"], "unlike": ["travel/ticket.md"], "mode": "dense"}
    assert ids(client.post("/v1/similar", json=asked)) == ["stew.md", "keys.md"]


def test_similar_to_a_text_says_when_there_is_the_same_already(client: httpx.Client) -> None:
    answer = client.post("/v1/similar", json={"text": PAGES[0].text, "title": PAGES[0].title}).json()
    assert answer["same"] == ["soup.md"]
    assert client.get("/v1/similar", params={"text": "something about lentils"}).json()["same"] == []


def test_a_file_is_read_as_indexing_reads_it(client: httpx.Client) -> None:
    content = docx(paragraph("Rotate the signing keys every year."))
    answer = client.post("/v1/similar/file", params={"name": "draft.docx"}, content=content)
    assert ids(answer)[0] == "keys.md"
    assert answer.json()["same"] == ["keys.md"]


def test_a_file_that_cannot_be_read_is_a_problem_of_one_sentence(client: httpx.Client) -> None:
    broken = client.post("/v1/similar/file", params={"name": "draft.docx"}, content=b"PK no zip")
    assert "\n" not in problem(broken, 422)
    binary = client.post("/v1/similar/file", params={"name": "draft.txt"}, content=b"\0\1\2")
    assert "binary" in problem(binary, 422)


def test_explain_a_text_and_a_document(client: httpx.Client) -> None:
    found = client.get("/v1/explain", params={"text": "signing keys", "b": "keys.md"}).json()
    assert found["b"]["title"] == "Signing keys"
    assert found["pairs"][0]["b"]["text"] == PAGES[2].text
    assert all(term["documents"] >= 1 for term in found["terms"])


def test_suggestions_complete_titles_and_words_in_them(client: httpx.Client) -> None:
    def suggested(text: str) -> list[str]:
        return [one["id"] for one in client.get("/v1/suggest", params={"text": text}).json()["suggestions"]]

    assert suggested("lentil s") == ["soup.md", "stew.md"]
    assert suggested("TICK") == ["travel/ticket.md"]
    assert suggested("icket") == []
    assert suggested(" ") == []
    words = client.get("/v1/suggest", params={"text": "boil LEN"}).json()["words"]
    assert words == [{"text": "boil lentils", "documents": 2}, {"text": "boil lentil", "documents": 2}][::-1]


# Documents


def test_documents_are_listed_page_by_page(client: httpx.Client) -> None:
    first = client.get("/v1/documents", params={"limit": 3, "in": ""}).json()
    rest = client.get("/v1/documents", params={"after": first["next"], "limit": 1000}).json()
    listed = [one["id"] for one in first["documents"] + rest["documents"]]
    assert listed == sorted(listed)
    assert len(listed) == first["total"]
    assert set(listed) >= {page.id for page in PAGES}
    below = client.get("/v1/documents", params={"in": "travel/"}).json()
    assert ([one["id"] for one in below["documents"]], below["total"], below["next"]) == (["travel/ticket.md"], 1, None)


def test_a_document_is_shown_with_its_passages(client: httpx.Client) -> None:
    found = client.get("/v1/documents/travel/ticket.md").json()
    assert (found["title"], found["text"]) == (PAGES[3].title, PAGES[3].text)
    assert [found["text"][one["start"] : one["end"]] for one in found["passages"]] == [PAGES[3].text]


def test_what_was_written_is_found_by_the_next_search(client: httpx.Client) -> None:
    body = {"text": "Water the garden before the holiday.", "title": "Garden", "metadata": {"team": "garden"}}
    job = client.put("/v1/documents/home/garden.md", params={"wait": True}, json=body).json()
    assert (job["state"], job["result"]["added"]) == ("done", 1)
    asked: dict[str, Any] = {"text": "water the garden", "at_least": job["result"]["revision"], "k": 1}
    assert ids(client.get("/v1/search", params=asked)) == ["home/garden.md"]
    again = client.put("/v1/documents/home/garden.md", params={"wait": True}, json=body).json()
    assert (again["result"]["unchanged"], again["result"]["added"]) == (1, 0)
    changed = client.put(
        "/v1/documents/home/garden.md", params={"wait": True}, json=body | {"text": "No water."}
    ).json()
    assert changed["result"]["changed"] == 1
    assert client.get("/v1/documents/home/garden.md").json()["text"] == "No water."
    removed = client.delete("/v1/documents/home/garden.md", params={"wait": True}).json()
    assert removed["result"]["removed"] == 1
    assert "no document" in problem(client.get("/v1/documents/home/garden.md"), 404)
    gone = client.delete("/v1/documents/home/garden.md", params={"wait": True}).json()
    assert (gone["state"], gone["result"]["removed"]) == ("done", 0)


def test_writing_is_taken_in_as_a_job_that_can_be_asked_about(client: httpx.Client) -> None:
    lines = "\n".join(json.dumps({"id": f"batch/{i}", "text": f"Page {i} of the report"}) for i in range(30))
    taken = client.post("/v1/documents", content=lines.encode())
    assert taken.status_code == 202
    place = taken.headers["location"]
    deadline = time.monotonic() + 20
    while (job := client.get(place).json())["state"] not in ("done", "failed") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (job["state"], job["result"]["added"], job["result"]["failures"]) == ("done", 30, [])
    for i in range(30):
        client.delete(f"/v1/documents/batch/{i}", params={"wait": i == 29})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('{"id": "a", "text": "x"}\n{"id": "b"}', "line 2: expected text, got none"),
        ('{"id": "a", "text": "x"}\nnonsense', "line 2: "),
        ('{"id": "a", "text": "x", "txt": 1}', "line 1: expected no parameter 'txt', which this request does not have"),
        ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}', "line 2: expected each id once, got 'a' twice"),
        ('{"id": " ", "text": "x"}', "line 1: expected an id"),
        ("\n\n", "expected at least one document"),
    ],
)
def test_nothing_is_written_of_lines_one_of_which_is_wrong(client: httpx.Client, lines: str, told: str) -> None:
    before = client.get("/v1/status").json()["documents"]
    detail = problem(client.post("/v1/documents", params={"wait": True}, content=lines.encode()), 400)
    assert told in detail
    assert client.get("/v1/status").json()["documents"] == before


def test_what_another_source_holds_is_not_changed_here(client: httpx.Client) -> None:
    told = problem(client.put("/v1/documents/soup.md", json={"text": "Other soup."}), 409)
    assert told == "expected a document that came over HTTP, 'soup.md' comes from the source python; change it there"
    problem(client.delete("/v1/documents/soup.md"), 409)
    line = json.dumps({"id": "soup.md", "text": "Other soup."}).encode()
    job = client.post("/v1/documents", params={"wait": True}, content=line).json()
    assert [one["id"] for one in job["result"]["failures"]] == ["soup.md"]
    assert client.get("/v1/documents/soup.md").json()["text"] == PAGES[0].text


def test_what_another_process_writes_is_used_from_the_next_request_on(client: httpx.Client, index: Path) -> None:
    source = SourceName("python", "elsewhere", "elsewhere")
    with Index.open(index) as opened:
        opened.sync([Document("reset.md", "Reset the password of the account.", "Passwords")], source=source)
    assert ids(client.get("/v1/search", params={"text": "password reset", "k": 1})) == ["reset.md"]
    with Index.open(index) as opened:
        opened.remove(["reset.md"])
    assert "reset.md" not in ids(client.get("/v1/search", params={"text": "password reset", "k": 10}))


def test_a_revision_that_is_not_there_yet_is_a_conflict(client: httpx.Client) -> None:
    told = problem(client.get("/v1/search", params={"text": "soup", "at_least": 10**9}), 409)
    assert told.startswith("expected an index of revision 1000000000 or later, found revision ")


# Problems


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/search?text=a&page=2", "expected no parameter 'page', which this request does not have"),
        ("/v1/search", "expected text, got none"),
        ("/v1/search?text=%20", "expected a text to search for, got a blank one"),
        ("/v1/search?text=a&k=0", "expected k to be greater than or equal to 1; got '0'"),
        ("/v1/search?text=a&mode=best", "expected mode to be 'dense', 'lexical' or 'hybrid'; got 'best'"),
        ("/v1/search?text=a&diversity=nan", "expected diversity to be "),
        ("/v1/search?text=a&where=team+%3D", "filter"),
        ("/v1/status?verbose=1", "expected no parameter 'verbose', which this request does not have"),
        ("/v1/similar", "expected either id, and perhaps unlike, or text; got neither"),
        ("/v1/explain?b=soup.md", "expected either a or text, got neither"),
    ],
)
def test_a_wrong_request_is_told_in_one_sentence(client: httpx.Client, path: str, told: str) -> None:
    assert told in problem(client.get(path), 400)


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("get", "/v1/documents/", 4096),
        ("delete", "/v1/documents/", 4096),
        ("put", "/v1/documents/", 4096),
        ("get", "/d/", 4096),
        ("get", "/more/", 4096),
        ("get", "/why/", 4096),
        ("get", "/v1/jobs/", 64),
    ],
)
def test_an_id_in_a_path_has_a_greatest_length(client: httpx.Client, method: str, path: str, most: int) -> None:
    body = {"text": "Water."} if method == "put" else None
    told = problem(client.request(method, path + "x" * (most + 1), json=body, params={}), 400)
    assert f"at most {most} characters" in told
    assert len(told) < 200
    if method == "get" and path.startswith("/v1"):
        assert "found no" in problem(client.get(path + "x" * most), 404)


def test_what_is_not_there_is_a_problem_too(client: httpx.Client) -> None:
    told = "expected the id of an indexed document, found no document 'nothing.md' in the index"
    for path in ("/v1/documents/nothing.md", "/v1/similar?id=nothing.md", "/v1/explain?text=a&b=nothing.md"):
        assert problem(client.get(path), 404) == told
    problem(client.get("/v2/search"), 404)
    problem(client.get("/v1/jobs/nothing"), 404)
    wrong = client.patch("/v1/search")
    problem(wrong, 405)
    assert wrong.headers["allow"] == "GET, POST"


def test_bodies_are_bounded_whether_their_length_is_declared_or_not(client: httpx.Client) -> None:
    problem(client.post("/v1/search", content=b"x" * ((1 << 20) + 1)), 413)
    assert "at most 1 MB" in problem(client.post("/v1/search", content=(b"x" * 65536 for _ in range(20))), 413)


def test_a_request_keeps_the_number_that_it_brings(client: httpx.Client) -> None:
    assert client.get("/v1/status", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/v1/status", headers={"X-Request-ID": "a b\tc"}).headers["x-request-id"] != "a b\tc"


# The server


def test_logs_are_json_and_hold_no_texts(client: httpx.Client, served: Served) -> None:
    client.get("/v1/search", params={"text": "unmistakable"})
    client.get("/v1/documents/unmistakable.md")
    time.sleep(0.2)
    assert "unmistakable" not in "".join(served.log)
    line = next(one for one in reversed(served.lines()) if one["route"] == "/v1/search")
    assert (line["by"], line["status"], line["method"]) == ("tester", 200, "GET")


def test_metrics_count_requests_and_describe_the_index(client: httpx.Client) -> None:
    client.get("/v1/search", params={"text": "soup"})
    shown = client.get("/metrics").text
    assert 'docsim_http_request_duration_seconds_count{method="GET",route="/v1/search",status="200"}' in shown
    values = dict(line.rsplit(" ", 1) for line in shown.splitlines() if not line.startswith("#"))
    assert float(values["docsim_documents"]) >= len(PAGES)
    assert float(values['docsim_queries_total{route="/v1/search"}']) >= 1
    assert {"docsim_revision", "docsim_generation", "docsim_waiting_jobs", "docsim_failed_documents"} <= set(values)


def test_health_needs_no_token(served: Served) -> None:
    with served.client() as anybody:
        assert [anybody.get(path).text for path in ("/livez", "/readyz")] == ["ok\n", "ok\n"]


def test_the_description_is_of_what_is_served(client: httpx.Client) -> None:
    described = client.get("/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    asked: dict[str, dict[str, Any]] = {
        "/v1/search": {"text": "lentils", "explain": True}, "/v1/similar": {"id": "soup.md"},
        "/v1/explain": {"a": "soup.md", "b": "stew.md"}, "/v1/suggest": {"text": "l"}, "/v1/documents": {},
        "/v1/documents/{id}": {}, "/v1/status": {}, "/v1/generations": {}, "/v1/failures": {},
    }  # fmt: skip
    for path, parameters in asked.items():
        operation = described["paths"][path]["get"]
        answer = client.get(path.replace("{id}", "soup.md"), params=parameters)
        assert answer.status_code == 200, path
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": described["components"]}).validate(answer.json())
        refused = client.get(path.replace("{id}", "soup.md"), params={**parameters, "surely_not": 1})
        assert "surely_not" in problem(refused, 400)
        schema = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        Draft202012Validator({**schema, "components": described["components"]}).validate(refused.json())


def test_many_clients_at_once_all_get_their_answers(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.get("/v1/search", params={"text": PAGES[i % 4].text}), range(64)))
    assert [ids(answer)[0] for answer in answers] == [PAGES[i % 4].id for i in range(64)]


def test_too_many_at_once_are_turned_away_and_the_rest_answered(index: Path, secret: str) -> None:
    with serving(index, "--in-flight", "1") as running, running.client(secret) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/v1/search", params={"text": "soup"}), range(40)))
    codes = {answer.status_code for answer in answers}
    assert codes == {200, 503}
    turned_away = next(answer for answer in answers if answer.status_code == 503)
    assert turned_away.headers["retry-after"] == "1"
    assert "at most 1 requests at once" in problem(turned_away, 503)


def test_a_slow_client_is_not_waited_for_and_keeps_nobody_waiting(index: Path, secret: str) -> None:
    with serving(index, "--time-limit", "1", "--in-flight", "3") as running, running.client(secret) as client:
        port = int(running.address.rsplit(":", 1)[1])
        head = (
            f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Length: 90\r\n"
        )
        with (
            socket.create_connection(("127.0.0.1", port)) as slow,
            socket.create_connection(("127.0.0.1", port)) as gone,
        ):
            for one in (slow, gone):
                one.sendall(head.encode() + b'Content-Type: application/json\r\n\r\n{"text"')
            gone.shutdown(socket.SHUT_WR)
            assert ids(client.get("/v1/search", params={"text": "soup"}))
            slow.settimeout(20)
            assert b"503 Service Unavailable" in slow.recv(4096)
        assert ids(client.get("/v1/search", params={"text": "soup"}))


def test_a_server_told_to_end_finishes_what_is_running(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    secret = token(index, "tester", scope="write")
    with serving(index) as running, running.client(secret) as client:
        lines = "\n".join(json.dumps({"id": f"last/{i}", "text": f"Page {i}"}) for i in range(200)).encode()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.post, "/v1/documents", params={"wait": True}, content=lines)
            time.sleep(0.3)
            started = time.monotonic()
            assert running.end() == 0
            assert time.monotonic() - started < 12
            assert waiting.result().status_code in (200, 202)
    with serving(index) as running, running.client(secret) as client:  # what was taken in is done by the next one
        deadline = time.monotonic() + 20
        while client.get("/v1/documents", params={"in": "last"}).json()["total"] < 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert client.get("/v1/documents", params={"in": "last"}).json()["total"] == 200
