"""What learning from use brings: simulated people ask, look, open; ``adapt`` learns; other questions are measured.

    python benchmarks/use.py [--data DIR] [--sets NAME,...] [--sizes 0,500,2000] [--noise 0.2] [--seed 0]

Half of a set's questions are asked by simulated people; the other half, which nobody asks, is measured. Whoever asks
looks at rank r with probability 1 / r. What they look at they open with probability 0.9 if the judgements call it
relevant, and else with 0.05; with the probability ``--noise`` they open it by the toss of a coin instead. Noise 1 is
people who open anything. Size 0 is ``adapt`` without any use.

The judgements that come out are compared with the true ones, too. Results are added to ``results/use.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from judged import Judged, load, ndcg_at_10
from questions import HANDBOOK, handbook

from docsim import Document, Index
from docsim.jobs.adapt import AdaptOptions, adapt
from docsim.jobs.judging import judged as judgements
from docsim.reindex.examination import GateOptions
from docsim.use.log import UseLog
from docsim.use.records import Event, Question, Shown

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "use"
RESULTS = Path(__file__).parent / "results" / "use.json"
PEOPLE = 60
START = 1_750_000_000.0


@dataclass(frozen=True)
class Halves:
    """The questions of a set: those that are asked, and those that are measured."""

    asked: Mapping[str, str]
    unseen: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the judged sets")
    parser.add_argument("--sets", default=HANDBOOK)
    parser.add_argument("--sizes", default="0,500,2000", help="questions asked")
    parser.add_argument("--noise", type=float, default=0.2, help="share of looks that open by the toss of a coin")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--judge-only", action="store_true", help="compare judgements with the true ones, train nothing"
    )
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.sets.split(","):
        judged = handbook() if name == HANDBOOK else load(options.data / name)
        for size in map(int, options.sizes.split(",")):
            row = run(judged, size, options.noise, options.seed, train=not options.judge_only)
            print(name, size, json.dumps(row), flush=True)
            if not options.judge_only:
                found.setdefault(name, {})[f"{size} questions, noise {options.noise:g}, seed {options.seed}"] = row
                RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def run(judged: Judged, size: int, noise: float, seed: int, *, train: bool) -> dict[str, Any]:
    """Let people ask so many questions, adapt, and measure the questions that nobody asked."""
    place = KEPT / judged.name
    documents = [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]
    with Index.create(place / "start") as index:
        index.sync(documents)
    shutil.rmtree(place / "used", ignore_errors=True)
    shutil.copytree(place / "start", place / "used")
    halves = halved(judged, seed)
    with Index.open(place / "used") as index:
        simulate(index, judged, halves.asked, size, noise, seed)
        row: dict[str, Any] = {"judgements": compared(index, judged, halves.asked)} if size else {}
        if train:
            before, started = measured(index, judged, halves.unseen), time.perf_counter()
            done = adapt(index, AdaptOptions(gate=GateOptions(publish_anyway=True), seed=seed))
            verdict = done.reindexed.gate.verdict if done.reindexed.gate else None
            row |= {"before": before, "after": measured(index, judged, halves.unseen)}
            row |= {"passed": verdict.passed if verdict else None, "seconds": round(time.perf_counter() - started)}
            row |= {"checks": {one.name: one.detail for one in verdict.checks[3:]} if verdict else {}}
            row |= {"steps": done.trained.steps, "kept": done.trained.kept} if done.trained else {}
            row |= {"asked_after": measured(index, judged, halves.asked)}
    return row


def halved(judged: Judged, seed: int) -> Halves:
    """Part the questions of a set at random."""
    ids = sorted(id for id in judged.queries if id in judged.qrels)
    random.Random(seed).shuffle(ids)
    half = len(ids) // 2
    texts = judged.queries
    return Halves({id: str(texts[id]) for id in ids[:half]}, {id: str(texts[id]) for id in ids[half:]})


def simulate(index: Index, judged: Judged, asked: Mapping[str, str], size: int, noise: float, seed: int) -> None:
    """Have people ask questions, those of the first ones more often, and open what they like."""
    if not size:
        return
    chance, ids = random.Random(seed + 1), list(asked)
    results = dict(zip(ids, index.search_many([asked[id] for id in ids], 10), strict=True))
    weights = [1 / (10 + place) for place in range(len(ids))]  # some are asked more often
    records: list[Question | Event] = []
    for number, id in enumerate(chance.choices(ids, weights, k=size)):
        hits = results[id].hits
        shown = tuple(Shown(hit.rank, hit.id, hit.score) for hit in hits)
        person = f"{chance.randrange(PEOPLE):032x}"
        question = Question(asked[id], "page", person, shown, 1, 1, asked=START + 60.0 * number)
        records.append(question)
        for rank, hit in enumerate(hits, start=1):
            likes = 0.9 if judged.qrels[id].get(hit.id, 0) >= 1 else 0.05
            likes = 0.5 if chance.random() < noise else likes
            if chance.random() < likes / rank:
                records.append(Event(question.id, "opened", hit.id, None, person, question.asked + rank))
    with UseLog.opened(index.path) as log:
        log.write(records)


def compared(index: Index, judged: Judged, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return how many judgements are right, and how likely each rank is found to be looked at."""
    found = judgements(index)
    truth = {text: judged.qrels[id] for id, text in asked.items()}
    pairs = [(truth[one.text], each) for one in found.questions for each in one.positive if one.text in truth]
    right = np.array([true.get(each.document, 0) >= 1 for true, each in pairs], bool)
    sure = np.array([each.confidence for _, each in pairs])
    return {
        "questions": len(found.questions),
        "pairs": len(pairs),
        "right": round(float(right.mean()), 4),
        "right_by_confidence": round(float((right * sure).sum() / sure.sum()), 4),
        "propensities": [round(one, 3) for one in found.propensities[:5]],
    }


def measured(index: Index, judged: Judged, questions: Mapping[str, str]) -> dict[str, float]:
    """Return nDCG@10 of some questions, in hybrid mode and by embeddings alone."""
    ids: Sequence[str] = list(questions)
    row = {}
    for mode in ("hybrid", "dense"):
        results = index.search_many([questions[id] for id in ids], 10, mode=mode)
        run = {id: [hit.id for hit in result.hits] for id, result in zip(ids, results, strict=True)}
        row[mode] = round(ndcg_at_10(run, {id: judged.qrels[id] for id in ids}), 4)
    return row


if __name__ == "__main__":
    main()
