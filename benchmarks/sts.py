"""What each tower learns from scored pairs: Spearman's correlation on STSb dev after training on STSb train.

    python benchmarks/sts.py --data DIR --vectors glove.txt [--seeds 0] [--towers average,lstm] [--again]

Every tower is trained with ``docsim train --pairs``'s defaults, once from word vectors in GloVe's format and once from
the default encoder. Training holds out a tenth of the training pairs to know when to stop; the dev pairs are read only
afterwards. DIR has the layout of the judged sets; its ``sts`` folder holds ``stsb_train.tsv`` and ``stsb_dev.tsv``.
Writes benchmarks/results/sts.json after each training; what is there for the same start is not trained again.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from docsim.encoding.encoder import Encoder

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "sts"
RESULTS = Path(__file__).parent / "results" / "sts.json"
TOWERS = "average,lstm,transformer"
SCALE = ("0", "5")


def docsim(*arguments: str) -> dict[str, Any]:
    """The JSON that a command prints; it runs in a process of its own."""
    command = [sys.executable, "-c", "from docsim.cli import main; main()", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout))


def spearman(encoder: Path, pairs: Path) -> float:
    found = docsim("eval-pairs", str(encoder), str(pairs), "--score-range", *SCALE)
    return float(found["spearman"])


def trained(start: Path, tower: str, data: Path, *, seed: int) -> dict[str, Any]:
    """One training: how it went, and what it gives on the dev pairs."""
    out = KEPT / f"{start.name}-{tower}-{seed}"
    pairs = ("--pairs", str(data / "stsb_train.tsv"), "--score-range", *SCALE)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = docsim("train", *pairs, "--from", str(start), "--tower", tower, "--seed", str(seed), "--out", str(out))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seed": seed,
        "spearman": spearman(out, data / "stsb_dev.tsv"),
        "probe_before": facts["probe"]["before"],
        "probe_after": facts["probe"]["after"],
        "steps": facts["steps"]["kept"],
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }


def described(path: Path, *, kind: str, vectors: Path | None = None) -> dict[str, Any]:
    encoder = Encoder.load(path)
    facts: dict[str, Any] = {"kind": kind, "fingerprint": encoder.fingerprint, "dim": encoder.dim}
    if vectors:
        facts |= {"file": vectors.name, "words": sum(1 for _ in vectors.open(encoding="utf-8"))}
    return facts


def kept_results(starts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Earlier results, without those of starts that are others now."""
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"starts": {}, "towers": {}}
    same = {name for name, facts in starts.items() if found["starts"].get(name) == facts}
    towers = {name: row for name, row in found["towers"].items() if row["start"] in same}
    return {"starts": starts, "untrained": {}, "towers": towers}


def given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--vectors", type=Path, required=True, help="word vectors in GloVe's text format")
    parser.add_argument("--towers", default=TOWERS)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--again", action="store_true", help="train anew what has results already")
    return parser.parse_args()


def main() -> None:
    options = given()
    data, seeds = options.data / "sts", [int(seed) for seed in options.seeds.split(",")]
    word_vectors = KEPT / "glove"
    docsim("encoder", "from-vectors", str(options.vectors), "--out", str(word_vectors))
    paths = {"glove": word_vectors, "default": Encoder.default().path}
    starts = {
        "glove": described(word_vectors, kind="word vectors", vectors=options.vectors),
        "default": described(paths["default"], kind="the default encoder"),
    }
    result = kept_results(starts)
    result["untrained"] = {name: spearman(path, data / "stsb_dev.tsv") for name, path in paths.items()}
    for start, path in paths.items():
        for tower in options.towers.split(","):
            name = f"{tower} from {start}"
            known = (
                {} if options.again else {run["seed"]: run for run in result["towers"].get(name, {}).get("runs", [])}
            )
            runs = [known.get(seed) or trained(path, tower, data, seed=seed) for seed in seeds]
            found = statistics.mean(run["spearman"] for run in runs)
            result["towers"][name] = {"tower": tower, "start": start, "spearman": found, "runs": runs}
            print(name, json.dumps(result["towers"][name]), flush=True)
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
