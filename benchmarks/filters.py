"""Where a filter leaves few passages, is it faster to score all their documents, or to search first?

    python benchmarks/filters.py [--passages 200000] [--rounds 15] [--quick]

Random unit vectors, three passages a document, in a real index of FAISS and SQLite: what is timed does the same work
whatever the vectors mean. For each number of documents left by a filter: p50 of a query when all of them are scored,
and when FAISS searches with a selector and the documents found are scored. Besides, what finding the documents costs
in SQL, which is paid once for each filter and state of the index. Writes benchmarks/results/filters.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from docsim.engine.local import writer
from docsim.engine.local.generations import Allowed, View, refreshed
from docsim.engine.local.store import Store
from docsim.engine.records import Embedded, SourceName
from docsim.filters.where import wanted
from docsim.models import Document, Passage
from docsim.search import scoring
from docsim.search.retrieval import CANDIDATES, Query

RESULTS = Path(__file__).parent / "results" / "filters.json"
DIM = 256
EACH = 3
LEFT = (10, 30, 60, 100, 300, 1000, 3000, 10_000, 30_000)
FILTERS = {
    "a field": "n < 1000",
    "two fields and a list": "n < 1000 and team = 'sre' or tags = 'c'",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, help="not used; every benchmark is given one")
    parser.add_argument("--quick", action="store_true", help="a small index; write nothing")
    given = parser.parse_args()
    count = 6_000 if given.quick else given.passages
    with TemporaryDirectory() as directory:
        fill(Path(directory), count // EACH)
        store = Store(Path(directory), writable=False)
        with store.reading():
            found = measured(store, refreshed(store, Path(directory), None), given.rounds)
        store.close()
    if not given.quick:
        RESULTS.write_text(json.dumps({"passages": count, "dim": DIM, **found}, indent=2) + "\n")


def fill(directory: Path, documents: int) -> None:
    """Make an index of documents whose field ``n`` counts them."""
    random = np.random.default_rng(0)
    with writer.opened(directory, wait=False) as store, store.writing():
        store.add_generation(fingerprint="none", encoder="none", dim=DIM, state="live")
        source = store.open_source(None, SourceName("python", "/", "x"))
        for number in range(documents):
            metadata = {"n": number, "team": ("sre", "web", "ops")[number % 3], "tags": ["a", "bcd"[number % 3]]}
            document = Document(f"{number % 100}/{number}", "", metadata=metadata)
            rows = random.normal(size=(EACH, DIM)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            embedded = Embedded(document, (Passage(0, 0),) * EACH, rows.astype(np.float16))
            added = store.put(embedded, number=None)
            store.link(source, document.id, document_number=added, digest="")


def measured(store: Store, view: View, rounds: int) -> dict[str, Any]:
    rows = []
    for left in (one for one in LEFT if one * EACH <= len(view.vectors)):
        allowed = view.allowed(wanted(f"n < {left}"), store.meeting)
        timed = {
            "scored": milliseconds(partial(scored, view, allowed), rounds),
            "searched": milliseconds(partial(searched, view, allowed), rounds),
        }
        rows.append({"documents": left, "passages": left * EACH, **timed, "ratio": timed["scored"] / timed["searched"]})
        print(rows[-1], flush=True)
    sql = {name: milliseconds(partial(selected, store, where), 3) for name, where in FILTERS.items()}
    print(sql)
    return {"rows": rows, "sql_ms": sql, "documents": len(view.documents)}


def scored(view: View, allowed: Allowed, query: Query) -> None:
    assert allowed.numbers is not None
    places = np.flatnonzero(np.isin(view.documents[:, 1], allowed.numbers))
    scoring.rank(query.vectors, view.rows(places), 10)


def searched(view: View, allowed: Allowed, query: Query) -> None:
    numbers = np.unique(view.owners(allowed.vectors.search(query.vectors, CANDIDATES).ids))
    places = view.positions_of(numbers)
    assert len(scoring.rank(query.vectors, view.rows(places), 10)) == 10


def selected(store: Store, where: str, query: Query) -> None:
    condition = wanted(where)
    assert condition is not None
    store.meeting(condition)


def milliseconds(answer: Callable[[Query], object], rounds: int) -> float:
    """Return the median time of one query, each round with another."""
    random, times = np.random.default_rng(1), []
    for _ in range(rounds + 2):
        vector = random.normal(size=(1, DIM)).astype(np.float32)
        query = Query("", Document("query", ""), vector / np.linalg.norm(vector))
        started = time.perf_counter()
        answer(query)
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times[2:]), 3)


if __name__ == "__main__":
    main()
