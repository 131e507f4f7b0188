"""Retrievers for other libraries: the real libraries, over an index and over a server that runs as users run it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from served import PAGES, made, serving, token

from docsim import Document, Index
from docsim.errors import DocsimError, StoreError, UsageError
from docsim.integrations import backend, haystack, langchain, llamaindex
from docsim.integrations.backend import Asked

LONG = "\n\n".join(f"# Part {number}\n\n{'The lentils boil slowly. ' * 20}" for number in range(5))
QUESTION = "how are lentils cooked"

Ask = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True)
class Place:
    """An index and a server of it that wants a token."""

    index: str
    server: str
    token: str


@pytest.fixture(scope="module")
def place(tiny_encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pages = [*PAGES, Document("long.md", LONG, "A long page", {"team": "kitchen"})]
    path = made(tmp_path_factory.mktemp("integrations") / "index", tiny_encoder_dir, pages)
    secret = token(path, "reader")
    with serving(path) as running:
        yield Place(str(path), running.address, secret)


@pytest.fixture(params=["index", "server"])
def address(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DOCSIM_TOKEN", place.token)
    return str(getattr(place, request.param))


def by_langchain(address: str, **options: Any) -> list[dict[str, Any]]:
    retriever = langchain.DocsimRetriever(address=address, **options)
    found = retriever.invoke(QUESTION)
    assert asyncio.run(retriever.ainvoke(QUESTION)) == found
    retriever.close()
    return [{"id": one.id, "text": one.page_content, "metadata": one.metadata} for one in found]


def by_llamaindex(address: str, **options: Any) -> list[dict[str, Any]]:
    retriever = llamaindex.DocsimRetriever(address, **options)
    found = retriever.retrieve(QUESTION)
    assert asyncio.run(retriever.aretrieve(QUESTION)) == found
    retriever.close()
    for one in found:
        own = one.node.metadata["docsim"]
        assert (one.node.start_char_idx, one.node.end_char_idx) == (own["start"], own["end"])
        assert (one.node.ref_doc_id, one.score) == (own["id"], own["score"])
        assert "docsim" not in one.node.get_content("llm")
    return [{"id": one.node.node_id, "text": one.node.text, "metadata": one.node.metadata} for one in found]


def by_haystack(address: str, **options: Any) -> list[dict[str, Any]]:
    from haystack import Pipeline

    options = {"top_k" if name == "k" else name: value for name, value in options.items()}
    component = haystack.DocsimRetriever(address, **options)
    pipeline = Pipeline()
    pipeline.add_component("docsim", component)
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["docsim.integrations.haystack"])
    asked = {"docsim": {"query": QUESTION}}
    found = pipeline.run(asked)["docsim"]["documents"]
    assert again.run(asked)["docsim"]["documents"] == found
    assert asyncio.run(component.run_async(QUESTION))["documents"] == found
    component.close()
    again.get_component("docsim").close()
    assert [one.score for one in found] == [one.meta["docsim"]["score"] for one in found]
    return [{"id": one.id, "text": one.content, "metadata": one.meta} for one in found]


LIBRARIES = pytest.mark.parametrize("ask", [by_langchain, by_llamaindex, by_haystack])


@LIBRARIES
def test_what_the_index_finds_comes_with_metadata_scores_and_offsets(ask: Ask, address: str, place: Place) -> None:
    found = ask(address, k=3)
    with Index.open(place.index) as index:
        hits = index.search(QUESTION, 3).hits
    assert len(hits) == 3
    for one, hit in zip(found, hits, strict=True):
        passage = hit.passages[0]
        own = one["metadata"].pop("docsim")
        assert one["metadata"] == hit.metadata
        assert (own["id"], own["title"], own["rank"]) == (hit.id, hit.title, hit.rank)
        assert own["score"] == pytest.approx(hit.score, abs=1e-6)
        assert own["similarity"] == pytest.approx(passage.similarity, abs=1e-6)
        assert (one["text"], own["start"], own["end"]) == (passage.text, passage.start, passage.end)
        assert own["heading"] == passage.heading
        assert one["id"] == f"{hit.id}#{passage.start}-{passage.end}"


@LIBRARIES
def test_several_passages_of_a_document_are_slices_of_its_text(ask: Ask, address: str) -> None:
    found = [one for one in ask(address, passages=3) if one["metadata"]["docsim"]["id"] == "long.md"]
    assert len(found) == 3
    assert len({one["id"] for one in found}) == 3
    for one in found:
        own = one["metadata"]["docsim"]
        assert LONG[own["start"] : own["end"]] == one["text"] != ""


@LIBRARIES
@pytest.mark.parametrize("where", ["team = 'sre'", {"team": "sre"}])
def test_a_filter_leaves_only_what_it_allows(ask: Ask, address: str, where: Any) -> None:
    assert [one["metadata"]["docsim"]["id"] for one in ask(address, where=where)] == ["keys.md"]


@LIBRARIES
def test_a_folder_and_a_mode_are_kept_to(ask: Ask, address: str) -> None:
    assert [one["metadata"]["docsim"]["id"] for one in ask(address, within="travel")] == ["travel/ticket.md"]
    lexical = ask(address, mode="lexical")
    assert {one["metadata"]["docsim"]["id"] for one in lexical} == {"soup.md", "stew.md", "long.md"}


@LIBRARIES
@pytest.mark.parametrize("option", ["k", "passages"])
def test_nothing_is_asked_for_with_a_wrong_number(ask: Ask, place: Place, option: str) -> None:
    with pytest.raises(UsageError, match=f"expected {option} to be 1.*, got 0"):
        ask(place.index, **{option: 0})


@LIBRARIES
def test_an_address_without_an_index_is_an_error(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="expected an index at") as raised:
        ask(str(tmp_path / "nothing"))
    errors = [raised.value, raised.value.__cause__]  # Haystack wraps what a component raises
    assert any(isinstance(one, StoreError) for one in errors)


def test_a_call_may_ask_for_another_number(address: str) -> None:
    with closing(langchain.DocsimRetriever(address=address, k=4)) as retriever:
        assert [len(retriever.invoke(QUESTION, k=1)), len(retriever.invoke(QUESTION))] == [1, 4]
    with closing(haystack.DocsimRetriever(address, top_k=4)) as component:
        assert len(component.run(QUESTION, top_k=1)["documents"]) == 1
        assert [one.meta["team"] for one in component.run(QUESTION, where="team = 'sre'")["documents"]] == ["sre"]


def test_a_token_is_sent_and_neither_shown_nor_saved(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from haystack.utils import Secret

    monkeypatch.delenv("DOCSIM_TOKEN", raising=False)
    with closing(langchain.DocsimRetriever(address=place.server, token=place.token)) as retriever:
        assert retriever.invoke(QUESTION)
        assert place.token not in repr(retriever) + str(retriever.model_dump()) + retriever.model_dump_json()
    with closing(llamaindex.DocsimRetriever(place.server, token=place.token)) as another:
        assert another.retrieve(QUESTION)
    monkeypatch.setenv("ANOTHER", place.token)
    with closing(haystack.DocsimRetriever(place.server, token=Secret.from_env_var("ANOTHER"))) as component:
        assert component.run(QUESTION)["documents"]
        assert place.token not in json.dumps(component.to_dict())
        assert component.to_dict()["init_parameters"]["token"]["env_vars"] == ["ANOTHER"]


def test_a_server_that_refuses_is_quoted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCSIM_TOKEN", raising=False)
    with backend_of(place.server) as found, pytest.raises(UsageError, match="expected a token that is known"):
        found.search(QUESTION, Asked())
    with backend_of(place.server, place.token) as found:
        with pytest.raises(UsageError, match="refused the question"):
            found.search("  ", Asked())
        with pytest.raises(UsageError, match="refused the question"):
            found.search(QUESTION, Asked(where="team ="))
        with pytest.raises(UsageError, match="refused the question"):
            found.search(QUESTION, Asked(k=100_000))


def test_what_is_no_docsim_server_is_an_error_in_a_sentence(place: Place) -> None:
    with (
        backend_of("http://127.0.0.1:9") as found,
        pytest.raises(DocsimError, match=r"expected a docsim server at http://127\.0\.0\.1:9, got no answer"),
    ):
        found.search(QUESTION, Asked())
    with backend_of(f"{place.server}/static") as found, pytest.raises(DocsimError, match="refused"):
        found.search(QUESTION, Asked())


def backend_of(address: str, secret: str | None = None) -> Any:
    return closing(backend.opened(address, secret))


def test_haystack_is_told_to_send_nothing() -> None:
    from haystack.telemetry import _telemetry

    assert os.environ["HAYSTACK_TELEMETRY_ENABLED"] == "False"
    assert _telemetry.telemetry is None
