"""What a server records, from the page, over HTTP and from assistants, and what it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import made
from starlette.testclient import TestClient

from docsim.index import Index
from docsim.serving.access import Access, Rules, Viewer
from docsim.serving.app import application
from docsim.serving.reading import Asked, Reading
from docsim.serving.server_database import ServerDatabase
from docsim.serving.settings import Settings
from docsim.serving.tokens import Tokens
from docsim.serving.tools import FEEDBACK, TOOLS, page_places
from docsim.serving.use import Use
from docsim.use.log import UseLog
from docsim.use.people import People
from docsim.use.recording import Recorder
from docsim.use.records import Session


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("recorded") / "index", tiny_encoder_dir)


@pytest.fixture
def client(index: Path) -> Iterator[TestClient]:
    app = application(Settings(index, record=True))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 4711)) as client:
        yield client
    for file in index.glob("use.*"):
        file.unlink()


def recorded(index: Path, questions: int, events: int) -> list[Session]:
    """Wait until so much was written."""
    end = time.monotonic() + 10
    while True:
        with UseLog.opened(index) as log:
            found = log.sessions()
        if (len(found), sum(len(one.events) for one in found)) == (questions, events) or time.monotonic() > end:
            assert (len(found), sum(len(one.events) for one in found)) == (questions, events)
            return found
        time.sleep(0.02)


def form(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the first form of a page that goes to an address."""
    found = re.search(rf'<form[^>]*action="{action}"[^>]*>(.*?)</form>', page, re.DOTALL)
    assert found is not None
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', found[1])
    return {name: value.replace("&amp;", "&") for name, value in fields}


def test_the_page_records_what_is_asked_opened_and_said_without_a_script(client: TestClient, index: Path) -> None:
    page = client.get("/", params={"q": "lentil soup"}).text
    link = re.search(r'<h2><a href="(/d/soup\.md[^"]*)"', page)
    assert link is not None
    opened = client.get(link[1].replace("&amp;", "&")).text
    assert "was this what you were looking for?" in opened
    said = client.post("/feedback", data=form(opened, "/feedback") | {"kind": "found"}, follow_redirects=True)
    assert "Thank you, this is noted." in said.text
    assert (
        client.post("/feedback", data=form(opened, "/feedback") | {"kind": "dwell", "seconds": "7.5"}).status_code
        == 204
    )
    nothing = form(page, "/feedback")
    del nothing["id"]
    client.post("/feedback", data=nothing | {"kind": "nothing"}, follow_redirects=False)
    (session,) = recorded(index, 1, 4)
    asked = session.question
    assert (asked.text, asked.route, asked.person) == ("lentil soup", "page", People(index).hashed("local"))
    assert (asked.shown[0].rank, asked.shown[0].document) == (1, "soup.md")
    assert [one.rank for one in asked.shown] == [1, 2, 3, 4]
    kinds = {one.kind: (one.document, one.seconds) for one in session.events}
    assert kinds == {
        "opened": ("soup.md", None),
        "found": ("soup.md", None),
        "dwell": ("soup.md", 7.5),
        "nothing": (None, None),
    }


def test_a_program_says_what_became_of_its_question(client: TestClient, index: Path) -> None:
    answer = client.get("/v1/search", params={"text": "keys"}).json()
    told = {"query_id": answer["query_id"], "kind": "good", "id": "keys.md"}
    assert client.post("/v1/feedback", json=told).json() == {"query_id": answer["query_id"]}
    own = client.post("/v1/feedback", json={"text": "tickets", "kind": "bad", "id": "soup.md"}).json()["query_id"]
    found = {one.question.id: one for one in recorded(index, 2, 2)}
    assert found[answer["query_id"]].events[0].document == "keys.md"
    assert (found[own].question.text, found[own].events[0].kind) == ("tickets", "bad")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"query_id": "x", "kind": "good", "id": "nowhere.md"}, 404),
        ({"query_id": "x", "kind": "good"}, 400),
        ({"query_id": "x", "kind": "nothing", "id": "soup.md"}, 400),
        ({"query_id": "x", "kind": "dwell", "id": "soup.md"}, 400),
        ({"query_id": "x", "text": "y", "kind": "good", "id": "soup.md"}, 400),
        ({"kind": "good", "id": "soup.md"}, 400),
        ({"query_id": "x", "kind": "loved", "id": "soup.md"}, 400),
    ],
)
def test_feedback_that_says_nothing_is_refused(
    client: TestClient, index: Path, said: dict[str, Any], status: int
) -> None:
    answer = client.post("/v1/feedback", json=said)
    assert (answer.status_code, "expected" in answer.json()["detail"]) == (status, True)
    recorded(index, 0, 0)


