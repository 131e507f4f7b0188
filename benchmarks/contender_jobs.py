"""What a contender of ``peers.py`` is asked to do, one job a process, by the interpreter of its own environment.

Prints one line of JSON with what it measured, in seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contender import HITS, Contender
from contenders import KINDS
from judged import load
from speed_samples import queries, records

WARM_UP = 10
TIE = 1e-6
"""Similarities this close count as equal: which of two equal documents comes first is nobody's mistake."""


def index(contender: Contender, corpus: Path) -> dict[str, Any]:
    """Index the documents; reading them and loading the model is not counted."""
    documents = list(records(corpus))
    contender.encode(["Load whatever is loaded at the first text."])
    started = time.perf_counter()
    contender.build(documents)
    return {"index_s": time.perf_counter() - started, "documents": len(documents)}


def cold(contender: Contender, corpus: Path) -> dict[str, Any]:
    """Open the index and ask it once; what counts is the time that the whole process takes."""
    contender.open()
    return {"hits": len(contender.search("how do I change the settings of a printer"))}


def warm(contender: Contender, corpus: Path, *, count: int, budget: float) -> dict[str, Any]:
    """Ask an open index one query after the other, then all at once; each for no longer than a budget, in seconds."""
    contender.open()
    texts = queries(corpus, count)
    timed(contender.search, texts[:WARM_UP], budget / 4)
    each = timed(contender.search, texts, budget)
    together = texts[: max(1, min(len(texts), int(budget / (sum(each) / len(each)))))]
    started = time.perf_counter()
    contender.search_many(together, HITS)
    taken = time.perf_counter() - started
    percentiles = {f"p{p}_s": float(np.percentile(each, p)) for p in (50, 99)}
    return {"queries": len(each), **percentiles, "queries_per_s": len(together) / taken}


def timed(ask: Callable[[str], object], texts: Sequence[str], budget: float) -> list[float]:
    """Return the seconds that each text took, as far as the budget goes."""
    seconds: list[float] = []
    for text in texts:
        started = time.perf_counter()
        ask(text)
        seconds.append(time.perf_counter() - started)
        if sum(seconds) > budget:
            break
    return seconds


def recall(contender: Contender, corpus: Path, *, count: int, budget: float) -> dict[str, Any]:
    """Return how many of the exactly nearest ten documents the index finds, on average."""
    contender.open()
    found = []
    started = time.monotonic()
    for text in queries(corpus, count):
        similarities = contender.exact(text)
        least = sorted(similarities.values(), reverse=True)[:HITS][-1] - TIE
        found.append(sum(similarities[id] >= least for id in contender.nearest(text)) / min(HITS, len(similarities)))
        if time.monotonic() - started > budget:
            break
    return {"recall": sum(found) / len(found), "queries": len(found)}


def judged(contender: Contender, folder: Path, target: Path) -> dict[str, Any]:
    """Write the ten best documents of every query of a judged set to a file; the set has to be what is indexed."""
    asked = load(folder)
    texts = {one["id"]: one["title"] + "\n" + one["text"] for one in asked.documents}
    contender.open()
    run = {}
    for query, text in asked.queries.items():
        found = contender.search(text, HITS) if text else contender.similar(query, texts[query], HITS + 1)
        run[query] = [id for id in found if not (asked.exclude_self and id == query)][:HITS]
    target.write_text(json.dumps(run))
    return {"queries": len(run)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("index", "cold", "warm", "recall", "judged"))
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("model")
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path, help="gzipped JSONL; the folder of a judged set for the job of that name")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds")
    parser.add_argument("--run", type=Path, help="where the results of a judged set go")
    given = parser.parse_args()
    contender = KINDS[given.kind](given.model, given.index)
    jobs = {
        "index": lambda: index(contender, given.corpus),
        "cold": lambda: cold(contender, given.corpus),
        "warm": lambda: warm(contender, given.corpus, count=given.count, budget=given.budget),
        "recall": lambda: recall(contender, given.corpus, count=given.count, budget=given.budget),
        "judged": lambda: judged(contender, given.corpus, given.run),
    }
    print(json.dumps(jobs[given.job]()))


if __name__ == "__main__":
    main()
