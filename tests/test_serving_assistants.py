"""Assistants, as they really ask: the SDK's own client, over standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from served import PAGES, ROOT, Served, made, problem, serving, token

from docsim import Document
from docsim.cli import main

LONG = Document("long/report.md", "\n".join(f'Line "{i}" of the report.' for i in range(2000)), "Report")
SECRET = Document("hr/pay.md", "The secret pay.", "Secret pay", {"access": ["hr"]})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_dir: Path) -> Path:
    return made(tmp_path_factory.mktemp("assistants") / "index", tiny_encoder_dir, [*PAGES, LONG, SECRET])


@pytest.fixture(scope="module")
def secret(index: Path) -> str:
    return token(index, "assistant", groups=[])


@pytest.fixture(scope="module")
def served(index: Path, secret: str) -> Iterator[Served]:
    with serving(index) as running:
        yield running


def over_http(served: Served, secret: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {secret}"}
        opened = httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False)
        transport = streamable_http_client(f"{served.address}/mcp", http_client=opened)
        async with opened, Client(transport) as client:
            return await ask(client)

    return asyncio.run(run())


def text_of(result: Any) -> str:
    text = result.content[0].text
    assert isinstance(text, str)
    return text


def answered(result: Any) -> Any:
    assert not result.is_error, result.content
    assert json.loads(text_of(result)) == result.structured_content
    return result.structured_content


def test_an_assistant_finds_out_what_there_is_and_reads_it(served: Served, secret: str) -> None:
    async def ask(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "similar", "fetch", "explain", "status"}
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
        found = answered(await client.call_tool("search", {"query": "boil lentils", "k": 2}))
        assert found["results"][0]["id"] == "soup.md"
        assert found["results"][0]["url"] == f"{served.address}/d/soup.md?start=0&end=40#passage"
        assert found["next_offset"] == 2
        read = answered(await client.call_tool("fetch", {"id": "soup.md"}))
        assert (read["text"], read["next_start"]) == (PAGES[0].text, None)
        draft = answered(await client.call_tool("similar", {"text": PAGES[0].text}))
        assert draft["same"] == ["soup.md"]
        why = answered(await client.call_tool("explain", {"id": "keys.md", "query": "signing keys"}))
        assert why["b"]["id"] == "keys.md"
        assert answered(await client.call_tool("status", {}))["documents"] == len(PAGES) + 1

    over_http(served, secret, ask)


def test_an_answer_is_never_longer_than_asked_for_and_can_be_gone_on_with(served: Served, secret: str) -> None:
    async def ask(client: Client) -> None:
        text, start = "", 0
        while start is not None:
            result = await client.call_tool("fetch", {"id": LONG.id, "start": start, "max_characters": 12_000})
            assert len(text_of(result)) <= 12_000
            part = answered(result)
            text, start = text + part["text"], part["next_start"]
        assert text == LONG.text
        seen, offset = [], 0
        while offset is not None:
            asked = {"query": "report of the team", "k": 3, "offset": offset, "max_characters": 1000}
            result = await client.call_tool("search", asked)
            assert len(text_of(result)) <= 1000
            found = answered(result)
            seen += [one["id"] for one in found["results"]]
            offset = found["next_offset"]
        assert sorted(seen) == sorted(page.id for page in (*PAGES, LONG))
        result = await client.call_tool("explain", {"id": LONG.id, "query": "report " * 500, "max_characters": 1000})
        assert len(text_of(result)) <= 1000

    over_http(served, secret, ask)


def test_wrong_requests_are_told_in_one_sentence(served: Served, secret: str) -> None:
    async def ask(client: Client) -> list[str]:
        told = []
        for name, given in (
            ("search", {"query": "soup", "limit": 3}), ("search", {}), ("search", {"query": "a", "where": "team ="}),
            ("fetch", {"id": "nothing.md"}), ("similar", {}),
        ):  # fmt: skip
            result = await client.call_tool(name, given)
            assert result.is_error
            told.append(text_of(result))
        return told

    told = over_http(served, secret, ask)
    assert told[0] == "expected no parameter 'limit', which this request does not have"
    assert told[1] == "expected query, got none"
    assert told[3] == "expected the id of an indexed document, found no document 'nothing.md' in the index"
    assert told[4] == "expected either id or text, got neither"


def test_an_assistant_sees_no_more_than_its_token(served: Served, secret: str, index: Path) -> None:
    async def ask(client: Client) -> Any:
        found = answered(await client.call_tool("search", {"query": "secret pay", "k": 50}))
        fetched = await client.call_tool("fetch", {"id": SECRET.id})
        return [one["id"] for one in found["results"]], fetched.is_error

    assert SECRET.id not in over_http(served, secret, ask)[0]
    assert over_http(served, secret, ask)[1]
    ids, is_error = over_http(served, token(index, "hr", groups=["hr"]), ask)
    assert (SECRET.id in ids, is_error) == (True, False)
    with served.client() as stranger:
        problem(stranger.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), 401)


def test_an_assistant_can_start_docsim_itself(index: Path) -> None:
    async def run() -> Any:
        command = ["-c", "from docsim.cli import run; run()", "mcp", "--index", str(index)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        started = StdioServerParameters(command=sys.executable, args=command, env=environment)
        async with Client(started) as client:
            told = client.instructions
            found = answered(await client.call_tool("search", {"query": "secret pay", "k": 1}))
            return told, found["results"][0]["id"]

    told, id = asyncio.run(run())
    assert id == SECRET.id
    assert "team" in str(told)


def test_the_settings_for_an_assistant_are_printed(index: Path) -> None:
    printed = CliRunner().invoke(main, ["mcp", "--index", str(index), "--print-config"])
    server = json.loads(printed.stdout)["mcpServers"]["docsim"]
    assert (server["command"], server["args"]) == ("docsim", ["mcp", "--index", str(index)])
