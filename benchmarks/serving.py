"""What does docsim serve add to a query, and how much does it answer?

    python benchmarks/serving.py --data DIR [--rounds 400] [--quick [--note TEXT]]

The pages of the judged set mdn; some of their titles are the questions. In turns, so that both meet the same machine:
the library in this process, and ``docsim serve`` over one connection that stays open. Then answers a second from one
and from two workers with eight clients, each a process, without ever an error; resident memory of a worker beside that
of a process that has asked such questions through the library; and the seconds from starting the process to its being
ready. Writes benchmarks/results/serving.json; a quick run only with a note, of why it was quick, say.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import psutil
from machine import machine

from docsim import Document, Index

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "serving.json"
CLIENTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument(
        "--quick", action="store_true", help="few documents and questions; write nothing without --note"
    )
    parser.add_argument("--note", help="write a quick run, too, with this note")
    given = parser.parse_args()
    rounds = 40 if given.quick else given.rounds
    folder = given.data / "dev" / "mdn"
    documents = list(records(folder / "corpus.jsonl.gz"))[: 300 if given.quick else None]
    questions = [one["title"] for one in documents[:: max(len(documents) // 300, 1)] if one.get("title")]
    with TemporaryDirectory() as place:
        path = Path(place) / "index"
        with Index.create(path) as index:
            index.sync(Document(one["id"], one["text"], one.get("title") or "") for one in documents)
            found = measured(index, path, questions, rounds)
    found = {"documents": len(documents), "rounds": rounds, **found, "machine": machine({})}
    if given.note:
        found["note"] = given.note
    if not given.quick or given.note:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        yield from map(json.loads, lines)


def measured(index: Index, path: Path, questions: list[str], rounds: int) -> dict[str, Any]:
    ready = sorted(start(path) for _ in range(4))
    with serving(path, 1) as (port, process):
        latency = compared(index, port, questions, rounds)
        memory = {"worker": resident(process.pid), "library": library_memory(path, questions)}
        one = throughput(port, questions, rounds)
    with serving(path, 2) as (port, _):
        two = throughput(port, questions, rounds)
    return {
        "ready_seconds": {"median": statistics.median(ready), "best": ready[0]},
        "latency_ms": latency,
        "added_ms": latency["http"]["p50"] - latency["library"]["p50"],
        "memory_mb": memory,
        "memory_ratio": memory["worker"] / memory["library"],
        "answers_a_second": {"1 worker": one, "2 workers": two},
        "two_workers_to_one": two["per_second"] / one["per_second"],
    }


@contextmanager
def serving(path: Path, workers: int) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    code = "from docsim.cli import run; run()"
    command = [sys.executable, "-c", code, "serve", "--index", str(path), "--port", "0", "--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = next(one for one in process.stderr or () if "Serving" in one)
        port = int(re.findall(r":(\d+)/", line)[0])
        drain = multiprocessing.get_context("fork").Process(target=lambda: [None for _ in process.stderr or ()])
        drain.start()
        for _ in range(20 * workers):  # until every worker has answered
            asked(connection(port), "ready")
        yield port, process
    finally:
        process.terminate()
        process.wait()
        drain.terminate()


def start(path: Path) -> float:
    """Start a server and end it; return how many seconds it took to be ready."""
    started = time.perf_counter()
    code = "from docsim.cli import run; run()"
    command = [sys.executable, "-c", code, "serve", "--index", str(path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = next(one for one in process.stderr or () if "Serving" in one)
        opened = connection(int(re.findall(r":(\d+)/", line)[0]))
        opened.request("GET", "/readyz")
        assert opened.getresponse().read() == b"ok\n"
        seconds = time.perf_counter() - started
        process.terminate()
    return seconds


def connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def asked(opened: http.client.HTTPConnection, text: str) -> float:
    """Ask one question, and return how many milliseconds it took."""
    started = time.perf_counter()
    opened.request("GET", f"/v1/search?{urlencode({'text': text})}")
    answer = opened.getresponse()
    content = answer.read()
    took = (time.perf_counter() - started) * 1000
    assert answer.status == 200, content
    return took


def compared(index: Index, port: int, questions: list[str], rounds: int) -> dict[str, Any]:
    opened, times = connection(port), {"library": list[float](), "http": list[float]()}
    for number in range(rounds + 20):
        text = questions[number % len(questions)]
        started = time.perf_counter()
        index.search(text)
        library = (time.perf_counter() - started) * 1000
        over_http = asked(opened, text)
        if number >= 20:
            times["library"].append(library)
            times["http"].append(over_http)
    return {name: spread(values) for name, values in times.items()}


def spread(values: list[float]) -> dict[str, float]:
    return {"p50": statistics.median(values), "p99": statistics.quantiles(values, n=100)[98]}


def throughput(port: int, questions: list[str], rounds: int) -> dict[str, float]:
    started = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(CLIENTS) as pool:
        parts = pool.starmap(client, [(port, questions[i::CLIENTS], rounds // 4) for i in range(CLIENTS)])
    seconds = time.perf_counter() - started
    times = [one for part in parts for one in part]
    found = spread(times)
    return {"per_second": len(times) / seconds, **found, "p99_to_p50": found["p99"] / found["p50"]}


def client(port: int, questions: list[str], rounds: int) -> list[float]:
    opened = connection(port)
    return [asked(opened, questions[number % len(questions)]) for number in range(rounds)]


def resident(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def library_memory(path: Path, questions: list[str]) -> float:
    code = (
        "import sys, psutil; from docsim import Index; index = Index.open(sys.argv[1]);"
        "[index.search(one) for one in sys.argv[2:]]; print(psutil.Process().memory_info().rss / 1e6)"
    )
    command = [sys.executable, "-c", code, str(path), *questions[:100]]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout)


if __name__ == "__main__":
    main()
