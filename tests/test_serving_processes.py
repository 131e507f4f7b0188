"""The processes of a server: several workers, killed ones, new generations, and what is imported where."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner
from effort import examples
from served import PAGES, Served, made, serving, token

from docsim import Encoder, Index
from docsim.cli import main
from docsim.jobs.reindex import ReindexOptions, reindex
from docsim.maintenance import verify
from docsim.reindex.examination import GateOptions


def workers(served: Served) -> list[psutil.Process]:
    """Return the processes that answer."""
    children = psutil.Process(served.process.pid).children(recursive=True)
    return [one for one in children if one.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(one.cmdline())]


def searched(client: httpx.Client, text: str) -> str:
    answer = client.get("/v1/search", params={"text": text, "k": 1})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["hits"][0]["id"])


@pytest.mark.faults
@pytest.mark.properties
def test_workers_share_the_work_and_outlive_one_that_is_killed(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    secret = token(index, "writer", scope="write")
    with serving(index, "--workers", "2") as running:
        assert len(workers(running)) == 2
        for number, process in enumerate(workers(running)[: examples(1, 2)]):
            process.kill()
            deadline = time.monotonic() + 60
            while len(workers(running)) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            with running.client(secret) as client:  # connections to the killed one are gone
                assert searched(client, "signing keys") == "keys.md"
                line = json.dumps({"id": f"new/{number}", "text": f"Page {number} about gardens"}).encode()
                taken = client.post("/v1/documents", content=line).json()
                while client.get(f"/v1/jobs/{taken['id']}").json()["state"] != "done" and time.monotonic() < deadline:
                    time.sleep(0.1)
                assert client.get(f"/v1/documents/new/{number}").status_code == 200
        with running.client(secret) as client:
            shown = client.get("/metrics").text
        counted = [line for line in shown.splitlines() if 'route="/v1/search"' in line and "_count{" in line]
        assert float(counted[0].rsplit(" ", 1)[1]) >= 1
        assert running.end() == 0


@pytest.mark.faults
def test_what_was_taken_in_outlives_a_server_that_is_killed(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    secret = token(index, "writer", scope="write")
    places = []
    with serving(index) as running, running.client(secret) as client:
        for part in range(5):
            lines = "\n".join(json.dumps({"id": f"{part}/{i}", "text": f"Page {i}"}) for i in range(60)).encode()
            taken = client.post("/v1/documents", content=lines)
            assert taken.status_code == 202
            places.append(taken.headers["location"])
        running.process.kill()
    with serving(index) as running, running.client(secret) as client:
        deadline = time.monotonic() + 60
        states = [""]
        while set(states) != {"done"} and time.monotonic() < deadline:
            states = [client.get(place).json()["state"] for place in places]
            time.sleep(0.1)
        assert client.get("/v1/documents").json()["total"] == len(PAGES) + 300
    with Index.open(index) as opened:
        assert verify.problems(opened) == []


def test_a_new_generation_is_used_from_the_next_request_on(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    with serving(index) as running, running.client() as client, ThreadPoolExecutor(1) as pool:
        before = client.get("/v1/search", params={"text": "soup"}).json()
        with Index.open(index) as opened:
            wanted = ReindexOptions(gate=GateOptions(publish_anyway=True))  # too few documents to measure anything
            going = pool.submit(reindex, opened, Encoder.load(tiny_encoder_dir, dim=16), wanted)
            while not going.done():
                assert searched(client, "signing keys") == "keys.md"
            assert going.result().published
        after = client.get("/v1/search", params={"text": "soup"}).json()
    assert (before["generation"], after["generation"]) == (1, 2)
    assert after["encoder"] != before["encoder"]
    assert after["revision"] > before["revision"]


def imported(code: str) -> set[str]:
    """Return the top-level modules, and those of docsim, that a process has imported after some code."""
    shown = "import sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}; {shown}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_server_imports_no_training_and_a_query_no_server() -> None:
    server = imported("import docsim.serving.app, docsim.serving.running, docsim.serving.assistants")
    assert not {"tensorflow", "keras", "docsim.training", "mcp"} & server
    query = imported("from docsim.cli import main; main.get_command(None, 'query')")
    assert not {"fastapi", "starlette", "pydantic", "uvicorn", "jinja2", "docsim.serving"} & query


@pytest.mark.parametrize("command", [["serve"], ["mcp"], ["token", "list"]])
def test_an_index_that_is_not_there_is_told(tmp_path: Path, command: list[str]) -> None:
    told = CliRunner().invoke(main, [*command, "--index", str(tmp_path / "nothing")])
    assert told.exit_code in (1, 2)
    assert told.output.startswith("Error: ")
    assert "nothing" in told.output
    assert not (tmp_path / "nothing").exists()


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir, PAGES[:1])

    def docsim(*arguments: str, code: int = 0, group: str = "token") -> str:
        told = CliRunner().invoke(main, [group, *arguments, "--index", str(index)])
        assert told.exit_code == code, told.output
        return told.output

    secret = docsim("add", "anna", "--group", "hr", "--days", "1").strip()
    docsim("add", "ci", "--scope", "write")
    docsim("add", "guest", "--everybody")
    held = {one["name"]: one for one in json.loads(docsim("list", "--json"))}
    assert (held["anna"]["groups"], held["ci"]["groups"], held["guest"]["groups"]) == (["hr"], None, [])
    assert secret not in docsim("list")
    assert "which another token has" in docsim("add", "anna", code=2)
    assert "sees all documents" in docsim("add", "half", "--scope", "write", "--group", "hr", code=2)
    shown = docsim("why", "ci", "soup.md", group="access")
    assert shown == "shown: ci sees all documents; soup.md belongs to everyone, by the default\n"
    (tmp_path / "rules.yaml").write_text("soup.md: [legal]")
    ruled = ("soup.md", "--rules", str(tmp_path / "rules.yaml"))
    told = docsim("why", "anna", *ruled, code=1, group="access")
    assert told == "not shown: anna sees documents of everyone, hr; soup.md belongs to legal, by the rule for soup.md\n"
    by_proxy = json.loads(docsim("why", "bob", *ruled, "--group", "legal", "--json", group="access"))
    assert (by_proxy["shown"], by_proxy["groups"]) == (True, ["everyone", "legal"])
    assert "found no token 'bob'" in docsim("why", "bob", "soup.md", code=2, group="access")
    docsim("revoke", "anna")
    assert "found no token 'anna'" in docsim("revoke", "anna", code=2)


def test_an_address_that_is_taken_is_told(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir, PAGES[:1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = CliRunner().invoke(main, ["serve", "--index", str(index), "--port", str(port)])
    assert told.exit_code == 2
    assert f"Error: expected an address to listen at, got 127.0.0.1:{port}" in told.output


def test_workers_share_connections_that_stay_open(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    with serving(index, "--workers", "2") as running:
        deadline = time.monotonic() + 60
        while min(shared := shares(running, 4)) == 0 and time.monotonic() < deadline:  # one worker is not ready yet
            time.sleep(0.1)
        shared = shares(running, 12)
    assert sum(shared) == 12
    assert min(shared) >= 5


def shares(running: Served, connections: int) -> list[int]:
    """Return how many connections each worker has when so many stay open."""
    with contextlib.ExitStack() as clients:
        for _ in range(connections):
            assert clients.enter_context(running.client()).get("/livez").status_code == 200
        return [len(one.net_connections("tcp")) - 1 for one in workers(running)]  # one is where it listens


def test_a_worker_with_many_connections_takes_hundreds_more_a_second(tmp_path: Path, tiny_encoder_dir: Path) -> None:
    index = made(tmp_path / "index", tiny_encoder_dir)
    with serving(index, "--workers", "2") as running, contextlib.ExitStack() as clients:
        for _ in range(60):
            assert clients.enter_context(running.client()).get("/livez").status_code == 200
        began = time.monotonic()
        for _ in range(100):
            with running.client() as client:
                assert client.get("/livez").status_code == 200
        assert time.monotonic() - began < 10
