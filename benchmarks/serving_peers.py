"""How many answers a second does docsim serve give beside the servers of its peers?

    python benchmarks/serving_peers.py --data DIR --teacher MODEL [--cache DIR] [--rounds 400] [--documents N]

All serve the 46,888 pages of scale/win32 from one process each, and are asked by the same eight clients, each a process
with one connection, for ten hits to the same questions, in turns: docsim with its fast encoder, hybrid; txtai's API,
hybrid, with a static model of about the same size (model2vec, distilled from the teacher); and Chroma's server, which
searches embeddings alone and is sent those of the questions, so that their encoding is not counted. All answer with
texts. The median of three turns counts. Writes benchmarks/results/serving_peers.json, unless --documents is given.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import speed_environments
from machine import commit, machine
from serving import CLIENTS, connection, made, records, serving, spread
from speed_environments import OFFLINE, Peers

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "serving_peers.json"
JOBS = HERE / "contender_jobs.py"
TURNS = 3
ENVIRONMENTS = ("distill", "txtai-api", "chroma")
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
ENCODE = (
    "import json, sys; from model2vec import StaticModel; texts = json.load(sys.stdin);"
    "print(json.dumps(StaticModel.from_pretrained(sys.argv[1]).encode(texts, max_length=None).tolist()))"
)

Request = tuple[str, str, bytes | None]
"""Method, path and body."""


def main() -> None:
    given = options()
    given.cache.mkdir(parents=True, exist_ok=True)
    peers = speed_environments.prepare(given.cache, given.teacher, speed_environments.TORCH, ENVIRONMENTS)
    documents = list(records(given.data / "scale" / "win32" / "corpus.jsonl.gz"))[: given.documents]
    questions = [one["title"] for one in documents[:: max(len(documents) // 300, 1)] if one.get("title")]
    with tempfile.TemporaryDirectory(dir=given.cache) as place:
        found = compared(Path(place), peers, documents, questions, given.rounds)
    told = {
        "documents": len(documents),
        "clients": CLIENTS,
        "servers": found,
        "docsim_to_txtai": found["docsim"]["per_second"] / found["txtai hybrid"]["per_second"],
        "docsim_2_workers_to_txtai": found["docsim, 2 workers"]["per_second"] / found["txtai hybrid"]["per_second"],
        "machine": machine(peers.measured()) | {"commit": commit()},
    }
    print(json.dumps(told, indent=2))
    if given.documents is None:
        RESULTS.write_text(json.dumps(told, indent=2) + "\n")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds scale/")
    parser.add_argument("--teacher", type=Path, required=True, help="all-MiniLM-L6-v2 in the Hugging Face layout")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache", help="where environments are kept")
    parser.add_argument("--rounds", type=int, default=400, help="questions of each client [%(default)s]")
    parser.add_argument("--documents", type=int, help="the first so many only, to see that it works")
    return parser.parse_args()


def compared(
    place: Path, peers: Peers, documents: list[dict[str, Any]], questions: list[str], rounds: int
) -> dict[str, Any]:
    corpus = place / "corpus.jsonl.gz"
    with gzip.open(corpus, "wt") as file:
        file.writelines(f"{json.dumps(one)}\n" for one in documents)
    made(place / "docsim", documents, "fast").close()
    for environment, kind in (("txtai-api", "txtai-hybrid"), ("chroma", "chroma")):
        words = (peers.interpreters[environment], JOBS, "index", kind, peers.static, place / kind, corpus)
        speed_environments.call(list(map(str, words)), os.environ | OFFLINE)
    measures: dict[str, Callable[[], dict[str, float]]] = {
        "docsim": lambda: of_docsim(place / "docsim", 1, questions, rounds),
        "docsim, 2 workers": lambda: of_docsim(place / "docsim", 2, questions, rounds),
        "txtai hybrid": lambda: of_txtai(place / "txtai-hybrid", peers, questions, rounds),
        "Chroma, embeddings only": lambda: of_chroma(place / "chroma", peers, questions, rounds),
    }
    turns = [{name: measure() for name, measure in measures.items()} for _ in range(TURNS)]
    return {
        name: {field: statistics.median(turn[name][field] for turn in turns) for field in turns[0][name]}
        for name in measures
    }


def of_docsim(index: Path, workers: int, questions: list[str], rounds: int) -> dict[str, float]:
    asked = [("GET", f"/v1/search?{urlencode({'text': one})}", None) for one in questions]
    with serving(index, workers) as (port, process):
        return throughput(process, port, asked, rounds)


def of_txtai(index: Path, peers: Peers, questions: list[str], rounds: int) -> dict[str, float]:
    settings = index.with_name("txtai.yml")
    settings.write_text(f"path: {index}\nembeddings:\n  path: {peers.static}\n")
    port = free_port()
    command = [peers.interpreters["txtai-api"], "-m", "uvicorn", "txtai.api:app", "--port", port]
    with running(command, {"CONFIG": str(settings)}, int(port), "/count") as process:
        asked = [("GET", f"/search?{urlencode({'query': one, 'limit': 10})}", None) for one in questions]
        return throughput(process, int(port), asked, rounds)


def of_chroma(index: Path, peers: Peers, questions: list[str], rounds: int) -> dict[str, float]:
    python, port = peers.interpreters["chroma"], free_port()
    encoded = subprocess.run(
        [python, "-c", ENCODE, peers.static], input=json.dumps(questions), capture_output=True, text=True, check=True
    )
    command = [python.with_name("chroma"), "run", "--path", index, "--port", port]
    with running(command, {}, int(port), "/api/v2/heartbeat") as process:
        opened = connection(int(port))
        opened.request("GET", f"{COLLECTIONS}/documents")
        path = f"{COLLECTIONS}/{json.loads(opened.getresponse().read())['id']}/query"
        bodies = [{"query_embeddings": [row], "n_results": 10} for row in json.loads(encoded.stdout)]
        return throughput(process, int(port), [("POST", path, json.dumps(body).encode()) for body in bodies], rounds)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@contextmanager
def running(command: list[Any], variables: dict[str, str], port: int, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block, which begins when it answers."""
    environment = os.environ | OFFLINE | variables
    with subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while not answers(port, ready):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not answer")
                time.sleep(0.5)
            yield process
        finally:
            process.terminate()


