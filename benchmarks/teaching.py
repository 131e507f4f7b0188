"""What a teacher brings to label-free training: nDCG@10 without it, with it, and of what the probe chooses.

    python benchmarks/teaching.py --data DIR --teacher ENCODER [--seed 0] [--sets tldr,handbook18f]

``ENCODER`` is a docsim encoder, such as ``docsim encoder import`` makes of all-MiniLM-L6-v2. The training without it is
that of benchmarks/self_supervision.py, done when it is not there. ``docsim train --teacher`` does both and keeps
what the probe finds better. Writes benchmarks/results/teaching.json after each set.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from judged import load
from self_supervision import KEPT, SETS, of_encoder, train

from docsim.encoder import Encoder, read_manifest

RESULTS = Path(__file__).parent / "results" / "teaching.json"


def taught(corpus: Path, teacher: Encoder, out: Path, seed: int) -> dict[str, float]:
    """Train with the teacher; seconds that it took to ask, and to train."""
    from docsim.training.learning import Plan, Teaching, from_documents, saved
    from docsim.training.material import documents_of_corpus
    from docsim.training.starts import start
    from docsim.training.trainer import Trainer

    began = time.perf_counter()
    plan, origin = Plan(seed=seed), start("default", seed=seed)
    teaching = Teaching(teacher, KEPT / "teacher")
    job = from_documents(origin, documents_of_corpus(str(corpus), seed=seed), plan, teaching=teaching)
    asked = time.perf_counter() - began
    outcome = Trainer(job, plan.schedule).run()
    saved(origin, job, outcome, plan, out=out, name=out.name)
    return {"seconds_asking": asked, "seconds_training": time.perf_counter() - began - asked}


def probe(encoder: Encoder) -> float:
    return float(read_manifest(encoder.path)["lineage"]["metrics"]["probe_after"])


def measure(folder: Path, teacher: Encoder, seed: int) -> dict[str, object]:
    judged, corpus = load(folder), folder / "corpus.jsonl.gz"
    places = {"without": KEPT / f"{judged.name}-{seed}", "with": KEPT / f"{judged.name}-{seed}-taught"}
    if not places["without"].is_dir():
        train(corpus, places["without"], seed)
    facts = taught(corpus, teacher, places["with"], seed)
    encoders = {name: Encoder.load(place) for name, place in places.items()}
    probes = {name: probe(encoder) for name, encoder in encoders.items()}
    found = {name: of_encoder(judged, encoder) for name, encoder in encoders.items()}
    chosen = "with" if probes["with"] > probes["without"] else "without"
    return {"seed": seed, "ndcg": found, "probe": probes, "chosen": chosen, **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, required=True, help="a docsim encoder to learn from")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    teacher = Encoder.load(options.teacher)
    result = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"sets": {}}
    for name in options.sets.split(","):
        result["sets"][name] = measure(options.data / name, teacher, options.seed)
        result |= {"encoder": Encoder.default().fingerprint, "teacher": teacher.name}
        print(name, json.dumps(result["sets"][name]), flush=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
