"""Does the gate say the same as people? Its verdict on many trainings, beside the change of nDCG@10 on judged queries.

    python benchmarks/gate_calibration.py --data DIR [--sets sample,medline] [--seeds 0,1] [--strengths default,free]

Each set is indexed with the default encoder and trained on, as ``docsim adapt`` does, with several seeds and strengths:

    short      the default training, ended after 20 steps
    default    the default training
    free       the lengths of token vectors are trained too, with the settings that go with it
    wild       ``free`` at ten times its learning rate, which is meant to harm

``sample`` and ``sample_pages`` are the sample handbook of this repository; all other sets are folders of DIR. Judged
queries are asked only after the gate has decided, in hybrid mode, as users ask. A training that is in
benchmarks/results/gate_calibration.json already is not repeated, unless it is deleted from there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from judged import load

from docsim.encoding.encoder import Encoder
from docsim.evaluation import judgements
from docsim.index import Index
from docsim.models import Document, TrainingOptions
from docsim.reindex import gate, questions
from docsim.reindex.examination import GateOptions
from docsim.reindex.gate import METRIC
from docsim.reindex.reindexing import reindex

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "gate_calibration.json"
SETS = "sample,sample_pages,sumo_firefox,medline,cranfield,cacm,scifact,handbook18f,kubernetes,tldr"
STRENGTHS = ("short", "default", "free", "wild")


@dataclass(frozen=True)
class Corpus:
    """A corpus and its judged queries; without texts, queries are documents."""

    documents: list[Document]
    qrels: dict[str, dict[str, int]]
    texts: dict[str, str] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--strengths", default=",".join(STRENGTHS))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text())["trainings"] if RESULTS.is_file() else []
    done = {(row["set"], row["strength"], row["seed"]) for row in rows}
    for name in options.sets.split(","):
        corpus = read(name, options.data)
        for seed in map(int, options.seeds.split(",")):
            for strength in options.strengths.split(","):
                if (name, strength, seed) not in done:
                    rows.append({"set": name, "strength": strength, "seed": seed, **measured(corpus, strength, seed)})
                    print(json.dumps(rows[-1]), flush=True)
                    RESULTS.write_text(json.dumps({"agreement": agreement(rows), "trainings": rows}, indent=1) + "\n")
    print(json.dumps(agreement(rows), indent=1))


def read(name: str, data: Path) -> Corpus:
    if name.startswith("sample"):
        from docsim.training.data.document_sources import documents_of_corpus

        corpus = ROOT / "corpus"
        documents = list(documents_of_corpus(str(corpus / "handbook")))
        if name == "sample_pages":
            return Corpus(documents, dict(judgements.read_qrels(corpus / "related.qrels.txt")), None)
        texts = dict(judgements.read_queries(corpus / "queries.jsonl"))
        return Corpus(documents, dict(judgements.read_qrels(corpus / "qrels.txt")), texts)
    judged = load(data / name)
    documents = [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]
    texts = {id: text for id, text in judged.queries.items() if text is not None}
    return Corpus(documents, judged.qrels, texts or None)


def measured(corpus: Corpus, strength: str, seed: int) -> dict[str, Any]:
    """Train, let the gate decide, and ask the judged queries of both generations."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        with Index.create(path / "index", encoder=Encoder.default()) as index:
            index.sync(corpus.documents)
            encoder, steps = train(corpus.documents, path / "encoder", strength, seed)
            done = reindex(index, encoder, gate=GateOptions(publish_anyway=True, report=path / "report"))
            if done.gate is None or done.gate.verdict.quality is None:
                return {"steps": steps, "published": False}
            verdict, quality = done.gate.verdict, done.gate.verdict.quality
            asked = questions.judged(index, corpus.qrels, corpus.texts)
            with index.at(done.previous) as old, index.at(done.generation) as new:
                judged = gate.quality(old, new, asked)
    assert judged is not None
    one = judged.differences[METRIC].difference
    return {
        "steps": steps,
        "published": verdict.passed,
        **{kind: round(found.differences[METRIC].difference.value, 4) for kind, found in quality.kinds.items()},
        "judged": round(one.value, 4),
        "low": round(one.low, 4),
        "high": round(one.high, 4),
    }


def train(documents: list[Document], out: Path, strength: str, seed: int) -> tuple[Encoder, int]:
    """Return the trained encoder, and the step whose weights were kept."""
    from docsim.training.loop.defaults import training_config
    from docsim.training.loop.preparation import training_job
    from docsim.training.loop.trained_encoder import save_trained_encoder
    from docsim.training.loop.trainer import Trainer
    from docsim.training.towers.starting_point import make_starting_point

    free = TrainingOptions(seed=seed, temperature=0.07, learning_rate=0.2 if strength == "wild" else 0.02)
    given = {"short": TrainingOptions(seed=seed, steps=20), "default": TrainingOptions(seed=seed)}.get(strength, free)
    config = training_config(given)
    if given is free:
        config = replace(config, keep_lengths=False)
    start = make_starting_point("default", seed=seed)
    job = training_job(start, documents, config)
    result = Trainer(job, config.schedule).run()
    encoder = save_trained_encoder(start, job, result, out=out, name=f"{strength}-{seed}", seed=seed)
    return encoder, result.best.step


def agreement(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count how often the verdict and the judgements agree.

    A training harms when judged nDCG@10 falls by more than the gate allows. Judgements decide where their interval does
    not reach across that limit.
    """
    limit = -GateOptions().max_loss
    known = [row for row in rows if "judged" in row]
    decided = [row for row in known if row["low"] >= limit or row["high"] < limit]
    agreeing = [row for row in known if row["published"] == (row["judged"] >= limit)]
    return {
        "trainings": len(known),
        "agreeing": len(agreeing),
        "decided": len(decided),
        "agreeing where decided": sum(row in agreeing for row in decided),
        "published though it harms, decided": [
            f"{row['set']} {row['strength']} {row['seed']}"
            for row in decided
            if row["published"] and row["high"] < limit
        ],
    }


if __name__ == "__main__":
    main()
