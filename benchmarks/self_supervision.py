"""What label-free training on a knowledge base gives: nDCG@10 untrained, trained, and of a large sentence encoder.

    python benchmarks/self_supervision.py --data DIR [--teacher DIR] [--seeds 0,1,2] [--sets tldr,peps]

Each set is trained on with ``docsim train``'s defaults, in a process of its own; no setting depends on the set, and
judgements are read only afterwards. Documents are scored as an index does, by passages and centroids, but all of them.
The teacher embeds whole documents, cut at 256 tokens; its embeddings are kept in .bench. Writes
benchmarks/results/self_supervision.json after each set; without --teacher, the teacher's figure in it is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from judged import Judged, load, ndcg_at_10
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.ingest.passages import inputs, split
from docsim.models import Document
from docsim.search.scoring import rank

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench" / "self_supervision"
RESULTS = Path(__file__).parent / "results" / "self_supervision.json"
SETS = "handbook18f,businesscentral,kubernetes,tldr,peps"
TEACHER = "all-MiniLM-L6-v2"
TEACHER_TOKENS = 256

Floats = NDArray[np.float32]


def documents(judged: Judged) -> list[Document]:
    return [Document(one["id"], one["text"], title=one.get("title", "")) for one in judged.documents]


def queries(judged: Judged) -> list[Document]:
    """Queries that are texts of their own."""
    return [Document(id, text) for id, text in judged.queries.items() if text is not None]


class Encodes(Protocol):
    """Whatever turns texts into unit rows."""

    def encode(self, texts: list[str], /) -> Floats: ...


def passages(encoder: Encodes, given: list[Document]) -> dict[str, Floats]:
    """Embeddings of each document's passages, by its id."""
    texts = {one.id: inputs(one, split(one.text)) for one in given}
    ends = np.cumsum([len(parts) for parts in texts.values()])
    rows = encoder.encode([text for parts in texts.values() for text in parts])
    return dict(zip(texts, np.split(rows, ends[:-1]), strict=True))


def score(judged: Judged, rows: dict[str, Floats], asked: dict[str, Floats]) -> float:
    ids, vectors = list(rows), list(rows.values())
    run = {}
    for query in judged.queries:
        ranked = rank(asked[query] if query in asked else rows[query], vectors)[:11]
        found = [ids[one.position] for one in ranked]
        run[query] = [id for id in found if not (judged.exclude_self and id == query)][:10]
    return ndcg_at_10(run, judged.qrels)


def of_encoder(judged: Judged, encoder: Encoder) -> float:
    asked = queries(judged)
    return score(judged, passages(encoder, documents(judged)), passages(encoder, asked) if asked else {})


def of_teacher(judged: Judged, path: Path) -> float:
    """Whole documents, title first, cut at 256 tokens."""
    given = documents(judged) + queries(judged)
    rows = teacher_embeddings(path, judged.name, [f"{one.title}\n{one.text}".strip() for one in given])
    each = [(one.id, rows[number : number + 1]) for number, one in enumerate(given)]
    count = len(judged.documents)  # a query may bear the id of a document
    return score(judged, dict(each[:count]), dict(each[count:]))


def teacher_embeddings(path: Path, name: str, texts: list[str]) -> Floats:
    from dataclasses import replace

    from docsim.training.distill.teacher import load_teacher

    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    file = KEPT / f"{path.name}-{name}-{digest}.npy"
    if not file.is_file():
        teacher = replace(load_teacher(path), max_tokens=TEACHER_TOKENS)
        KEPT.mkdir(parents=True, exist_ok=True)
        np.save(file, teacher.embed(texts))
    return np.asarray(np.load(file), dtype=np.float32)


def train(corpus: Path, out: Path, seed: int, *options: str) -> dict[str, float]:
    """Train in a process of its own; seconds are those after TensorFlow is imported, memory is the peak in MB."""
    command = [sys.executable, __file__, "--child", str(corpus), str(out), str(seed), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


def trained(folder: Path, seed: int = 0, *, teacher: Encoder | None = None) -> Encoder:
    """The default encoder after ``docsim train`` on a set without its labels, trained unless it is there."""
    out = place(folder.name, seed, teacher=teacher)
    if not (out / "manifest.json").is_file():
        train(folder / "corpus.jsonl.gz", out, seed, *(("--teacher", str(teacher.path)) if teacher else ()))
    return Encoder.load(out)


def place(name: str, seed: int, *, teacher: Encoder | None = None) -> Path:
    """Where an encoder is kept: by what it was trained from, and with."""
    kind = f"{recipe()}-{teacher.fingerprint[:12]}" if teacher else recipe()
    return KEPT / kind / f"{name}-{seed}"


@cache
def recipe() -> str:
    """A digest of what training starts from and of the code that trains."""
    digest = hashlib.sha256(Encoder.default().fingerprint.encode())
    for path in sorted((ROOT / "docsim" / "training").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def child(corpus: str, out: str, seed: str, *options: str) -> None:
    import tensorflow  # noqa: F401  # its import is not counted

    started, processor = time.perf_counter(), time.process_time()
    from click.testing import CliRunner

    from docsim.cli import main as docsim

    arguments = ["train", "--corpus", corpus, "--out", out, "--seed", seed, "--json", "--quiet", *options]
    result = CliRunner().invoke(docsim, arguments, catch_exceptions=False)
    if result.exit_code:
        sys.exit(result.output)
    facts = json.loads(result.stdout)
    told = {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - processor,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "probe_before": facts["probe"]["before"],
        "probe_after": facts["probe"]["after"],
        "steps": facts["steps"]["kept"],
    }
    print(json.dumps(told))


def measure(folder: Path, seeds: list[int], teacher: Path | None) -> dict[str, object]:
    judged = load(folder)
    runs = []
    for seed in seeds:
        out = place(folder.name, seed)
        facts = train(folder / "corpus.jsonl.gz", out, seed)
        runs.append({"seed": seed, "ndcg": of_encoder(judged, Encoder.load(out)), **facts})
        print(judged.name, json.dumps(runs[-1]), flush=True)
    trained = [float(run["ndcg"]) for run in runs]
    row: dict[str, object] = {
        "documents": len(judged.documents),
        "queries": len(judged.queries),
        "untrained": of_encoder(judged, Encoder.default()),
        "trained": statistics.mean(trained),
        "trained_least": min(trained),
        "runs": runs,
    }
    if teacher:
        row[TEACHER] = of_teacher(judged, teacher)
    print(judged.name, {name: value for name, value in row.items() if name != "runs"}, flush=True)
    return row


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, help=f"folder of {TEACHER}, to compare with")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["sets"] if RESULTS.is_file() else {}
    sets: dict[str, dict[str, object]] = dict(known)  # those that are not named stay
    for name in options.sets.split(","):
        row = measure(options.data / name, seeds, options.teacher)
        sets[name] = {**{other: known[name][other] for other in known.get(name, {}) if other not in row}, **row}
        result = {"encoder": Encoder.default().fingerprint, "sets": sets}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
