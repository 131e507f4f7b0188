"""What docsim does in ``speed.py`` beyond its command line: warm queries, and encoding alone.

Prints one line of JSON with what it measured, in seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from speed_samples import documents, queries

from docsim.encoding.encoder import Encoder
from docsim.index import Index

HITS = 10
SINGLE_TEXTS = 500


def warm(path: Path, corpus: Path, *, count: int, rounds: int) -> dict[str, Any]:
    """Ask an open index, and a bare encoder with an exact FAISS index over the same vectors, the same queries."""
    texts = queries(corpus, count)
    with Index.open(path) as index:
        encoder, rows = index.encoder, stored_vectors(index)
        flat, half = bare_indexes(rows)
        contenders: dict[str, Callable[[str], object]] = {
            "docsim": lambda text: index.search(text, HITS),
            "docsim_dense": lambda text: index.search(text, HITS, mode="dense"),
            "bare_float32": lambda text: flat.search(encoder.encode([text]), HITS),
            "bare_float16": lambda text: half.search(encoder.encode([text]), HITS),
            "encode_only": lambda text: encoder.encode([text]),
        }
        for ask in contenders.values():
            timed(ask, texts[:50])
        seconds = {name: [timed(ask, texts)] for name, ask in contenders.items()}
        for _ in range(rounds - 1):
            for name, ask in contenders.items():
                seconds[name].append(timed(ask, texts))
    return {
        "queries": len(texts),
        "passages": len(rows),
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "seconds": {name: percentiles(each) for name, each in seconds.items()},
    }


def stored_vectors(index: Index) -> NDArray[np.float32]:
    """Return all embeddings of an index's live generation, ``float32 (passages, dim)``."""
    with index.engine.snapshot() as snapshot:
        return np.concatenate(snapshot.embeddings(snapshot.embedded())).astype(np.float32)


def bare_indexes(rows: NDArray[np.float32]) -> tuple[faiss.Index, faiss.Index]:
    """Return exact inner-product indexes over ``float32 (n, dim)``: one of float32, and one of float16."""
    dim = rows.shape[1]
    flat = faiss.IndexFlatIP(dim)
    half = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for each in (flat, half):
        each.add(rows)
    return flat, half


def timed(ask: Callable[[str], object], texts: Sequence[str]) -> list[float]:
    """Return the seconds that each text took."""
    seconds = []
    for text in texts:
        started = time.perf_counter()
        ask(text)
        seconds.append(time.perf_counter() - started)
    return seconds


def percentiles(rounds: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Return the 50th and the 99th percentile of each round."""
    return {f"p{p}": [float(np.percentile(one, p)) for one in rounds] for p in (50, 99)}


def encode_both(encoder: Encoder, corpus: Path) -> dict[str, Any]:
    """Encode documents in one call, and short texts one at a time, in an encoder that has encoded before."""
    texts = documents(corpus)
    encoder.encode(texts[:100])
    started = time.perf_counter()
    encoder.encode(texts)
    batch = time.perf_counter() - started
    each = timed(lambda text: encoder.encode([text]), queries(corpus, SINGLE_TEXTS))
    return {"batch_s": batch, "documents": len(texts), "single_s": each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("warm", "encode-both"))
    parser.add_argument("index", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.job == "warm":
        print(json.dumps(warm(given.index, given.corpus, count=given.queries, rounds=given.rounds)))
    else:
        with Index.open(given.index) as index:
            encoder = index.encoder
        print(json.dumps(encode_both(encoder, given.corpus)))


if __name__ == "__main__":
    main()
