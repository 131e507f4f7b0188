"""A million passages and more: recall, throughput, memory and opening, exact and approximate.

    python benchmarks/scale.py --data DIR [--passages 1000000] [--work DIR] [--quick]

Embeddings are real where texts last: those of DIR/scale/win32/corpus.jsonl.gz by the default encoder. Beyond, they are
drawn from these again with noise (a random vector of norm 0.4 is added to each, then all are brought to norm 1).
Queries are the first 100 characters of its documents. Vectors alone are measured, not SQLite: one snapshot of 2,000
passages and one of them all, each opened in a process of its own. Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann, ann_files, ann_tuning
from docsim.engine.local.ann_files import ApproximateFacts
from docsim.engine.local.vectors import VectorIndex
from docsim.ingest import passages
from docsim.models import Document

RESULTS = Path(__file__).parent / "results" / "scale.json"
NOISE = 0.4
SMALL = 2_000
QUERIES = 400
K = 10
CHUNK = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--type", default="ivf", help="index type, as docsim index has it")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--work", type=Path, help="where FAISS files are put; a temporary folder when not given")
    parser.add_argument("--quick", action="store_true", help="20,000 passages; write nothing")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        print(json.dumps(opened(given.open)))
        return
    count = 20_000 if given.quick else given.passages
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        found = measured(given, Path(work), count)
    print(json.dumps(found, indent=2))
    if not given.quick:
        results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        RESULTS.write_text(json.dumps(results | {f"{given.type}, {count}": found}, indent=2) + "\n")


def measured(given: argparse.Namespace, work: Path, count: int) -> dict[str, Any]:
    base, queries = real(given.data / "scale" / "win32" / "corpus.jsonl.gz", count)
    np.save(work / "queries.npy", queries)
    started = time.perf_counter()
    write(work / "small", base, min(SMALL, count))
    write(work / "large", base, count)
    written = time.perf_counter() - started
    built = accelerate(work / "large", queries, given)
    cpu = [each for _ in range(5) for each in (process(work / "small"), process(work / "large"))]
    small, large = cpu[0::2], cpu[1::2]
    raw = count * base.shape[1] * 2
    return {
        "passages": count,
        "real": min(count, len(base)),
        "dim": base.shape[1],
        "write_s": round(written, 1),
        **built,
        "build_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        "open_and_query_ms": {"small": median(small, "open_ms"), "large": median(large, "open_ms")},
        "open_ratio": round(median(large, "open_ms") / median(small, "open_ms"), 2),
        "exact_ms": median(large, "exact_ms"),
        "approximate_ms": median(large, "approximate_ms"),
        "speed_up": round(median(large, "exact_ms") / median(large, "approximate_ms"), 1),
        "recall_at_10": median(large, "recall"),
        "resident_mb": median(large, "resident_mb"),
        "raw_fp16_mb": raw // 1_000_000,
        "resident_share": round(median(large, "resident_mb") * 1e6 / raw, 2),
    }


def real(corpus: Path, count: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Return the embeddings of passages, and of queries."""
    encoder, inputs, questions = Encoder.default(), list[str](), list[str]()
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            document = Document(record["id"], record["text"], record.get("title", ""))
            inputs += passages.inputs(document, passages.split(document.text))
            questions.append(document.text[:100])
            if len(inputs) >= count:
                break
    chosen = np.random.default_rng(0).choice(len(questions), min(QUERIES, len(questions)), replace=False)
    parts = [encoder.encode(inputs[at : at + CHUNK]).astype(np.float16) for at in range(0, len(inputs), CHUNK)]
    return np.concatenate(parts)[:count], encoder.encode([questions[i] for i in chosen])


def write(folder: Path, base: NDArray[np.float16], count: int) -> None:
    """Write a snapshot of real embeddings, and of noisy ones beyond."""
    folder.mkdir()
    random, vectors = np.random.default_rng(1), VectorIndex(base.shape[1])
    for start in range(0, count, CHUNK):
        stop = min(count, start + CHUNK)
        rows = base[start:stop].astype(np.float32)
        if len(rows) < stop - start:
            more = base[random.integers(0, len(base), stop - start - len(rows))].astype(np.float32)
            noise = random.normal(size=more.shape).astype(np.float32)
            more += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
            rows = np.concatenate([rows, more / np.linalg.norm(more, axis=1, keepdims=True)])
        vectors = vectors.with_added(np.arange(start + 1, stop + 1), rows.astype(np.float16))
    digest = vectors.save(folder / "index.faiss")
    (folder / "digest").write_text(f"{digest} {base.shape[1]}")


def accelerate(folder: Path, queries: NDArray[np.float32], given: argparse.Namespace) -> dict[str, Any]:
    vectors = load(folder)
    factory = ann.factory(given.type, count=len(vectors), dim=vectors.dim)
    started = time.perf_counter()
    made = ann.build(factory, vectors.segments[0].rows)
    built = time.perf_counter() - started
    half = len(queries) // 2  # the other half is what recall is measured with
    found, recall = ann_tuning.tuned(vectors, made, queries[:half], target=given.recall)
    facts = ApproximateFacts("scale", given.type, factory, given.recall, recall, len(vectors), found.breadth)
    ann_files.save(folder, made, facts)
    tuned = time.perf_counter() - started - built
    size = sum(path.stat().st_size for path in folder.glob("approximate.*")) // 1_000_000
    return {
        "factory": factory,
        "breadth": found.breadth,
        "build_s": round(built),
        "tune_s": round(tuned),
        "codes_mb": size,
    }


def load(folder: Path) -> VectorIndex:
    digest, dim = (folder / "digest").read_text().split()
    vectors = VectorIndex.load(folder / "index.faiss", digest=digest, dim=int(dim))
    return vectors.with_approximate(ann_files.load(folder, "scale"))


def process(folder: Path) -> dict[str, float]:
    """Open a snapshot in another process and measure there."""
    command = [sys.executable, __file__, "--data", ".", "--open", str(folder)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def opened(folder: Path) -> dict[str, float]:
    """Return what is measured of a snapshot, one query at a time."""
    queries = np.load(folder.parent / "queries.npy")
    queries = queries[len(queries) // 2 :]
    before = resident()
    started = time.perf_counter()
    vectors = load(folder)
    vectors.search(queries[:1], 100)
    open_ms = (time.perf_counter() - started) * 1000
    times, found = each(vectors, queries)
    after = resident()
    exact_times, exact = each(vectors.with_approximate(None), queries)
    enough = np.array([one[: len(two)] >= two[-1] - 1e-5 for one, two in zip(found, exact, strict=True)])
    return {
        "open_ms": open_ms,
        "approximate_ms": times,
        "exact_ms": exact_times,
        "recall": float(enough.mean()),
        "resident_mb": (after - before) / 1e6,
    }


def each(vectors: VectorIndex, queries: NDArray[np.float32]) -> tuple[float, list[NDArray[np.float32]]]:
    """Return the median milliseconds of a query, and the similarities found."""
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(vectors.search(query[None], K).similarities[0])
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times)), found


def resident() -> int:
    """Return the bytes of memory that this process holds, mapped files among them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def median(rows: list[dict[str, float]], name: str) -> float:
    return round(float(np.median([row[name] for row in rows])), 3)


if __name__ == "__main__":
    main()
