"""What a user waits for who opens a large index and asks once, beside the same of a small one.

    python benchmarks/opening.py --data DIR [--passages 1000000] [--work DIR] [--quick]

Both are whole indexes, with texts, full-text search and FAISS files: one of 2,000 documents and one of as many passages
as asked for. Documents are those of DIR/scale/win32/corpus.jsonl.gz; where they run out, they come again under other
ids, their embeddings with noise added (see scale.py). Timed are ``Index.open`` and one search in a process that has
imported docsim, and a whole ``docsim query`` process, in turn. Files stay in the page cache. Writes
benchmarks/results/opening.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scale import NOISE

from docsim import Index
from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.engine.records import Embedded, SourceName
from docsim.ingest import passages
from docsim.models import Document

RESULTS = Path(__file__).parent / "results" / "opening.json"
SMALL = 2_000
BATCH = 2_000
QUESTION = "how do I change the settings of a printer"
INSIDE = """
import json, sys, time
from docsim import Index
started = time.perf_counter()
with Index.open(sys.argv[1]) as index:
    opened = time.perf_counter()
    hits = index.search(sys.argv[2], 10, mode=sys.argv[3]).hits
print(json.dumps({"open_ms": 1000 * (opened - started), "first_ms": 1000 * (time.perf_counter() - opened)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="where the indexes are put; a temporary folder when not given")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="10,000 passages; write nothing")
    given = parser.parse_args()
    count = 10_000 if given.quick else given.passages
    corpus = given.data / "scale" / "win32" / "corpus.jsonl.gz"
    with tempfile.TemporaryDirectory(dir=given.work) as work:
        paths = {"small": Path(work) / "small", "large": Path(work) / "large"}
        made = {name: filled(paths[name], corpus, size) for name, size in (("small", SMALL), ("large", count))}
        found: dict[str, Any] = {"indexes": made}
        for mode in ("dense", "hybrid"):
            found[mode] = measured(paths, mode, given.rounds)
    print(json.dumps(found, indent=2))
    if not given.quick:
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


def filled(path: Path, corpus: Path, count: int) -> dict[str, Any]:
    """Make an index of at least so many passages; return what it holds."""
    encoder, started = Encoder.default(), time.perf_counter()
    with Index.create(path, encoder=encoder) as index:
        with index.engine.writer(wait=False) as writer:
            with writer.transaction():
                source = writer.open_source(None, SourceName("python", "/", "x"))
            for batch in embedded(corpus, encoder, count):
                with writer.transaction():
                    for one in batch:
                        number = writer.put(one, number=None)
                        writer.link(source, one.document.id, document_number=number, digest="")
            writer.optimize()
        held = index.counts()
    return {"passages": held.passages, "documents": held.documents, "made_s": round(time.perf_counter() - started)}


def embedded(corpus: Path, encoder: Encoder, count: int) -> Iterator[list[Embedded]]:
    """Yield documents with their embeddings until there are so many passages."""
    kept: list[list[Embedded]] = []
    for batch in read(corpus, encoder):
        kept.append(batch)
        yield batch
        count -= sum(len(one.passages) for one in batch)
        if count <= 0:
            return
    random = np.random.default_rng(0)
    for copy in range(1, 1_000):
        for batch in kept:
            yield [again(one, copy, random) for one in batch]
            count -= sum(len(one.passages) for one in batch)
            if count <= 0:
                return


def read(corpus: Path, encoder: Encoder) -> Iterator[list[Embedded]]:
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for start in range(0, len(records), BATCH):
        some = [Document(one["id"], one["text"], one.get("title", "")) for one in records[start : start + BATCH]]
        vectors = encode_documents(encoder, some)
        pairs = zip(some, vectors, strict=True)
        yield [Embedded(one, tuple(passages.split(one.text)), rows.astype(np.float16)) for one, rows in pairs]


def again(one: Embedded, copy: int, random: np.random.Generator) -> Embedded:
    noise = random.normal(size=one.vectors.shape).astype(np.float32)
    rows = one.vectors.astype(np.float32) + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    document = Document(f"{copy}/{one.document.id}", one.document.text, one.document.title)
    return Embedded(document, one.passages, rows.astype(np.float16))


def measured(paths: dict[str, Path], mode: str, rounds: int) -> dict[str, Any]:
    """Return the medians of each index, and how many times those of the small one the large one's are."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in paths}
    for _ in range(rounds + 1):
        for name, path in paths.items():
            runs[name].append(inside(path, mode) | {"process_ms": process(path, mode)})
    facts = {name: {key: median(each[1:], key) for key in each[0]} for name, each in runs.items()}
    small, large = facts["small"], facts["large"]
    together = (large["open_ms"] + large["first_ms"]) / (small["open_ms"] + small["first_ms"])
    whole = large["process_ms"] / small["process_ms"]
    return facts | {"open_and_first_ratio": round(together, 2), "process_ratio": round(whole, 2)}


def inside(path: Path, mode: str) -> dict[str, float]:
    command = [sys.executable, "-c", INSIDE, str(path), QUESTION, mode]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def process(path: Path, mode: str) -> float:
    docsim = Path(sys.executable).with_name("docsim")
    command = [str(docsim), "query", QUESTION, "--index", str(path), "--mode", mode]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return 1000 * (time.perf_counter() - started)


def median(rows: list[dict[str, float]], key: str) -> float:
    return round(statistics.median(row[key] for row in rows), 2)


if __name__ == "__main__":
    main()
