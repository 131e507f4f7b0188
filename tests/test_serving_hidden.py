"""What somebody may not see is named, counted and hinted at nowhere: every route of the whole application is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import asking
from effort import examples
from httpx2 import Response
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import made, token
from starlette.testclient import TestClient

from docsim import Document
from docsim.serving.access import EVERYONE, Access, Viewer, read_rules

GROUPS = ("hr", "legal", "sre")
PATHS = ("hr", "hr/open", "legal")
COPIED = "The pump in the cellar is switched off before the filter is rinsed, and the valve is opened again after it."
WORDS = ("soup", "keys", "train")

groups = st.frozensets(st.sampled_from(GROUPS))
held = st.lists(
    st.tuples(
        st.sampled_from(("open", *PATHS, "hr/open/deep")),
        st.one_of(st.just({}), st.builds(lambda names: {"access": sorted(names)}, groups), st.just({"access": 3})),
        st.sampled_from(WORDS),
        st.booleans(),
    ),
    min_size=4, max_size=10,
)  # fmt: skip
rules = st.dictionaries(st.sampled_from(PATHS), st.lists(st.sampled_from((*GROUPS, EVERYONE)), max_size=2))


@dataclass
class World:
    """Documents, what somebody sees of them, and a server that they ask."""

    client: TestClient
    alone: TestClient
    seen: dict[str, Document]
    hidden: dict[str, Document]

    def told(self, answer: Response, *, asked: str = "") -> str:
        """Check that an answer says nothing of what is hidden but what was asked with, and return it."""
        assert answer.status_code < 500, answer.text
        said = answer.text + json.dumps(dict(answer.headers))
        said = said.replace(asked, "") if asked else said
        for document in self.hidden.values():
            assert document.metadata["code"] not in said, answer.request.url
        return answer.text

    def get(self, path: str, *, asked: str = "", **parameters: Any) -> Response:
        answer = self.client.get(
            path, params=parameters or None, headers={"Accept": "text/html"} if path[:3] != "/v1" else {}
        )
        self.told(answer, asked=asked)
        return answer

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = self.client.post(path, json=body)
        self.told(answer)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hidden")


def documents(chosen: list[tuple[str, dict[str, Any], str, bool]]) -> dict[str, Document]:
    """Documents that each say a code which no other says: in id, title, text and metadata."""
    found = {}
    for number, (path, metadata, word, copied) in enumerate(chosen):
        code = f"zq{2 * chr(97 + number)}ornvk"  # letters only, so that it could be offered as a correction
        text = f"{COPIED} The {word}. {code}" if copied else f"The {word} of {code} is boiled with some other words."
        id = f"{path}/{code}.md"
        found[id] = Document(id, text, f"{word} {code}", {**metadata, "code": code, "team": word})
    return found


@pytest.mark.properties
@given(chosen=held, ruled=rules, mine=groups, shown=st.booleans(), number=st.integers(0, 10**9))
@settings(
    max_examples=examples(3, 10), deadline=None, phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_nothing_hidden_is_named_counted_or_hinted_at(
    place: Path, tiny_encoder_dir: Path, chosen: list[Any], ruled: dict[str, list[str]], mine: frozenset[str],
    shown: bool, number: int,
) -> None:  # fmt: skip
    every = documents(chosen)
    (place / "rules.yaml").write_text(yaml.safe_dump(ruled))
    access = Access(Viewer("one", mine), read_rules(place / "rules.yaml", shown_by_default=shown))
    seen = {id: one for id, one in every.items() if access.sees(one)}
    index = made(place / f"all-{number}-{len(list(place.iterdir()))}", tiny_encoder_dir, list(every.values()))
    alone = made(index.with_name(f"{index.name}-alone"), tiny_encoder_dir, list(seen.values()))
    given_settings: dict[str, Any] = {"rules": place / "rules.yaml", "shown_by_default": shown}
    with (
        asking(index, token(index, "one", groups=sorted(mine)), **given_settings) as client,
        asking(alone, token(alone, "all")) as other,
    ):
        world = World(client, other, seen, {id: one for id, one in every.items() if id not in seen})
        check_searches(world)
        check_lists(world)
        check_analyses(world)
        check_pages(world)
        check_assistants(world)
        check_refusals(world)


def ids(found: Any) -> list[str]:
    return sorted(hit["id"] for hit in found["hits"])


def check_searches(world: World) -> None:
    everything: dict[str, Any] = {"text": "soup keys train pump filter", "k": 50, "explain": True}
    for one in [*world.hidden.values(), *world.seen.values()]:  # a slip in a word that only one document holds
        slip = str(one.metadata["code"]).replace("orn", "rom")
        world.get("/v1/search", text=f"{slip} soup", k=50)
        world.get("/", q=slip)
    assert ids(world.get("/v1/search", **everything).json()) == sorted(world.seen)
    for where in ("access exists", "team = 'soup'", "not access exists"):
        found = ids(world.get("/v1/search", **everything, where=where).json())
        assert set(found) <= set(world.seen)
    grouped = world.post("/v1/search", {**everything, "group_by": "team"})
    assert len(grouped["hits"]) == len({one.metadata["team"] for one in world.seen.values()})
    assert ids(world.post("/v1/similar", {"text": COPIED, "k": 50})) == sorted(world.seen)
    sent = world.client.post("/v1/similar/file", params={"name": "a.md", "k": 50}, content=COPIED.encode())
    assert ids(json.loads(world.told(sent))) == sorted(world.seen)
    asked = {"knowledge_id": world.get("/v1/status").json()["name"], "retrieval_setting": {"top_k": 50}}
    records = world.post("/retrieval", {**asked, "query": "soup keys train"})["records"]
    assert sorted(one["metadata"]["document_id"] for one in records) == sorted(world.seen)
    for id, one in world.seen.items():
        similar = world.get("/v1/similar", id=id, k=50, explain=True, asked="").json()
        assert ids(similar) == sorted(set(world.seen) - {id})
        terms = world.get("/v1/explain", text=one.text, b=id).json()["terms"]
        assert {term["documents"] for term in terms} <= {None}


def check_lists(world: World) -> None:
    listed = world.get("/v1/documents", limit=50).json()
    assert ([one["id"] for one in listed["documents"]], listed["total"]) == (sorted(world.seen), len(world.seen))
    for path in PATHS:
        below = world.get("/v1/documents", limit=50, **{"in": path}).json()
        assert below["total"] == len(below["documents"]) == sum(id.startswith(f"{path}/") for id in world.seen)
    suggested = [one["id"] for word in WORDS for one in world.get("/v1/suggest", text=word).json()["suggestions"]]
    assert sorted(suggested) == sorted(world.seen)
    begun = [one["id"] for one in world.get("/v1/suggest", text="soup zq").json()["suggestions"]]
    assert sorted(begun) == sorted(id for id, one in world.seen.items() if one.title.startswith("soup"))
    assert world.get("/v1/status").json()["documents"] == len(world.seen)


def check_analyses(world: World) -> None:
    """An analysis is the same as in an index that never had the hidden documents."""
    for path in ("/v1/duplicates", "/v1/duplicates?threshold=0.3", "/v1/map"):
        mine, theirs = world.get(path).json(), world.alone.get(path).json()
        assert mine | {"revision": 0} == theirs | {"revision": 0}, path


def check_pages(world: World) -> None:
    page = world.get("/", q="soup keys train").text
    assert page.count('class="hit"') == min(10, len(world.seen))
    alone = world.alone.get("/", params={"q": "soup keys train"}, headers={"Accept": "text/html"}).text
    assert facets(page) == facets(alone)
    for path in ("/duplicates", "/map"):
        world.get(path)
    for id in world.seen:
        for path in (f"/d/{id}", f"/more/{id}", f"/why/{id}?q=soup"):
            world.get(path)
    world.told(world.client.post("/have", data={"text": COPIED}))


def facets(page: str) -> str:
    return page.partition('<nav class="facets"')[2].partition("</nav>")[0]


def check_assistants(world: World) -> None:
    def call(name: str, **arguments: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        accepted = {"Accept": "application/json, text/event-stream"}
        answer = world.client.post("/mcp", json=body, headers=accepted)
        return json.loads(world.told(answer, asked=arguments.get("id", "")))["result"]

    found = call("search", query="soup keys train pump", k=50, max_characters=100_000)["structuredContent"]
    assert sorted(one["id"] for one in found["results"]) == sorted(world.seen)
    assert call("status")["structuredContent"]["documents"] == len(world.seen)
    call("similar", text=COPIED)
    for id in list(world.hidden)[:1]:
        missing = id.replace("vk.md", "vx.md")
        told = [call(name, id=one, **more)["content"][0]["text"].replace(one, "ID") for one in (id, missing)
                for name, more in (("fetch", {}), ("similar", {}), ("explain", {"query": "soup"}))]  # fmt: skip
        assert len(set(told)) == 1


def check_refusals(world: World) -> None:
    """What is hidden is told like what is not there, and what is only for those who see everything not at all."""
    for id in list(world.hidden)[:1]:
        missing = id.replace("vk.md", "vx.md")
        for path in (
            "/v1/documents/{}", "/v1/similar?id={}", "/v1/explain?text=soup&b={}", "/v1/explain?a={}&b={}", "/d/{}",
            "/more/{}", "/why/{}?q=soup",
        ):  # fmt: skip
            answers = [world.client.get(path.replace("{}", one)) for one in (id, missing)]
            told = [one.text.replace(asked, "ID") for one, asked in zip(answers, (id, missing), strict=True)]
            assert [one.status_code for one in answers] == [404, 404], path
            assert told[0].partition("request_id")[0] == told[1].partition("request_id")[0], path
        said = {"text": "soup", "kind": "good", "id": id}
        assert world.client.post("/v1/feedback", json=said).status_code == 404
        for seen in list(world.seen)[:1]:
            asked = {"id": [seen], "unlike": [id]}
            assert world.client.post("/v1/similar", json=asked).status_code == 404
    for path in ("/v1/generations", "/v1/failures", "/v1/jobs", "/metrics", "/admin", "/admin/generations"):
        assert world.client.get(path).status_code == 403, path
    for path in ("/v1/publish", "/v1/rollback", "/v1/reindex", "/v1/adapt"):
        body = {"generation": 1} if path == "/v1/publish" else {}
        assert world.client.post(path, json=body).status_code == 403, path