def answers(port: int, path: str) -> bool:
    try:
        opened = connection(port)
        opened.request("GET", path)
        return opened.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def throughput(server: subprocess.Popen[Any], port: int, requests: Sequence[Request], rounds: int) -> dict[str, float]:
    """Return answers a second with eight clients at once, and the milliseconds and processor time that one takes."""
    with multiprocessing.get_context("fork").Pool(CLIENTS) as pool:
        each = [requests[number::CLIENTS] for number in range(CLIENTS)]
        pool.starmap(client, [(port, some, 20) for some in each])
        before, started = processor_seconds(server), time.perf_counter()
        times = [one for part in pool.starmap(client, [(port, some, rounds) for some in each]) for one in part]
        seconds, spent = time.perf_counter() - started, processor_seconds(server) - before
    measured = {f"{name}_ms": value for name, value in spread(times).items()}
    return {"per_second": len(times) / seconds, **measured, "processor_ms": spent / len(times) * 1000}


def processor_seconds(server: subprocess.Popen[Any]) -> float:
    """Return the time of processors that a server and its workers have taken."""
    main = psutil.Process(server.pid)
    return float(sum(sum(one.cpu_times()[:2]) for one in (main, *main.children(recursive=True))))


def client(port: int, requests: Sequence[Request], rounds: int) -> list[float]:
    opened, times = connection(port), []
    for number in range(rounds):
        method, path, body = requests[number % len(requests)]
        started = time.perf_counter()
        opened.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = opened.getresponse()
        content = answer.read()
        times.append((time.perf_counter() - started) * 1000)
        if answer.status != 200:
            sys.exit(f"{path[:60]} answered with {answer.status}: {content[:300]!r}")
    return times


if __name__ == "__main__":
    main()
