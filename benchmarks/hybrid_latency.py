"""How fast are the modes? Warm queries on a large index, beside bare FAISS and bare FTS5, in one run.

    python benchmarks/hybrid_latency.py --corpus ../shared/data/scale/win32/corpus.jsonl.gz [--queries 200]

Questions are titles and beginnings of documents, drawn with a fixed seed. Contenders take turns, question by question,
so that what else the machine does meets all of them; each mode has an index of its own open, so that none profits from
words that another one looked up. ``cpu`` is the processor's time of the asking thread. ``encode + FAISS`` encodes and
searches the same vectors exactly; ``FTS5`` asks for the ten best by ``rank``, the words of the question joined by OR,
each in quotes; ``FTS5, no stop words`` leaves out the commonest English words. ``ratio`` is that of hybrid's median to
the larger one of encode + FAISS and FTS5. ``hybrid, exact`` compares every passage, also where an approximate index
could propose some; ``proposals`` says which one and how many of the nearest passages it finds. ``together`` asks all
questions in one call, and one after the other, in turns, and looks whether the answers are the same; there, ``cpu`` is
the processor's time of all threads for each answer. The index is kept in .bench/hybrid. Writes
benchmarks/results/hybrid_latency.json, a part for each number of documents. ``load`` is the number of processes that
wanted a core when it began: on a busy machine, only ratios within one run tell something.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from docsim.engine.records import SourceName
from docsim.index import Index
from docsim.ingest.sources import open_source
from docsim.models import MODES, Mode, Ranking, SearchResult

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "hybrid_latency.json"
K = 10
STOP_WORDS = frozenset(
    """
    a an and are as at be been but by can do does for from had has have how i if in into is it its may not of on or our
    shall so such that the their them then there these they this those to use used using was we were what when where
    which who why will with you your
    """.split()  # noqa: SIM905
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", type=Path, help="an index of the corpus that exists already")
    options = parser.parse_args()
    path = options.index or ROOT / ".bench" / "hybrid" / "latency"
    with Index.create(path) as index:
        if options.index is None:
            index.sync(open_source(str(options.corpus)).entries(), source=SourceName("records", "scale", "scale"))
        result = {**machine(), **measured(index, options.queries)}
        documents = index.counts().documents
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results[str(documents)] = result
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def machine() -> dict[str, Any]:
    """Return how many cores there are, how many processes want one, and a note if these are more."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    note = "The machine was loaded by others: only ratios within this run tell something, those of cpu most."
    return {"cores": cores, "load": load, **({"note": note} if load > cores else {})}


