"""What does docsim serve add to a query, how much does it answer, and does it go on while everything changes?

    python benchmarks/serving.py --data DIR [--encoder fast] [--rounds 400] [--requests 10000] [--kept DIR]
                                 [--quick] [--note TEXT]

The 46,888 pages of scale/win32, in an index of the fast encoder, which docsim chooses for so much text; some of their
titles are the questions. In turns, so that all meet the same machine: the library in this process; the same with where
passages hold what was asked for, which an answer over HTTP also says; and ``docsim serve`` over one connection that
stays open. Then answers a second from one and from two workers with eight clients, each a process; resident memory of a
worker beside that of a process that has asked such questions through the library; and the seconds from starting the
process to its being ready.

Then the eight clients ask two workers that serve the first 1,000 of the pages, while other processes bring changed
documents into that index, adapt its encoder, build a generation with half of the components, publish it and roll it
back: at least so many requests, and until each of these was done. Counted are answers that fail, answers whose encoder
is not that of their generation, and how much memory a worker takes, from before the first request to after the last.
Last, 1,000 of the pages lie in a folder that is watched, and the seconds from saving a changed one to finding it are
taken, ten times.

Writes benchmarks/results/serving.json; a quick run, of 300 pages, only with a note that says why it was quick.
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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import psutil
from machine import machine

from docsim import Document, Encoder, Index, highlighted
from docsim.encoding import shipped

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "serving.json"
CLIENTS = 8
CHANGES = ("index", "adapt", "reindex", "rollback")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", choices=shipped.NAMES, default=shipped.FAST)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--requests", type=int, default=10_000, help="asked while everything changes")
    parser.add_argument("--kept", type=Path, help="folder of an index that is used again, or made there")
    parser.add_argument(
        "--quick", action="store_true", help="few documents and questions; write nothing without --note"
    )
    parser.add_argument("--note", help="what to know of this run; a quick one is written only with it")
    given = parser.parse_args()
    rounds, requests = (40, 200) if given.quick else (given.rounds, given.requests)
    documents = list(records(given.data / "scale" / "win32" / "corpus.jsonl.gz"))[: 300 if given.quick else None]
    questions = [one["title"] for one in documents[:: max(len(documents) // 300, 1)] if one.get("title")]
    with TemporaryDirectory() as place:
        path, small = (given.kept or Path(place)) / "index", Path(place) / "small"
        with made(path, documents, given.encoder) as index:
            found = measured(index, path, questions, rounds)
        made(small, documents[:1000], given.encoder).close()
        found["while everything changes"] = changing(small, Path(place), questions, requests)
        found["found_after_saving_seconds"] = freshness(Path(place), documents[:1000])
    found = {"documents": len(documents), "encoder": given.encoder, "rounds": rounds, **found, "machine": machine({})}
    if given.note:
        found["note"] = given.note
    if not given.quick or given.note:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        yield from map(json.loads, lines)


def made(path: Path, documents: list[dict[str, Any]], encoder: str) -> Index:
    """Return an index of documents, which is made unless it is there."""
    index = Index.create(path, encoder=Encoder.load(shipped.directory(encoder)))
    if not index.counts().documents:
        index.sync(Document(one["id"], one["text"], one.get("title") or "") for one in documents)
    return index


def measured(index: Index, path: Path, questions: list[str], rounds: int) -> dict[str, Any]:
    ready = sorted(start(path) for _ in range(4))
    with serving(path, 1) as (port, process):
        latency = compared(index, port, questions, rounds)
        memory = {"worker": resident(process.pid), "library": library_memory(path, questions)}
        throughput(port, questions, rounds)  # so that workers hold what they hold after some time
        one = throughput(port, questions, 2 * rounds)
    with serving(path, 2) as (port, _):
        throughput(port, questions, rounds)
        two = throughput(port, questions, 2 * rounds)
    return {
        "ready_seconds": {"median": statistics.median(ready), "best": ready[0]},
        "latency_ms": latency,
        "added_ms": latency["http"]["p50"] - latency["library"]["p50"],
        "added_to_the_same_answer_ms": latency["http"]["p50"] - latency["the same answer"]["p50"],
        "memory_mb": memory,
        "memory_ratio": memory["worker"] / memory["library"],
        "answers_a_second": {"1 worker": one, "2 workers": two},
        "two_workers_to_one": two["per_second"] / one["per_second"],
    }


def freshness(place: Path, documents: list[dict[str, Any]]) -> dict[str, float]:
    """Return how many seconds pass from saving a page of a watched folder to finding it."""
    folder, index = place / "pages", place / "watched"
    folder.mkdir()
    for number, one in enumerate(documents):
        (folder / f"{number}.md").write_text(f"# {one.get('title') or number}\n\n{one['text']}")
    command = [sys.executable, "-c", "from docsim.cli import run; run()", "index", str(folder), "--index", str(index)]
    subprocess.run([*command, "--quiet"], check=True)
    seconds = []
    with serving(index, 1, "--watch", str(folder)) as (port, _):
        opened = connection(port)
        for number in range(11):
            word = "".join(chr(97 + (number * 7 + place * 5) % 26) for place in range(9))
            (folder / f"{number * 50}.md").write_text(f"# A new page\n\nIt is about {word} and {word}.")
            started = time.perf_counter()
            while not found_first(opened, word, f"{number * 50}.md"):
                time.sleep(0.02)
            seconds.append(time.perf_counter() - started)
    return {"median": statistics.median(seconds[1:]), "most": max(seconds[1:])}  # the first waits for a full scan


def found_first(opened: http.client.HTTPConnection, text: str, name: str) -> bool:
    opened.request("GET", f"/v1/search?{urlencode({'text': text})}")
    hits = json.loads(opened.getresponse().read())["hits"]
    return bool(hits) and hits[0]["id"].endswith(name) and text in json.dumps(hits[0])


@contextmanager
def serving(path: Path, workers: int, *options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    code = "from docsim.cli import run; run()"
    command = [sys.executable, "-c", code, "serve", "--index", str(path), "--port", "0", "--workers", str(workers)]
    command += options
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
    opened, times = connection(port), {name: list[float]() for name in ("library", "the same answer", "http")}
    for number in range(rounds + 20):
        text = questions[number % len(questions)]
        started = time.perf_counter()
        found = index.search(text)
        library = (time.perf_counter() - started) * 1000
        highlighted(found)
        same = (time.perf_counter() - started) * 1000
        over_http = asked(opened, text)
        if number >= 20:
            times["library"].append(library)
            times["the same answer"].append(same)
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


def changing(path: Path, place: Path, questions: list[str], requests: int) -> dict[str, Any]:
    """Ask two workers while other processes change the index; return what went wrong, and what was done meanwhile."""
    with serving(path, 2) as (port, process):
        throughput(port, questions, 40)  # so that a worker holds what it holds after some time
        memory = [workers_memory(process.pid)]
        done: dict[str, int] = {}
        ending = threading.Event()
        changes = threading.Thread(target=change, args=(path, place, done, ending))
        answers: list[dict[str, Any]] = []
        with multiprocessing.get_context("fork").Pool(
            CLIENTS
        ) as pool:  # before there are processes whose pipes it holds
            changes.start()
            each = [(port, questions[i::CLIENTS], min(requests, 400) // CLIENTS) for i in range(CLIENTS)]
            while changes.is_alive() and (len(answers) < requests or len(done) < len(CHANGES)):
                answers += [one for part in pool.starmap(watching, each) for one in part]
                memory.append(workers_memory(process.pid))
        ending.set()
        changes.join()
    encoders: dict[int, set[str]] = {}
    for one in answers:
        if one["status"] == 200:
            encoders.setdefault(one["generation"], set()).add(one["encoder"])
    times = spread([one["ms"] for one in answers])
    return {
        "requests": len(answers),
        "failed": sum(one["status"] != 200 for one in answers),
        "generations": len(encoders),
        "mixed": sum(len(one) - 1 for one in encoders.values()),
        "done": done,
        "memory_mb": [round(one) for one in memory[:: max(len(memory) // 20, 1)]],
        "latency_ms": times,
    }


def change(path: Path, place: Path, done: dict[str, int], ending: threading.Event) -> None:
    """Change an index in every way, one after the other, until the end; what runs then is broken off."""
    pages, number = place / "changing.jsonl", 0
    encoder = path / "generations" / "0001" / "encoder"
    options = {
        "index": [str(pages)],
        "adapt": ["--force", "--time-limit", "30", "--seed"],
        "reindex": ["--encoder", str(encoder), "--dim", "128", "--force"],
        "rollback": [],
    }
    steps = ["index", "index", "index", "reindex", "index", "rollback", "index", "adapt"]
    while not ending.is_set():
        step, number = steps[number % len(steps)], number + 1
        given = options[step] + ([str(number)] if step == "adapt" else [])  # another seed: else nothing is trained
        lines = [
            {"id": f"changing-{i}", "text": f"Page {i} in its version {number} says something else."} for i in range(50)
        ]
        pages.write_text("\n".join(map(json.dumps, lines)))
        code = "from docsim.cli import run; run()"
        command = [sys.executable, "-c", code, step, *given, "--index", str(path), "--quiet"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None and not ending.wait(0.1):
                pass
            if process.poll() is None:
                process.terminate()
                return
            assert process.returncode == 0, (step, (process.stderr or sys.stdin).read())
        done[step] = done.get(step, 0) + 1


def watching(port: int, questions: list[str], requests: int) -> list[dict[str, Any]]:
    """Ask so often, and return of each answer its status, generation and encoder, and milliseconds."""
    opened, found = connection(port), []
    for number in range(requests):
        started = time.perf_counter()
        try:
            opened.request("GET", f"/v1/search?{urlencode({'text': questions[number % len(questions)]})}")
            answer = opened.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            found.append({"status": 0, "ms": (time.perf_counter() - started) * 1000})
            opened = connection(port)
            continue
        one = {"status": answer.status, "ms": (time.perf_counter() - started) * 1000}
        found.append(one | {name: told.get(name) for name in ("generation", "encoder")})
    return found


def workers_memory(pid: int) -> float:
    """Return the resident memory of the largest process of a server, in megabytes."""
    return max(resident(one.pid) for one in psutil.Process(pid).children(recursive=True))


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
