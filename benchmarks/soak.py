"""Does docsim stay the same under load? Memory, file descriptors and answers over many queries and beside a writer.

    python benchmarks/soak.py [--minutes 10] [--queries 20000] [--work DIR]

``threads``: one process asks 20,000 queries with one thread, another with four at a time; how much memory and how many
file descriptors it has is looked at on the way.

``beside``: eight processes ask without a break, one of them from four threads and one that opens the index anew each
time, while another syncs, re-indexes to another encoder and back, upgrades at once, rolls back, prunes and repairs, and
a third one adapts again and again. Every sync replaces all documents by those of its next state: an answer whose hits
are of two states is mixed, one without all of a state's documents shows a sync half done, and one with a warning a
file that was taken for damaged. Writes benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bounds import sentences
from machine import commit, machine

from docsim import Document, Encoder, Index
from docsim.errors import DocsimError
from docsim.jobs.adapt import AdaptOptions, adapt
from docsim.maintenance import verify
from docsim.models import Mode, SearchResult
from docsim.reindex import generations, instant, reindexing
from docsim.reindex.examination import GateOptions

RESULTS = Path(__file__).parent / "results" / "soak.json"
DOCUMENTS = 150
READERS = 8
TAG = re.compile(r"state(\d+) ")
ANYTHING = GateOptions(max_loss=1, publish_anyway=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--only", choices=("threads", "beside"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--part", nargs="*", help=argparse.SUPPRESS)  # what a process of this script does
    options = parser.parse_args()
    if options.part:
        parts: dict[str, Callable[..., None]] = {"ask": ask, "read": read, "adapt": adapt_once}
        parts[options.part[0]](*options.part[1:])
        return
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        for name, measure, amount in (("threads", threads, options.queries), ("beside", beside, options.minutes)):
            if options.only in (None, name):
                found[name] = measure(Path(work) / name, amount)
                print(name, json.dumps(found[name], indent=1), flush=True)
                found |= {"commit": commit(), "machine": machine({})}
                RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def pages(state: int) -> list[Document]:
    """Return the documents of a state: their ids, what they say and how long they are differ from those before."""
    lines = list(sentences(DOCUMENTS * (2 + state % 5), seed=state))
    per = len(lines) // DOCUMENTS
    return [
        Document(
            f"{state % 2}/page{n}",
            f"# Page {n}\n\nstate{state} {' '.join(lines[n * per : n * per + per])}",
            f"Page {n}",
            {"state": state},
        )
        for n in range(DOCUMENTS)
    ]


def started(*part: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--part", *map(str, part)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Any:
    told, _ = process.communicate()
    return json.loads(told.splitlines()[-1])


def size() -> dict[str, float]:
    """Return how much memory this process has, in MB, and how many file descriptors."""
    status = Path("/proc/self/status").read_text()
    kilobytes = int(re.findall(r"VmRSS:\s+(\d+)", status)[0])
    return {"mb": round(kilobytes / 1000, 1), "descriptors": len(list(Path("/proc/self/fd").iterdir()))}


# Many queries


def threads(path: Path, queries: int) -> dict[str, Any]:
    with Index.create(path, encoder=Encoder.default()) as index:
        index.sync([Document(f"{state}/{one.id}", one.text) for state in range(20) for one in pages(state)])
    return {f"{count}": finished(started("ask", path, queries, count)) for count in (1, 4)}


def ask(path: str, queries: str, count: str) -> None:
    """Ask from some threads, and tell at every twentieth part how large the process is."""
    asked = [" ".join(line.split()[:6]) for line in sentences(2000, seed=99)]
    told, part = [], int(queries) // 20
    with Index.open(path) as index, ThreadPoolExecutor(int(count)) as pool:
        began = time.monotonic()
        for start in range(0, int(queries), part):
            some = (asked[number % len(asked)] for number in range(start, start + part))
            assert all(result.hits for result in pool.map(index.search, some))
            told.append({"queries": start + part, **size()})
            print(json.dumps(told[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"seconds": round(time.monotonic() - began, 1), "sizes": told}))


# Beside a writer


def beside(path: Path, minutes: float) -> dict[str, Any]:
    with Index.create(path, encoder=Encoder.default()) as index:
        index.sync(pages(0))
    end = time.time() + 60 * minutes
    readers = [started("read", path, end, kind) for kind in ["threads", "anew", *["plain"] * (READERS - 2)]]
    wrote = write(path, end)
    told = [finished(one) for one in readers]
    with Index.open(path) as index:
        problems = [str(one) for one in verify.problems(index)]
    return {
        "minutes": minutes,
        "readers": told,
        "answers": sum(one["answers"] for one in told),
        "failed": sum(len(one["failed"]) for one in told),
        "mixed": sum(one["mixed"] for one in told),
        "half_done": sum(one["half_done"] for one in told),
        "warned": sum(one["warned"] for one in told),
        "wrote": wrote,
        "problems": problems,
    }


def write(path: Path, end: float) -> dict[str, Any]:
    """Do all that writes, again and again; return how often, and how large this process was on the way."""
    done, sizes = Counter[str](), []
    encoders = [Encoder.default(dim=dim) for dim in (128, 64)]
    states = itertools.count(1)
    with Index.open(path) as index:

        def sync() -> None:
            index.sync(pages(next(states)))

        jobs: dict[str, Callable[[], object]] = {
            "sync": sync,
            "sync again": sync,
            "reindex": lambda: reindexing.reindex(index, encoders[next(states) % 2], gate=ANYTHING),
            "third sync": sync,
            "rollback": lambda: generations.rollback(index),
            "upgrade": lambda: instant.upgrade(index, encoders[next(states) % 2]),
            "reindex after": lambda: reindexing.reindex(index, None, gate=ANYTHING),
            "prune": lambda: generations.prune(index, keep=2),
            "repair": lambda: verify.repair(index),
        }
        adapting = threading.Thread(target=adapted, args=(path, done, end))
        adapting.start()
        while time.time() < end:
            for name, job in jobs.items():
                try:
                    job()
                    done[name.split()[-1] if name.startswith("third") else name.split()[0]] += 1
                except DocsimError as error:  # such as a re-index to the encoder that is live already
                    done[f"refused: {type(error).__name__}"] += 1
            sizes.append(size())
        adapting.join()
    return {"done": dict(done), "sizes": sizes}


def adapted(path: Path, done: Counter[str], end: float) -> None:
    """Train shortly on the documents, in a process of its own as a server does, and re-index with what comes out."""
    command = [sys.executable, __file__, "--part", "adapt", str(path)]
    while time.time() < end - 60:
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        done["adapt" if not process.returncode else "adapt failed"] += 1
        if process.returncode:
            print(process.stderr[-2000:], file=sys.stderr, flush=True)


def adapt_once(path: str) -> None:
    with Index.open(path) as index:
        adapt(index, AdaptOptions(time_limit=15, gate=ANYTHING, wait=True))


def read(path: str, end: str, kind: str) -> None:
    """Ask without a break; tell how many answers were right, and how large the process was."""
    reader = Reader(Path(path), float(end))
    if kind == "threads":
        with Index.open(path) as index, ThreadPoolExecutor(4) as pool:
            list(pool.map(reader.run, [index] * 4))
    elif kind == "anew":
        while time.time() < reader.end:
            with Index.open(path) as index:
                reader.run(index, most=3)
    else:
        with Index.open(path) as index:
            reader.run(index)
    print(json.dumps({"kind": kind, **reader.told()}))


class Reader:
    """Asks, and counts what is wrong with the answers."""

    def __init__(self, path: Path, end: float) -> None:
        self.path, self.end = path, end
        self.counts, self.failed, self.sizes = Counter[str](), list[str](), [size()]
        self.warnings = set[str]()
        self._next = time.time() + 20

    def run(self, index: Index, most: int | None = None) -> None:
        modes: itertools.cycle[Mode] = itertools.cycle(("hybrid", "dense", "lexical"))
        for number in itertools.count():
            if time.time() >= self.end or number == most:
                return
            try:
                self.look(index.search(f"page {number % DOCUMENTS}", DOCUMENTS + 50, mode=next(modes)))
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}"[:200])
            if time.time() > self._next:
                self._next += 20
                self.sizes.append(size())

    def look(self, result: SearchResult) -> None:
        states = {hit.metadata["state"] for hit in result.hits}
        states |= {int(one) for hit in result.hits for span in hit.passages for one in TAG.findall(span.text)}
        self.counts["answers"] += 1
        self.counts["mixed"] += len(states) > 1
        self.counts["half_done"] += len(result.hits) != DOCUMENTS
        self.counts["warned"] += bool(result.warnings)
        self.warnings |= set(result.warnings)

    def told(self) -> dict[str, Any]:
        names = ("answers", "mixed", "half_done", "warned")
        told = {"failed": self.failed[:20], "warnings": sorted(self.warnings)[:5], "sizes": self.sizes}
        return {name: self.counts[name] for name in names} | told


if __name__ == "__main__":
    main()