def measured(index: Index, queries: int) -> dict[str, Any]:
    kinds = {"questions": questions(index, queries), "documents": ids(index, queries // 4)}
    with ExitStack() as stack:
        own = {mode: stack.enter_context(Index.open(index.path)) for mode in MODES}
        found = {kind: times(contenders(index, own, kind), asked) for kind, asked in kinds.items()}
        batch = together(own["hybrid"], questions(index, 4 * queries))
    facts = index.engine.search_facts()
    asked = found["questions"]
    ratio = {
        value: round(asked["hybrid"][value] / max(asked["encode + FAISS"][value], asked["FTS5"][value]), 3)
        for value in ("p50_ms", "cpu_p50_ms")
    }
    beside_faiss = asked["hybrid"]["cpu_p50_ms"] / asked["encode + FAISS"]["cpu_p50_ms"]
    proposals = {"index": facts.factory, "recall": facts.recall}
    ratios = {"ratio": ratio, "ratio to encode + FAISS": round(beside_faiss, 3)}
    return {**found, **ratios, "proposals": proposals, "together": batch}


def together(index: Index, asked: list[str]) -> dict[str, Any]:
    """Ask all questions in one call and one by one, three times each after one that warms up."""
    taken: dict[str, list[tuple[float, float]]] = {"one call": [], "one by one": []}
    answers: dict[str, Any] = {}
    ways: dict[str, Callable[[], list[SearchResult]]] = {
        "one call": lambda: index.search_many(asked, K),
        "one by one": lambda: [index.search(text, K) for text in asked],
    }
    for _ in range(4):
        for name, ask in ways.items():
            started, busy = time.perf_counter(), time.process_time()
            answers[name] = [result.hits for result in ask()]
            taken[name].append((time.perf_counter() - started, time.process_time() - busy))
    found: dict[str, Any] = {"questions": len(asked), "same": answers["one call"] == answers["one by one"]}
    for name, values in taken.items():
        seconds, cpu = np.median(values[1:], axis=0).tolist()
        found[name] = {"a_second": round(len(asked) / seconds), "cpu_ms": round(1000 * cpu / len(asked), 3)}
    return found


def ids(index: Index, count: int) -> list[str]:
    with index.engine.snapshot() as snapshot:
        every = [stored.document.id for stored in snapshot.scan(characters=0)]
    return random.Random(1).sample(every, count)


def questions(index: Index, count: int) -> list[str]:
    """Half titles, half first words of texts."""
    with index.engine.snapshot() as snapshot:
        every = [(one.document.title, one.document.text) for one in snapshot.scan(characters=400)]
    rows = random.Random(0).sample(every, count)
    asked = [title if i % 2 else " ".join(text.split()[:12]) for i, (title, text) in enumerate(rows)]
    return [text for text in asked if text.strip()]


def contenders(index: Index, own: dict[Mode, Index], kind: str) -> dict[str, Callable[[str], object]]:
    if kind == "documents":
        return {mode: similar(own[mode], mode) for mode in MODES}
    with index.engine.snapshot() as snapshot:
        vectors = np.concatenate(snapshot.embeddings(snapshot.embedded())).astype(np.float32)
    bare = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    bare.add(vectors)
    encoder, database = index.encoder, with_fts5(index)

    def faiss_alone(text: str) -> object:
        faiss.omp_set_num_threads(1)
        return bare.search(np.ascontiguousarray(encoder.encode([text]), np.float32), K)

    def fts5(text: str, without: frozenset[str] = frozenset()) -> object:
        words = [word for word in re.findall(r"[^\W_]+", text) if word.lower() not in without]
        sql = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        return database.execute(sql, (" OR ".join(f'"{word}"' for word in words) or '""', K)).fetchall()

    modes: dict[str, Callable[[str], object]] = {mode: searching(own[mode], mode) for mode in MODES}
    every = Ranking(min_similarity=-1.0)  # no passage may be left out, so all are compared
    modes["hybrid, exact"] = lambda text: own["hybrid"].search(text, K, ranking=every)
    return {**modes, "encode + FAISS": faiss_alone, "FTS5": fts5, "FTS5, no stop words": lambda t: fts5(t, STOP_WORDS)}


def similar(index: Index, mode: Mode) -> Callable[[str], object]:
    return lambda id: index.similar(id, K, mode=mode)


def searching(index: Index, mode: Mode) -> Callable[[str], object]:
    return lambda text: index.search(text, K, mode=mode)


def with_fts5(index: Index) -> sqlite3.Connection:
    """Return a database in memory that holds an index's documents in FTS5."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5(title, text, tokenize = 'porter unicode61')")
    with index.engine.snapshot() as snapshot:
        rows = ((one.number, one.document.title, one.document.text) for one in snapshot.scan())
        database.executemany("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", rows)
    return database


def times(contenders: dict[str, Callable[[str], object]], asked: list[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of each contender; the first tenth of the questions warms up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for question in asked:
        for name, ask in contenders.items():
            started, busy = time.perf_counter(), time.thread_time()
            ask(question)
            taken[name].append((time.perf_counter() - started, time.thread_time() - busy))
    kept = {name: 1000 * np.array(values[len(values) // 10 :]) for name, values in taken.items()}
    return {
        name: {
            "p50_ms": round(float(np.percentile(v[:, 0], 50)), 3),
            "p99_ms": round(float(np.percentile(v[:, 0], 99)), 3),
            "cpu_p50_ms": round(float(np.percentile(v[:, 1], 50)), 3),
        }
        for name, v in kept.items()
    }


if __name__ == "__main__":
    main()
