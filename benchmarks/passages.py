"""Which passages, which context and which document score are best: nDCG@10 on the judged sets, by exact search.

    python benchmarks/passages.py --data ../shared/data/dev [--encoder DIR] [--sets handbook18f,tldr]

Writes benchmarks/results/passages.json. Every passage of every document is scored, so nothing here depends on how
candidates are found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from judged import KNOWLEDGE_BASES, OTHERS, Judged, load, ndcg_at_10
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.ingest.passages import split
from docsim.models import Passage

RESULTS = Path(__file__).parent / "results" / "passages.json"
WHOLE = 10**9
# (characters, overlap, what is embedded with the passage)
SETTINGS = (
    (WHOLE, 0, "text"),
    (WHOLE, 0, "title"),
    (1200, 120, "title"),
    (900, 90, "text"),
    (900, 90, "title"),
    (900, 90, "title+headings"),
    (900, 0, "title"),
    (600, 60, "title"),
)
BLENDS = (0.25, 0.5, 0.75)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """The similarities of a query's passages to all passages, and where each document's passages start."""

    similarities: Floats
    starts: NDArray[np.int64]
    centroids: Floats


def best(s: Scored) -> Floats:
    found: Floats = np.maximum.reduceat(s.similarities.max(axis=0), s.starts)
    return found


def mean_of_best(s: Scored) -> Floats:
    found: Floats = np.maximum.reduceat(s.similarities, s.starts, axis=1).mean(axis=0)
    return found


def both_ways(s: Scored) -> Floats:
    counts = np.diff(np.append(s.starts, s.similarities.shape[1]))
    other = np.add.reduceat(s.similarities.max(axis=0), s.starts) / counts
    return ((mean_of_best(s) + other) / 2).astype(np.float32)


def top3(s: Scored) -> Floats:
    ends = np.append(s.starts[1:], s.similarities.shape[1])
    each = s.similarities.max(axis=0)
    return np.array([np.sort(each[a:b])[-3:].mean() for a, b in zip(s.starts, ends, strict=True)], np.float32)


def centroid(s: Scored) -> Floats:
    return s.centroids


def blend(first: Callable[[Scored], Floats], share: float) -> Callable[[Scored], Floats]:
    return lambda s: (1 - share) * first(s) + share * s.centroids


SCORES: dict[str, Callable[[Scored], Floats]] = {
    "best": best,
    "mean of best": mean_of_best,
    "best both ways": both_ways,
    "mean of top 3": top3,
    "centroid": centroid,
    **{f"best + {x} centroid": blend(best, x) for x in BLENDS},
    **{f"mean of best + {x} centroid": blend(mean_of_best, x) for x in BLENDS},
    **{f"both ways + {x} centroid": blend(both_ways, x) for x in BLENDS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--sets", default=",".join((*KNOWLEDGE_BASES[:5], *OTHERS)))
    options = parser.parse_args()
    encoder = Encoder.load(options.encoder) if options.encoder else Encoder.default()
    rows = []
    for name in options.sets.split(","):
        judged = load(options.data / name)
        for row in measure(judged, encoder):
            rows.append(row)
            print(json.dumps(row), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"encoder": encoder.fingerprint, "rows": rows}, indent=1) + "\n")


def measure(judged: Judged, encoder: Encoder) -> Iterable[dict[str, object]]:
    for target, overlap, context in SETTINGS:
        started = time.perf_counter()
        scores = evaluate(judged, encoder, cut=(target, overlap), context=context)
        yield {
            "set": judged.name,
            "target": 0 if target == WHOLE else target,
            "overlap": overlap,
            "context": context,
            "seconds": round(time.perf_counter() - started, 1),
            **{name: round(value, 4) for name, value in scores.items()},
        }


def evaluate(judged: Judged, encoder: Encoder, *, cut: tuple[int, int], context: str) -> dict[str, float]:
    spans = [cut_up(document["text"], cut) for document in judged.documents]
    texts = [text for d, ps in zip(judged.documents, spans, strict=True) for text in composed(d, ps, context)]
    vectors = encoder.encode(texts)
    counts = np.array([len(ps) for ps in spans])
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    centroids = unit(np.add.reduceat(vectors, starts, axis=0))
    numbers = {document["id"]: i for i, document in enumerate(judged.documents)}
    ids = np.array(list(numbers))
    runs: dict[str, dict[str, list[str]]] = {name: {} for name in SCORES}
    for query, text in judged.queries.items():
        if text is None:
            own = numbers[query]
            asked = vectors[starts[own] : starts[own] + counts[own]]
        else:
            asked = encoder.encode([text[p.start : p.end] for p in cut_up(text, cut)])
        scored = Scored(asked @ vectors.T, starts, centroids @ unit(asked.sum(axis=0, keepdims=True))[0])
        for name, score in SCORES.items():
            order = ids[np.argsort(-score(scored), kind="stable")[:11]]
            runs[name][query] = [id for id in order if not (judged.exclude_self and id == query)][:10]
    return {name: ndcg_at_10(run, judged.qrels) for name, run in runs.items()}


def cut_up(text: str, cut: tuple[int, int]) -> list[Passage]:
    return split(text, target=cut[0], overlap=cut[1])


def composed(document: dict[str, str], spans: list[Passage], context: str) -> Iterable[str]:
    title = document.get("title", "") if context != "text" else ""
    for span in spans:
        heading = span.heading if context == "title+headings" else ""
        yield "\n".join(part for part in (title, heading, document["text"][span.start : span.end]) if part)


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


if __name__ == "__main__":
    main()
