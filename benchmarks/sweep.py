"""What a sweep finds on the sample corpus: its leaderboard, and how its best encoder does on the judged questions.

    python benchmarks/sweep.py --vectors glove.txt [--corpus corpus] [--budget 900] [--seed 0] [--again]

Runs ``docsim sweep`` over all towers, from the default encoder, from scratch and from word vectors in any format. A
sweep that was killed goes on. Then indexes the documents with the default encoder, with what ``docsim train`` makes of
it, and with the sweep's best, and asks each the judged queries and pages, dense. Training and sweep read no judgements.
Writes benchmarks/results/sweep.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from machine import machine
from sts import docsim

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "sweep"
RESULTS = Path(__file__).parent / "results" / "sweep.json"


def leaderboard(given: argparse.Namespace, vectors: Path) -> dict[str, Any]:
    """The sweep's leaderboard, its starts by name instead of by place."""
    out = KEPT / "sweep"
    again = ("--resume",) if (out / "sweep.db").is_file() else ()
    limits = ("--budget", str(given.budget), "--seed", str(given.seed), "--from", f"default,scratch,{vectors}")
    found = docsim("sweep", "--corpus", str(given.corpus / "handbook"), "--out", str(out), *limits, *again)
    for trial in (*found["trials"], *found["failed"]):
        trial["start"] = Path(trial.get("start", trial["settings"].get("start", ""))).name
        trial["settings"].pop("start", None)
    return found


def judged(corpus: Path, encoder: tuple[str, ...]) -> dict[str, float]:
    """nDCG@10 of an encoder, for questions and for pages like a page."""
    index = KEPT / "index"
    shutil.rmtree(index, ignore_errors=True)
    docsim("index", str(corpus / "handbook"), "--index", str(index), *encoder)
    asked = {
        "questions": (str(corpus / "qrels.txt"), "--queries", str(corpus / "queries.jsonl")),
        "pages": (str(corpus / "related.qrels.txt"),),
    }
    found = {}
    for name, (qrels, *queries) in asked.items():
        told = docsim("eval", "--index", str(index), "--qrels", qrels, *queries, "--mode", "dense")
        found[name] = float(told["metrics"]["nDCG@10"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=ROOT / "corpus")
    parser.add_argument("--vectors", type=Path, required=True, help="word vectors, in any format")
    parser.add_argument("--budget", type=float, default=900, help="seconds for all trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="begin a new sweep")
    given = parser.parse_args()
    if given.again:
        shutil.rmtree(KEPT, ignore_errors=True)
    glove, trained = KEPT / "glove", KEPT / "trained"
    docsim("encoder", "from-vectors", str(given.vectors), "--out", str(glove), "--pooling", "sif")
    found = {"machine": machine({}), "budget": given.budget, **leaderboard(given, glove)}
    docsim("train", "--corpus", str(given.corpus / "handbook"), "--out", str(trained), "--seed", str(given.seed))
    made = {"docsim train": trained, "best of the sweep": KEPT / "sweep" / "best"}
    encoders = {"untrained": (), **{name: ("--encoder", str(path)) for name, path in made.items()}}
    found["judged"] = {name: judged(given.corpus, encoder) for name, encoder in encoders.items()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
