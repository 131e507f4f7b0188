"""BM25 and a large encoder, fused as docsim's hybrid mode fuses, and smoothed as it does.

    python benchmarks/hybrid_beside.py --data DIR --encoder DIR [--sets A,B]

What docsim has to beat: bm25s and an encoder such as ``docsim encoder import`` makes of all-MiniLM-L6-v2, one embedding
for each document, of the first 256 tokens. ``sum`` adds up z-scores over the 100 best of either; ``smoothed`` draws the
sums of queries of one passage towards those of similar candidates. Embeddings are kept in .bench/hybrid/beside. Writes
benchmarks/results/hybrid_beside.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from judged import KNOWLEDGE_BASES, OTHERS, Judged, load
from numpy.typing import NDArray
from quality import Scores, by_bm25, fused, ndcg, whole_embeddings, whole_texts

from docsim.encoding.encoder import Encoder
from docsim.ingest import passages
from docsim.search import smoothing

KEPT = Path(__file__).parents[1] / ".bench" / "hybrid" / "beside"
RESULTS = Path(__file__).parent / "results" / "hybrid_beside.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--sets", default=",".join((*KNOWLEDGE_BASES, *OTHERS)))
    given = parser.parse_args()
    encoder = Encoder.load(given.encoder)
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in given.sets.split(","):
        found[name] = measured(load(given.data / name), encoder)
        print(name, json.dumps(found[name]), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(judged: Judged, encoder: Encoder) -> dict[str, float]:
    documents, queries = whole_embeddings(judged, encoder.encode, name=encoder.fingerprint, cache=KEPT)
    dense, words = queries @ documents.T, by_bm25(judged)
    summed = fused(*(without_itself(judged, side) for side in (dense, words)))
    runs = {"sum": summed, "smoothed": smoothed(judged, summed, documents)}
    return {name: round(ndcg(judged, scores), 4) for name, scores in runs.items()}


def without_itself(judged: Judged, scores: Scores) -> Scores:
    """Put a query that is a document where it is no candidate, as in ``docsim similar``: among the worst."""
    places = {one["id"]: place for place, one in enumerate(judged.documents)}
    scores = scores.copy()
    for number, (query, text) in enumerate(judged.queries.items()):
        if (judged.exclude_self or text is None) and query in places:
            scores[number, places[query]] = scores[number].min()
    return scores


def smoothed(judged: Judged, scores: Scores, documents: NDArray[np.float32]) -> Scores:
    result = scores.copy()
    for row, text in zip(result, whole_texts(judged)[1], strict=True):
        if len(passages.split(text)) == 1:
            found = np.flatnonzero(np.isfinite(row))
            row[found] = smoothing.smoothed(row[found], documents[found])
    return result


if __name__ == "__main__":
    main()
