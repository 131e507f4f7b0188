"""What a teacher brings to label-free training: nDCG@10 without it and with it, by how long documents are.

    python benchmarks/teaching.py --data DIR --teacher ENCODER [--seed 0] [--sets tldr,handbook18f]

``ENCODER`` is a docsim encoder, such as ``docsim encoder import`` makes of all-MiniLM-L6-v2. The training without it is
that of benchmarks/self_supervision.py; what is in .bench is not trained again. ``docsim train --teacher`` asks the
teacher where half of the documents have at most 512 tokens. Writes benchmarks/results/teaching.json after each set.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from judged import KNOWLEDGE_BASES, OTHERS, Judged, load
from self_supervision import KEPT, of_encoder, place, trained

from docsim.encoding.encoder import Encoder

if TYPE_CHECKING:
    from docsim.training.loop.config import TrainingConfig
    from docsim.training.loop.trainer import TrainingJob
    from docsim.training.towers.starting_point import StartingPoint

RESULTS = Path(__file__).parent / "results" / "teaching.json"


def taught(corpus: Path, teacher: Encoder, out: Path, seed: int) -> dict[str, float]:
    """Train with the teacher; seconds that it took to ask, and to train."""
    from docsim.models import TrainingOptions
    from docsim.training.loop.defaults import training_config
    from docsim.training.loop.trained_encoder import save_trained_encoder
    from docsim.training.loop.trainer import Trainer
    from docsim.training.towers.starting_point import make_starting_point

    facts = out.with_name(f"{out.name}.json")
    if not facts.is_file():
        began = time.perf_counter()
        plan, origin = training_config(TrainingOptions(seed=seed)), make_starting_point("default", seed=seed)
        job = job_of(corpus, origin, teacher, plan)
        asked = time.perf_counter() - began
        outcome = Trainer(job, plan.schedule).run()
        save_trained_encoder(origin, job, outcome, out=out, name=out.name, seed=seed)
        told = {"seconds_asking": asked, "seconds_training": time.perf_counter() - began - asked}
        facts.write_text(json.dumps(told), encoding="utf-8")
    return dict(json.loads(facts.read_text(encoding="utf-8")))


def job_of(corpus: Path, origin: StartingPoint, teacher: Encoder, plan: TrainingConfig) -> TrainingJob:
    """What ``docsim train --teacher --teacher-weight 1`` does."""
    from docsim.training.data.document_sources import documents_of_corpus
    from docsim.training.loop.config import TeacherConfig
    from docsim.training.loop.preparation import job_from_documents

    config = TeacherConfig(teacher, KEPT / "teacher", weight=1.0)
    return job_from_documents(origin, documents_of_corpus(str(corpus), seed=plan.seed), plan, teacher=config)


def median_tokens(judged: Judged) -> float:
    """Tokens of half of the documents, as the default encoder counts them."""
    encoder = Encoder.default()
    return float(np.median([len(encoder.tokens(one["text"])) for one in judged.documents]))


def measure(folder: Path, teacher: Encoder, seed: int) -> dict[str, object]:
    judged, out = load(folder), place(f"{folder.name}-always", seed, teacher=teacher)
    facts = taught(folder / "corpus.jsonl.gz", teacher, out, seed)
    encoders = {"without": trained(folder, seed), "with": Encoder.load(out)}
    return {
        "seed": seed,
        "median_tokens": median_tokens(judged),
        "ndcg": {name: of_encoder(judged, encoder) for name, encoder in encoders.items()},
        "probe": {name: encoder.manifest["lineage"]["metrics"]["probe_after"] for name, encoder in encoders.items()},
        **facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, required=True, help="a docsim encoder to learn from")
    parser.add_argument("--sets", default=",".join((*KNOWLEDGE_BASES, *OTHERS)))
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
