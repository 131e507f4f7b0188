"""How well an index tells that it does not answer a question: area under the ROC curve.

    python benchmarks/gaps.py --data DIR [--sets NAME,...] [--fit]

The questions of each set are parted in two at random. What answers the second half is taken out of the corpus, and so
are the questions of the first half that lose all their answers by it. Then all are asked, and what should be higher for
the second half is looked at: the probability of ``docsim.search.answering``, and, beside it, the percentile and the
similarity of the first hit, alone. Then simulated people ask each question 1, 3 and 10 times, who open hits as those of
``use.py`` do, with one look in five ending in the toss of a coin, and ``docsim.jobs.gaps`` counts that as well.

``--fit`` prints weights fitted to all sets together, each set counting alike, and the area where each set is measured
with weights fitted to all others. Results are written to ``results/gaps.json``.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from judged import Judged, load
from numpy.typing import NDArray
from questions import HANDBOOK, handbook

from docsim import Document, Index
from docsim.jobs.gaps import probability
from docsim.models import SearchResult
from docsim.search.answering import Signals, signals
from docsim.use.asked import AskedQuestion

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "gaps"
RESULTS = Path(__file__).parent / "results" / "gaps.json"
SETS = (HANDBOOK, "sumo_firefox", "hint3_tickets", "medline", "cranfield", "cacm", "scifact")
NAMES = ("covered", "known", "unusual")
TIMES = (1, 3, 10)
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--fit", action="store_true", help="fit weights to all sets together")
    options = parser.parse_args()
    tables: dict[str, tuple[Floats, NDArray[np.bool_]]] = {}
    found: dict[str, Any] = {}
    for name in options.sets.split(","):
        judged = handbook() if name == HANDBOOK else load(options.data / name)
        rows, gone, people = asked(judged)
        table = np.array([[one.covered, one.known, one.unusual, similarity] for one, similarity in rows])
        tables[name] = table, gone
        gaps = np.array([one.gap for one, _ in rows])
        areas = {"together": area(gaps, gone), "percentile": area(-table[:, 2], gone)}
        areas |= {"covered": area(-table[:, 0], gone), "known": area(-table[:, 1], gone)}
        areas |= {"similarity": area(-table[:, 3], gone)}
        areas |= {f"asked {times} times": area(with_people(gaps, people[times]), gone) for times in TIMES}
        found[name] = {key: round(value, 4) for key, value in areas.items()} | at_half(gaps, gone)
        found[name] |= {"questions": len(gone), "without an answer": int(gone.sum())}
        print(name, json.dumps(found[name]), flush=True)
    means = {key: round(float(np.mean([one[key] for one in found.values()])), 4) for key in next(iter(found.values()))}
    alone = ("together", "percentile", "covered", "known", "similarity")
    found["mean"] = {key: means[key] for key in (*alone, *(f"asked {times} times" for times in TIMES))}
    print("mean", json.dumps(found["mean"]))
    if options.fit:
        print("weights", dict(zip(("constant", *NAMES), fitted(list(tables.values())).round(3).tolist(), strict=True)))
        for name, (table, gone) in tables.items():
            others = fitted([one for key, one in tables.items() if key != name])
            print("left out", name, round(area(features(table) @ others, gone), 4))
    else:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def asked(
    judged: Judged, *, seed: int = 0
) -> tuple[list[tuple[Signals, float]], NDArray[np.bool_], dict[int, list[AskedQuestion]]]:
    """Return signals and best similarity of each question, which had their answers taken away, and what people did."""
    ids = sorted(id for id in judged.queries if judged.queries[id] and judged.qrels.get(id))
    random.Random(seed).shuffle(ids)
    taken = ids[: len(ids) // 2]
    away = {document for id in taken for document, grade in judged.qrels[id].items() if grade >= 1}
    kept = [
        id
        for id in ids[len(ids) // 2 :]
        if any(grade >= 1 and document not in away for document, grade in judged.qrels[id].items())
    ]
    documents = [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]
    texts = [str(judged.queries[id]) for id in (*taken, *kept)]
    with Index.create(KEPT / judged.name) as index:
        index.sync([one for one in documents if one.id not in away], prune=True)
        results = index.search_many(texts, 10, plain=True)
        with index.engine.snapshot(encoder=True) as snapshot:
            rows = [
                (signals(snapshot, text, result.hits), max(hit.similarity for hit in result.hits))
                for text, result in zip(texts, results, strict=True)
            ]
    chance = random.Random(seed + 1)
    people = {
        times: [
            watched(result, judged.qrels[id], times, chance)
            for id, result in zip((*taken, *kept), results, strict=True)
        ]
        for times in TIMES
    }
    return rows, np.array([True] * len(taken) + [False] * len(kept)), people


def watched(result: SearchResult, answers: Mapping[str, int], times: int, chance: random.Random) -> AskedQuestion:
    """Return how often so many people open something that is found for a question."""
    opened = 0
    for _ in range(times):
        likes = [0.9 if answers.get(hit.id, 0) >= 1 else 0.05 for hit in result.hits]
        likes = [0.5 if chance.random() < 0.2 else each for each in likes]
        opened += any(chance.random() < each / rank for rank, each in enumerate(likes, start=1))
    return AskedQuestion("", "", times, times, times, opened, 0)


def with_people(gaps: Floats, people: Sequence[AskedQuestion]) -> Floats:
    """Return the probabilities with what people did."""
    return np.array([probability(gap, one) for gap, one in zip(gaps.tolist(), people, strict=True)])


def area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the probability that a random positive has a higher score than a random negative; ties count half."""
    above = scores[positive][:, None] - scores[~positive][None, :]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def at_half(gaps: Floats, gone: NDArray[np.bool_]) -> dict[str, float]:
    """Return precision and recall where the probability is at least one half."""
    told = gaps >= 0.5
    right = float((told & gone).sum())
    return {"precision": round(right / max(1, told.sum()), 4), "recall": round(right / gone.sum(), 4)}


def features(table: Floats) -> Floats:
    """Return the signals of each question, with a column of ones before them."""
    return np.concatenate([np.ones((len(table), 1)), table[:, : len(NAMES)]], axis=1)


def fitted(tables: Sequence[tuple[Floats, NDArray[np.bool_]]]) -> Floats:
    """Return the weights of a logistic regression; sets, and questions with and without answers, count alike."""
    inputs = np.concatenate([features(table) for table, _ in tables])
    labels = np.concatenate([gone for _, gone in tables]).astype(float)
    weights = np.concatenate([np.where(gone, 0.5 / gone.sum(), 0.5 / (~gone).sum()) for _, gone in tables])
    found = np.zeros(inputs.shape[1])
    for _ in range(50):  # Newton's method
        chance = 1 / (1 + np.exp(-inputs @ found))
        slope = inputs.T @ (weights * (labels - chance)) - 1e-3 * found
        bend = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + 1e-3 * np.eye(len(found))
        found = found + np.linalg.solve(bend, slope)
    return np.array(found, np.float64)


if __name__ == "__main__":
    main()
