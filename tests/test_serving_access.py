"""Nobody sees what is not theirs: over every route, with documents, groups and rules of all kinds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Served, made, problem, serving, token

from docsim import Document, Index
from docsim.errors import UsageError
from docsim.serving.access import EVERYONE, Access, Rules, Viewer, read_rules
from docsim.serving.rate_limit import Rate
from docsim.serving.reading import Asked, Reading

GROUPS = ("hr", "legal", "sre")
WORDS = ("soup", "keys", "train", "report", "garden")
PATHS = ("hr", "hr/open", "hr/open/drafts", "legal", "hr-old")

groups = st.frozensets(st.sampled_from(GROUPS))
metadata = st.one_of(
    st.just({}),
    st.builds(lambda names: {"access": sorted(names)}, groups),
    st.builds(lambda name: {"access": name}, st.sampled_from((*GROUPS, EVERYONE, "hr, legal", ""))),
    st.sampled_from(
        [{"access": None}, {"access": 3}, {"access": True}, {"access": {"hr": 1}}, {"access": [None, 1, ["hr"]]}]
    ),
)
documents = st.lists(
    st.builds(
        lambda path, number, held, word: (f"{path}/{number}.md", held, word),
        st.sampled_from(("", *PATHS, "hr/open/drafts/deep")), st.integers(0, 9), metadata, st.sampled_from(WORDS),
    ),
    min_size=1, max_size=12, unique_by=lambda one: one[0],
)  # fmt: skip
rules = st.builds(
    lambda held, shown: Rules(tuple(held.items()), shown),
    st.dictionaries(st.sampled_from(PATHS), st.frozensets(st.sampled_from((*GROUPS, EVERYONE)))), st.booleans(),
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Iterator[Index]:
    with Index.open(made(tmp_path_factory.mktemp("access") / "index", tiny_encoder_dir, [])) as index:
        yield index


def text(id: str, word: str) -> str:
    """A text that says which document it belongs to."""
    return f"The {word} of {id.replace('/', ' ').replace('.', ' ')}"


@pytest.mark.properties
@given(held=documents, ruled=rules, mine=groups)
@settings(max_examples=examples(10, 60), deadline=None)
def test_no_surface_names_or_counts_what_somebody_may_not_see(
    shared: Index, held: list[tuple[str, dict[str, Any], str]], ruled: Rules, mine: frozenset[str]
) -> None:
    shared.sync([Document(id.lstrip("/"), text(id, word), word, kept) for id, kept, word in held], prune=True)
    access, reading = Access(Viewer("somebody", mine), ruled), Reading(shared, ruled)
    with shared.engine.snapshot() as snapshot:
        everything = {one.document.id: one.document for one in snapshot.scan()}
    seen = {id for id, one in everything.items() if access.sees(one)}
    hidden = set(everything) - seen
    found = reading.search(access, "soup keys train report garden", Asked(k=50))
    assert {hit["id"] for hit in found["hits"]} == seen
    listed = reading.documents(access, after="", limit=50)
    assert ({one["id"] for one in listed["documents"]}, listed["total"]) == (seen, len(seen))
    assert reading.status(access)["documents"] == len(seen)
    suggested = [one["id"] for word in WORDS for one in reading.suggest(access, word, 50)["suggestions"]]
    assert sorted(suggested) == sorted(seen)
    completed = {one["text"]: one["documents"] for word in WORDS for one in reading.suggest(access, word, 50)["words"]}
    known = [word for id in seen for word in WORDS if word in everything[id].text.split()]
    assert completed == {word: known.count(word) for word in known}
    for id in seen:
        similar = reading.similar(access, [id], [], Asked(k=50, explain=True))
        assert {hit["id"] for hit in similar["hits"]} == seen - {id}
        explained = reading.explain(access, Document("query", everything[id].text), id)
        assert {term["documents"] for term in explained["terms"]} <= {None}
    for id in hidden:
        asks: list[Callable[[], object]] = [
            partial(reading.document, access, id),
            partial(reading.similar, access, [id], [], Asked()),
            partial(reading.explain, access, id, id),
            partial(reading.explain, access, Document("query", "soup"), id),
        ]
        for ask in asks:
            with pytest.raises(UsageError) as raised:
                ask()
            assert str(raised.value) == f"expected the id of an indexed document, found no document {id!r} in the index"
        if seen:
            with pytest.raises(UsageError, match="found no document"):
                reading.similar(access, [min(seen)], [id], Asked())


def test_the_longest_path_decides_and_metadata_come_first() -> None:
    ruled = Rules((("hr", frozenset({"hr"})), ("hr/open", frozenset({EVERYONE}))))
    assert ruled.groups("hr/pay.md", {}) == {"hr"}
    assert ruled.groups("hr/open/leave.md", {}) == {EVERYONE}
    assert ruled.groups("hr-old/pay.md", {}) == {EVERYONE}
    assert ruled.groups("hr/open/leave.md", {"access": ["legal"]}) == {"legal"}
    assert ruled.groups("x.md", {"access": []}) == frozenset()
    assert Rules(shown_by_default=False).groups("x.md", {}) == frozenset()


@pytest.mark.parametrize("content", ["- hr", "hr: {a: b}", "'': [hr]", "hr: [1]", "hr: [hr]\nhr/: [hr]", "hr: ["])
def test_rules_that_cannot_be_read_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "rules.yaml").write_text(content)
    with pytest.raises(UsageError, match="expected"):
        read_rules(tmp_path / "rules.yaml", shown_by_default=True)


def test_a_bucket_gives_a_minutes_worth_and_then_a_steady_trickle() -> None:
    rate = Rate(60)
    assert [rate.take("a") for _ in range(60)] == [0.0] * 60
    assert 0 < rate.take("a") <= 1
    assert rate.take("b") == 0
    assert Rate(0).take("a") == 0


# A running server

SECRETS = (
    Document("hr/pay.md", "The secret pay of the board is a train of gold.", "Secret pay", {"access": ["hr"]}),
    Document("legal/case.md", "The secret case about the report.", "Secret case", {"access": "legal"}),
    Document("ruled/plan.md", "The secret plan of the garden.", "Secret plan"),
    Document("open.md", "The open page about soup and the report.", "Open page"),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("guarded") / "index", tiny_encoder_dir, SECRETS)


@pytest.fixture(scope="module")
def tokens(index: Path) -> dict[str, str]:
    held = {"hr": token(index, "hr", groups=["hr"]), "nobody": token(index, "nobody", groups=[])}
    return held | {"all": token(index, "all"), "writer": token(index, "writer", scope="write")}


@pytest.fixture(scope="module")
def served(index: Path, tokens: dict[str, str]) -> Iterator[Served]:
    (index.parent / "rules.yaml").write_text("ruled: [sre]\n")
    proxy = ("--trust-proxy", "127.0.0.1", "--rate", "100000", "--name", "docs.example.org")
    with serving(index, "--rules", str(index.parent / "rules.yaml"), *proxy) as running:
        yield running


def hits(client: httpx.Client, **asked: Any) -> set[str]:
    answer = client.get("/v1/search", params={"text": "secret report", "k": 50, **asked})
    assert answer.status_code == 200, answer.text
    return {hit["id"] for hit in answer.json()["hits"]}


def test_each_token_sees_its_own(served: Served, tokens: dict[str, str]) -> None:
    seen = {}
    for name, secret in tokens.items():
        with served.client(secret) as client:
            seen[name] = hits(client)
    everything = {one.id for one in SECRETS}
    expected = {"hr": {"open.md", "hr/pay.md"}, "nobody": {"open.md"}, "all": everything, "writer": everything}
    assert seen == expected


def test_nothing_hidden_is_hinted_at_by_any_route(served: Served, tokens: dict[str, str]) -> None:
    with served.client(tokens["nobody"]) as client:
        for path in (
            "/v1/search?text=secret+pay&k=50&explain=true", "/v1/similar?id=open.md&k=50", "/v1/documents",
            "/v1/suggest?text=secret", "/v1/similar?text=secret+pay", "/v1/documents?in=hr", "/v1/status",
            "/v1/explain?text=report&b=open.md", "/v1/search?text=secret&group_by=access&k=50",
            "/v1/search?text=secret&where=access+exists",
        ):  # fmt: skip
            answer = client.get(path)
            assert answer.status_code == 200, path
            shown = json.dumps({key: value for key, value in answer.json().items() if key != "query"})
            assert not any(word in shown for word in ("hr/", "legal", "ruled", "Secret", "gold")), path
        for path in ("/v1/failures", "/v1/generations", "/metrics"):
            problem(client.get(path), 403)


def test_what_is_hidden_is_told_like_what_is_not_there_and_as_late(served: Served, tokens: dict[str, str]) -> None:
    with served.client(tokens["nobody"]) as client:
        hidden, missing = client.get("/v1/documents/hr/pay.md"), client.get("/v1/documents/hr/paz.md")
        assert problem(hidden, 404).replace("pay", "paz") == problem(missing, 404)
        assert min(one.elapsed.total_seconds() for one in (hidden, missing)) >= 0.05


def test_only_a_token_may_write_and_it_has_to_be_of_that_scope(served: Served, tokens: dict[str, str]) -> None:
    with served.client(tokens["all"]) as reader:
        told = problem(reader.put("/v1/documents/x.md", json={"text": "x"}), 403)
        assert told == "expected a token of scope write or admin, got one of scope read"
        problem(reader.delete("/v1/documents/open.md"), 403)
        problem(reader.post("/v1/documents", content=b'{"id": "x", "text": "x"}'), 403)


def test_without_a_token_nothing_is_answered(served: Served) -> None:
    with served.client() as stranger:
        for path in ("/v1/search?text=a", "/v1/documents", "/v1/status", "/metrics"):
            answer = stranger.get(path)
            assert answer.headers["www-authenticate"] == "Bearer"
            problem(answer, 401)
    with served.client("docsim_wrong") as stranger:
        problem(stranger.get("/v1/status"), 401)


def test_a_revoked_token_ends_at_once(index: Path, served: Served) -> None:
    from docsim.serving.server_database import ServerDatabase
    from docsim.serving.tokens import Tokens

    with served.client(token(index, "short")) as client:
        assert client.get("/v1/status").status_code == 200
        Tokens(ServerDatabase(index)).revoke("short")
        problem(client.get("/v1/status"), 401)
    expired = Tokens(ServerDatabase(index)).add("old", days=1e-9)
    with served.client(expired) as client:
        problem(client.get("/v1/status"), 401)


def test_a_trusted_proxy_names_user_and_groups(served: Served) -> None:
    with served.client() as client:
        client.headers.update({"X-Forwarded-User": "anna", "X-Forwarded-Groups": "legal, sre"})
        assert hits(client) == {"open.md", "legal/case.md", "ruled/plan.md"}
        problem(client.put("/v1/documents/x.md", json={"text": "x"}), 403)


def test_requests_for_other_hosts_are_refused(served: Served, tokens: dict[str, str]) -> None:
    with served.client(tokens["all"]) as client:
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "evil.example:80"):
            problem(client.get("/v1/status", headers={"Host": host}), 421)
        for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "10.1.2.3", "docs.example.org"):
            assert client.get("/v1/status", headers={"Host": host}).status_code == 200


def test_pages_of_other_sites_cannot_make_a_browser_write(served: Served, tokens: dict[str, str]) -> None:
    with served.client(tokens["writer"]) as client:
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            problem(client.put("/v1/documents/x.md", json={"text": "x"}, headers=headers), 403)
        answer = client.get("/v1/status", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_a_token_that_writes_sees_everything(index: Path) -> None:
    with pytest.raises(UsageError, match="so such a token sees all documents"):
        token(index, "half", scope="write", groups=["hr"])


def test_tokens_are_kept_as_hashes_in_a_file_of_the_owner(index: Path, tokens: dict[str, str]) -> None:
    files = list(index.glob("serving.db*"))
    assert files
    assert all(secret.encode() not in file.read_bytes() for file in files for secret in tokens.values())
    assert (index / "serving.db").stat().st_mode & 0o077 == 0


def test_others_reach_it_only_with_authorisation(tmp_path: Path, tiny_encoder_dir: Path, index: Path) -> None:
    plain = made(tmp_path / "index", tiny_encoder_dir, SECRETS)
    with (
        pytest.raises(AssertionError, match="expected a token, a trusted proxy or permission"),
        serving(plain, "--host", "0.0.0.0"),
    ):
        pass
    with serving(plain, "--host", "0.0.0.0", "--open") as running, running.client() as anybody:
        assert hits(anybody) == {"open.md", "ruled/plan.md"}
    with serving(plain) as running, running.client() as local:
        assert hits(local) == {one.id for one in SECRETS}
        problem(local.put("/v1/documents/x.md", json={"text": "x"}), 403)
        problem(local.get("/v1/status", headers={"X-Forwarded-For": "203.0.113.9"}), 401)
        token(plain, "first")
        problem(local.get("/v1/status"), 401)


def test_a_rate_is_kept_for_each_token(index: Path, tokens: dict[str, str]) -> None:
    with serving(index, "--rate", "5") as running:
        with running.client(tokens["all"]) as client:
            answers = [client.get("/v1/status") for _ in range(8)]
            assert answers[0].status_code == 200
            told = problem(answers[-1], 429)
            assert told == "expected at most 5 requests a minute, got more; ask again later"
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 13
        with running.client(tokens["hr"]) as client:
            assert client.get("/v1/status").status_code == 200
