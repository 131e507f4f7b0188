"""How fast are the modes? Warm queries on a large index, beside bare FAISS and bare FTS5, in one run.

    python benchmarks/hybrid_latency.py --corpus ../shared/data/scale/win32/corpus.jsonl.gz [--queries 200]

Questions are titles and beginnings of documents, drawn with a fixed seed. Contenders take turns, question by question,
so that what else the machine does meets all of them. ``encode + FAISS`` encodes and searches the same vectors exactly;
``FTS5`` asks for the ten best by ``rank``, the words of the question joined by OR, each in quotes; ``FTS5, no stop
words`` leaves out the commonest English words. The index is kept in .bench/hybrid. Writes
benchmarks/results/hybrid_latency.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from docsim.index import Index
from docsim.records import MODES
from docsim.sources import open_source
from docsim.synchronise import SourceName

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
        kinds = {"questions": questions(index, options.queries), "documents": ids(index, options.queries // 4)}
        found = {kind: times(contenders(index, kind), asked) for kind, asked in kinds.items()}
        documents = index.store.value("SELECT count(*) FROM documents")
    load = os.getloadavg()[0]
    result = {"documents": documents, "cores": os.cpu_count(), "load": load, **found}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def ids(index: Index, count: int) -> list[str]:
    every = [id for (id,) in index.store.rows("SELECT id FROM documents ORDER BY number")]
    return random.Random(1).sample(every, count)


def questions(index: Index, count: int) -> list[str]:
    """Half titles, half first words of texts."""
    rows = index.store.rows("SELECT title, substr(text, 1, 400) FROM documents ORDER BY number")
    rows = random.Random(0).sample(rows, count)
    asked = [title if i % 2 else " ".join(text.split()[:12]) for i, (title, text) in enumerate(rows)]
    return [text for text in asked if text.strip()]


def contenders(index: Index, kind: str) -> dict[str, Callable[[str], object]]:
    if kind == "documents":
        return {mode: lambda id, mode=mode: index.similar(id, K, mode=mode) for mode in MODES}  # type: ignore[misc]
    with index.reader.reading() as view:
        _, vectors = view.vectors.reconstruct()
    bare = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    bare.add(vectors)
    encoder = index.encoder

    def faiss_alone(text: str) -> object:
        faiss.omp_set_num_threads(1)
        return bare.search(np.ascontiguousarray(encoder.encode([text]), np.float32), K)

    def fts5(text: str, without: frozenset[str] = frozenset()) -> object:
        words = [word for word in re.findall(r"[^\W_]+", text) if word.lower() not in without]
        sql = "SELECT rowid FROM documents_fts WHERE documents_fts MATCH ? ORDER BY rank LIMIT ?"
        return index.store.rows(sql, " OR ".join(f'"{word}"' for word in words) or '""', K)

    modes = {mode: lambda text, mode=mode: index.search(text, K, mode=mode) for mode in MODES}  # type: ignore[misc]
    return {**modes, "encode + FAISS": faiss_alone, "FTS5": fts5, "FTS5, no stop words": lambda t: fts5(t, STOP_WORDS)}


def times(contenders: dict[str, Callable[[str], object]], asked: list[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of each contender; the first tenth of the questions warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for question in asked:
        for name, ask in contenders.items():
            started = time.perf_counter()
            ask(question)
            taken[name].append((time.perf_counter() - started) * 1000)
    kept = {name: values[len(values) // 10 :] for name, values in taken.items()}
    return {
        name: {"p50_ms": round(float(np.percentile(v, 50)), 3), "p99_ms": round(float(np.percentile(v, 99)), 3)}
        for name, v in kept.items()
    }


if __name__ == "__main__":
    main()
