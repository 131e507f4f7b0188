"""Both sides' scores of the candidates of every judged query, kept to compare ways to join them in seconds.

    python benchmarks/fusion_scores.py --data DIR --kept DIR [--encoders NAME=DIR,...] [--sets A,B] [--queries 200]

Each set is indexed with the default encoder, or with encoders that are given by name and directory. For each query the
documents of the first tier are scored as ``docsim query`` scores them. One file a set and encoder goes into ``--kept``,
where ``fusion_shares.py`` reads it. ``sample`` is the sample handbook of this repository with its questions,
``sample_pages`` the same with its judged pages; all other sets are folders of DIR.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from judged import Judged, load
from numpy.typing import NDArray
from questions import handbook

from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.evaluation import judgements
from docsim.index import Index
from docsim.models import Document
from docsim.search import retrieval, scoring, vocabulary
from docsim.search.query_terms import is_sentence, query_terms

ROOT = Path(__file__).parents[1]
QUESTIONS = ("sample", "sumo_firefox", "hint3_tickets", "medline", "cranfield", "cacm", "scifact", "xquad_mixed")
DOCUMENTS = (
    *("sample_pages", "handbook18f", "businesscentral", "kubernetes", "tldr", "peps", "bugs_seamonkey"),
    *("libreoffice_de", "apache_fr", "kubernetes_mixed"),
)
UNSPACED = ("jaquad_ja", "stard_zh", "kubernetes_zh")
SETS = (*QUESTIONS, *DOCUMENTS, *UNSPACED)
NEIGHBOURS = 4


@dataclass(frozen=True)
class Asked:
    """A query as it is asked: its id, its text, its embeddings, and the document that is left out."""

    id: str
    document: Document
    vectors: NDArray[np.float32]
    exclude: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--kept", type=Path, required=True, help="folder of indexes and scores")
    parser.add_argument("--encoders", default="default", help="default, or NAME=DIR")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--queries", type=int, default=200, help="judged queries of a set that are asked, at most")
    options = parser.parse_args()
    for name in options.sets.split(","):
        for named in options.encoders.split(","):
            which, _, place = named.partition("=")
            file = options.kept / f"{name}.{which}.npz"
            if file.is_file():
                continue
            started = time.process_time()
            encoder = Encoder.load(place) if place else Encoder.default()
            found = scores(read(name, options.data), encoder, options.kept / "indexes", options.queries)
            np.savez_compressed(file, **found)
            print(name, which, len(found["queries"]), f"{time.process_time() - started:.0f} s", flush=True)


def read(name: str, data: Path) -> Judged:
    if name == "sample":
        return handbook()
    if name == "sample_pages":
        pages = handbook()
        qrels = {id: dict(found) for id, found in judgements.read_qrels(ROOT / "corpus/related.qrels.txt").items()}
        return Judged(name, pages.documents, dict.fromkeys(qrels), qrels, exclude_self=True)
    return load(data / name)


def scores(judged: Judged, encoder: Encoder, kept: Path, most: int) -> dict[str, Any]:
    """Return what ``fusion_shares.py`` needs: facts of each query, and of each of its candidates in a row."""
    index = Index.create(kept / encoder.fingerprint[:12] / judged.name, encoder=encoder)
    with index:
        index.sync([Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents])
        chosen = sorted(judged.queries)
        if len(chosen) > most:
            chosen = sorted(random.Random(1).sample(chosen, most))
        with index.engine.snapshot() as snapshot:
            return collected(judged, snapshot, encoder, asked(judged, snapshot, encoder, chosen))


def asked(judged: Judged, snapshot: Snapshot, encoder: Encoder, chosen: list[str]) -> list[Asked]:
    by_id = {one["id"]: one for one in judged.documents}
    documents, own = [], []
    for id in chosen:
        text = judged.queries[id]
        one = by_id[id] if text is None else {"id": "query", "text": text}
        documents.append(Document(one["id"], one["text"], one.get("title", "")))
        own.append(text is None)
    questions = encode_documents(encoder, documents, role="query")
    found = []
    for id, document, vectors, is_document in zip(chosen, documents, questions, own, strict=True):
        number = snapshot.number(id)
        excluded = (number,) if number is not None and (judged.exclude_self or is_document) else ()
        found.append(Asked(id, document, vectors, excluded))
    return found


def collected(judged: Judged, snapshot: Snapshot, encoder: Encoder, queries: list[Asked]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    ids = {one.number: one.document.id for one in snapshot.scan(characters=0)}
    for one in queries:
        row = of_query(judged, snapshot, encoder, one, ids)
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    starts = np.cumsum([0, *(len(each) for each in columns["dense"])])
    ragged = ("dense", "lexical", "grade", "around", "weights")
    ends = {name: np.concatenate(columns[name]) for name in ragged}
    facts = {name: np.array(columns[name]) for name in columns if name not in ragged}
    return {
        **ends,
        **facts,
        "starts": starts,
        "documents": len(ids),
        "name": judged.name,
    }


def of_query(judged: Judged, snapshot: Snapshot, encoder: Encoder, one: Asked, ids: dict[int, str]) -> dict[str, Any]:
    terms = query_terms(snapshot, one.document)
    words = snapshot.text_search(terms.telling, rest=terms.frequent)
    probes = one.vectors if len(one.vectors) == 1 else np.vstack([one.vectors, scoring.centroid(one.vectors)])
    near = np.unique(snapshot.knn(probes, retrieval.CANDIDATES).documents)
    numbers = np.setdiff1d(np.union1d(near, words.best(retrieval.CANDIDATES)), one.exclude)
    rows = snapshot.embeddings(numbers)
    found = scoring.scored(one.vectors, rows)
    around, weights = neighbours(found.directions)
    judged_here = judged.qrels[one.id]
    grades = np.array([max(0, judged_here.get(ids[number], 0)) for number in numbers.tolist()], np.int32)
    excluded = {ids[number] for number in one.exclude}
    best = sorted((grade for id, grade in judged_here.items() if grade > 0 and id not in excluded), reverse=True)[:10]
    ideal = sum(grade / np.log2(place + 2) for place, grade in enumerate(best))
    return {
        "queries": one.id,
        "dense": found.scores,
        "lexical": words.of(numbers),
        "grade": grades,
        "around": around,
        "weights": weights,
        "ideal_linear": ideal,
        "passages": len(one.vectors),
        "sentence": is_sentence(one.document),
        "unknown": vocabulary.unknown_in(snapshot, one.document),
        "unknown_in_index": vocabulary.unknown_in_index(snapshot),
        "contextual": encoder.is_contextual,
        "adapted": encoder.is_adapted,
    }


def neighbours(directions: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the neighbours that smoothing uses, and the weight of each, ``(n, NEIGHBOURS)`` each."""
    count = min(NEIGHBOURS, len(directions) - 1)
    around = np.zeros((len(directions), NEIGHBOURS), np.int32)
    held = np.zeros((len(directions), NEIGHBOURS), np.float32)
    if count < 1:
        return around, held
    faiss.omp_set_num_threads(1)
    cosines, nearest = faiss.knn(directions, directions, count + 1, metric=faiss.METRIC_INNER_PRODUCT)
    weights = np.maximum(cosines, np.float32(1e-6))
    weights[nearest == np.arange(len(directions))[:, None]] = 0
    weights[weights.all(axis=1), -1] = 0
    order = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    around[:, :count] = np.take_along_axis(nearest, order, axis=1)
    held[:, :count] = np.take_along_axis(weights, order, axis=1)
    return around, held


if __name__ == "__main__":
    main()
