"""How well an index tells that it does not answer a question: area under the ROC curve.

    python benchmarks/gaps.py --data DIR [--sets NAME,...]

The questions of each set are parted in two at random. What answers the second half is taken out of the corpus, and so
are the questions of the first half that lose all their answers by it. Then all are asked, and what should be higher for
the second half is looked at: the doubt of ``docsim.search.answers``, whose weights ``answers.py`` fits, and, beside it,
the two numbers that it is made of, and the similarity of the first hit. Then simulated people ask each question 1, 3
and 10 times, who open hits as those of ``use.py`` do, with one look in five ending in the toss of a coin, and
``docsim.jobs.gaps`` counts that as well. Precision and recall are those at a doubt of one half, without people.

Results are written to ``results/gaps.json``.
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
from docsim.engine.base import Snapshot
from docsim.jobs.gaps import probability
from docsim.models import SearchResult
from docsim.search.answers import Evidence, evidence
from docsim.use.asked import AskedQuestion

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "gaps"
RESULTS = Path(__file__).parent / "results" / "gaps.json"
SETS = (HANDBOOK, "sumo_firefox", "hint3_tickets", "medline", "cranfield", "cacm", "scifact")
TIMES = (1, 3, 10)
ALONE = ("percentile", "covered", "similarity")
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name in options.sets.split(","):
        judged = handbook() if name == HANDBOOK else load(options.data / name)
        rows, gone, people = asked(judged)
        gaps = np.array([1 - one.likelihood for one, _ in rows])
        table = np.array([[one.percentile, one.covered, similarity] for one, similarity in rows])
        areas = {"together": area(gaps, gone)}
        areas |= {each: area(-table[:, place], gone) for place, each in enumerate(ALONE)}
        areas |= {f"asked {times} times": area(with_people(gaps, people[times]), gone) for times in TIMES}
        found[name] = {key: round(value, 4) for key, value in areas.items()} | at_half(gaps, gone)
        found[name] |= {"questions": len(gone), "without an answer": int(gone.sum())}
        print(name, json.dumps(found[name]), flush=True)
    kept = ("together", *ALONE, *(f"asked {times} times" for times in TIMES), "precision", "recall")
    found["mean"] = {key: round(float(np.mean([one[key] for one in found.values()])), 4) for key in kept}
    print("mean", json.dumps(found["mean"]))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def asked(
    judged: Judged, *, seed: int = 0
) -> tuple[list[tuple[Evidence, float]], NDArray[np.bool_], dict[int, list[AskedQuestion]]]:
    """Return what speaks for an answer to each question, whether it was taken away, and what people did."""
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
                (spoken_for(snapshot, text, result), max(hit.similarity for hit in result.hits))
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


def spoken_for(snapshot: Snapshot, text: str, result: SearchResult) -> Evidence:
    """Return what speaks for an answer; nothing does to a question without words."""
    first = result.hits[0]
    number = snapshot.number(first.id)
    assert number is not None
    return evidence(snapshot, Document("query", text), number, first.percentile) or Evidence(0.0, 0.0)


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


if __name__ == "__main__":
    main()