def test_nobody_can_say_anything_of_a_document_that_they_may_not_see(index: Path) -> None:
    secret = Tokens(ServerDatabase(index)).add("hr", groups=["hr"])
    try:
        app = application(Settings(index, record=True, shown_by_default=False))
        with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {secret}"}) as client:
            said = {"text": "soup", "kind": "good", "id": "soup.md"}
            assert client.post("/v1/feedback", json=said).status_code == 404
            assert client.post("/feedback", data={"s": "x", "kind": "good", "id": "soup.md"}).status_code == 404
        recorded(index, 0, 0)
    finally:
        Tokens(ServerDatabase(index)).revoke("hr")
        for file in index.glob("use.*"):
            file.unlink()


def test_without_being_asked_to_a_server_records_nothing(index: Path) -> None:
    with TestClient(application(Settings(index)), base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        assert "query_id" not in client.get("/v1/search", params={"text": "keys"}).json()
        assert "feedback" not in client.get("/", params={"q": "keys"}).text
        refused = client.post("/v1/feedback", json={"text": "keys", "kind": "good", "id": "keys.md"})
        assert (refused.status_code, "expected a server that records use" in refused.json()["detail"]) == (409, True)
    assert not list(index.glob("use.*"))


def test_an_assistant_can_say_what_helped_where_use_is_recorded(index: Path) -> None:
    use = Use(Recorder(index))
    with Index.open(index) as opened:
        reading, access = Reading(opened, Rules(), use), Access(Viewer("robot", None), Rules())
        places = page_places("docsim:///")
        search, feedback = TOOLS["search"], FEEDBACK["feedback"]
        found = search.call(reading, access, search.parameters(query="signing keys"), places)  # type: ignore[call-arg]
        given = feedback.parameters(query_id=found["query_id"], good=["keys.md"], bad=["soup.md"])  # type: ignore[call-arg]
        assert feedback.call(reading, access, given, places)["recorded"] == 2
    use.close()
    (session,) = recorded(index, 1, 2)
    assert (session.question.route, session.question.person) == ("mcp", People(index).hashed("robot"))
    assert {(one.kind, one.document) for one in session.events} == {("good", "keys.md"), ("bad", "soup.md")}
    for file in index.glob("use.*"):
        file.unlink()


def test_drawn_neighbours_are_swapped_half_of_the_time_and_both_are_noted(index: Path) -> None:
    use = Use(Recorder(index), swaps=1.0)
    with Index.open(index) as opened:
        reading, access = Reading(opened, Rules()), Access(Viewer("local", None), Rules())
        plain = [hit["id"] for hit in reading.search(access, "lentils", Asked())["hits"]]
        for _ in range(40):
            answer = reading.search(access, "lentils", Asked())
            use.asked(answer, "lentils", person=None, route="page")
            assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4]
    use.close()
    swapped = 0
    for session in recorded(index, 40, 0):
        asked, shown = session.question, [one.document for one in session.question.shown]
        assert asked.pair in (1, 2, 3)
        if asked.swapped:
            shown[asked.pair - 1 : asked.pair + 1] = shown[asked.pair - 1 : asked.pair + 1][::-1]
        assert shown == plain
        swapped += asked.swapped
    assert 5 < swapped < 35
    for file in index.glob("use.*"):
        file.unlink()
