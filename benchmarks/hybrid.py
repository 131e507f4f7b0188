"""Which fusion of embeddings and words is best: nDCG@10 on the judged sets, untrained and trained without labels.

    python benchmarks/hybrid.py --data DIR [--sets A,B] [--parts fusion,margins,smoothing,terms,probes]
                                [--encoders untrained,trained,taught] [--teacher ENCODER]

``fusion`` scores the union of the 100 nearest and the 100 best matching documents of each query by every rule below,
and asks the index itself in each mode; ``terms`` compares ways to ask for words, and bm25s; ``probes`` lets each corpus
choose the share of words by questions made of its own documents; ``margins`` tells by how much hybrid is better than
each mode alone, in the mean, with a 95 % bootstrap interval over queries; ``smoothing`` compares how many neighbours
draw the scores of candidates, and how much, apart for queries of one passage and for longer ones. Encoders are the
default one, that after ``docsim train`` on each set, and ``taught`` that after ``docsim train --teacher``; they are
those of benchmarks/self_supervision.py. Indexes are kept in .bench/hybrid. Writes benchmarks/results/hybrid.json.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from judged import KNOWLEDGE_BASES, OTHERS, Judged, load, ndcg_at_10, per_query
from numpy.typing import NDArray
from self_supervision import trained

from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.engine.words import bm25
from docsim.index import Index
from docsim.models import MODES, Document
from docsim.search import query_terms, scoring, smoothing
from docsim.search.fusion import ADAPTED, EVEN

KEPT = Path(__file__).parents[1] / ".bench" / "hybrid"
RESULTS = Path(__file__).parent / "results" / "hybrid.json"
CANDIDATES = 100
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TERMS = (10, 20, 40, 80, 160)
EXACT = (0.0, 0.2, 0.4, 0.6)
REPEATED = (0.0, 0.5, 0.7, 1.0)
NEIGHBOURS = (2, 4, 8)
DRAWN = (0.1, 0.25, 0.4)
HOMES = {"MOST_TERMS": query_terms, "REPEATED": query_terms, "EXACT": bm25}
"""The modules of the constants that are varied."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """All scores of a set's queries: ``(queries, documents)``; ``long`` says which query has several passages.

    ``directions`` are the centroids of documents, ``(documents, dim)``.
    """

    ids: NDArray[np.str_]
    dense: Floats
    lexical: Floats
    long: NDArray[np.bool_]
    directions: NDArray[np.float32]


def z(x: Floats) -> Floats:
    return np.asarray((x - x.mean()) / (x.std() if x.std() > 1e-6 else 1))


def min_max(x: Floats) -> Floats:
    return np.asarray((x - x.min()) / (np.ptp(x) or 1))


def reciprocal_rank(x: Floats, constant: int) -> Floats:
    places = np.argsort(np.argsort(-x, kind="stable"), kind="stable")
    return np.where(x != 0, 1 / (constant + 1 + places), 0)


def blend(scale: Callable[[Floats], Floats], share: float) -> Callable[[Floats, Floats], Floats]:
    return lambda dense, words: (1 - share) * scale(dense) + share * scale(words)


RULES: dict[str, Callable[[Floats, Floats], Floats]] = {
    **{f"z-scores, {share} words": blend(z, share) for share in SHARES},
    **{f"min-max, {share} words": blend(min_max, share) for share in SHARES},
    "reciprocal rank, 10": lambda dense, words: reciprocal_rank(dense, 10) + reciprocal_rank(words, 10),
    "reciprocal rank, 60": lambda dense, words: reciprocal_rank(dense, 60) + reciprocal_rank(words, 60),
}


SPLIT = (blend(z, EVEN), blend(z, ADAPTED))
"""The weights of keywords, and of queries of several passages where the encoder was trained on documents."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--teacher", type=Path, help="an encoder, such as docsim encoder import makes")
    parser.add_argument("--encoders", default="untrained,trained", help="which of untrained, trained, taught")
    parser.add_argument("--sets", default=",".join((*KNOWLEDGE_BASES, *OTHERS)))
    parser.add_argument("--parts", default="fusion,margins,smoothing,terms,probes")
    options = parser.parse_args()
    if "taught" in options.encoders and not options.teacher:
        parser.error("expected --teacher with --encoders taught")
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in options.sets.split(","):
        judged = load(options.data / name)
        for part in options.parts.split(","):
            for which in options.encoders.split(",") if part != "terms" else ("untrained",):
                row = PARTS[part](judged, encoder_of(options.data / name, which, options.teacher))
                found.setdefault(part, {}).setdefault(which, {})[name] = row
                print(name, part, which, json.dumps(row), flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def encoder_of(folder: Path, which: str, teacher: Path | None) -> Encoder:
    """The default encoder, or one trained on the corpus from it."""
    if which == "untrained":
        return Encoder.default()
    return trained(folder, teacher=Encoder.load(teacher) if which == "taught" and teacher else None)


def opened(judged: Judged, encoder: Encoder) -> Index:
    index = Index.create(KEPT / "indexes" / encoder.fingerprint[:12] / judged.name, encoder=encoder)
    index.sync(documents(judged))
    return index


def documents(judged: Judged) -> list[Document]:
    return [Document(one["id"], one["text"], one.get("title", "")) for one in judged.documents]


def fusion(judged: Judged, encoder: Encoder) -> dict[str, float]:
    with opened(judged, encoder) as index:
        scored = all_scores(judged, index)
        row = {f"docsim, {mode}": ndcg_at_10(asked(judged, index, mode), judged.qrels) for mode in MODES}
    row |= {name: ndcg_at_10(fused(judged, scored, rule), judged.qrels) for name, rule in RULES.items()}
    chosen = fused(judged, scored, lambda dense, words: dense, by_length=SPLIT)
    row[f"z-scores, {EVEN} words; {ADAPTED} for several passages"] = ndcg_at_10(chosen, judged.qrels)
    return {name: round(value, 4) for name, value in row.items()}


def all_scores(judged: Judged, index: Index) -> Scored:
    """Score every document of the index for every query."""
    texts = query_documents(judged)
    with index.engine.snapshot() as snapshot:
        numbers = snapshot.embedded()
        rows = snapshot.embeddings(numbers)
        dense, words, long = [], [], []
        for document, vectors in zip(texts, encode_documents(index.encoder, texts), strict=True):
            dense.append(scoring.scored(vectors, rows).scores)
            asked = query_terms.query_terms(snapshot, document)
            words.append(snapshot.text_search(asked.telling, rest=asked.frequent).of(numbers))
            long.append(len(vectors) > 1)
        directions = np.array([scoring.centroid(one) for one in rows])
        ids = np.array([stored.document.id for stored in snapshot.scan(characters=0)])
    return Scored(ids, np.array(dense, np.float64), np.array(words, np.float64), np.array(long), directions)


def query_documents(judged: Judged) -> list[Document]:
    by_id = {one.id: one for one in documents(judged)}
    return [by_id[id] if text is None else Document("query", text) for id, text in judged.queries.items()]


def fused(
    judged: Judged,
    scored: Scored,
    rule: Callable[[Floats, Floats], Floats],
    *,
    by_length: Sequence[Callable[[Floats, Floats], Floats]] = (),
    smooth: bool = False,
) -> dict[str, list[str]]:
    run = {}
    for i, (query, text) in enumerate(judged.queries.items()):
        kept = (
            np.flatnonzero(scored.ids != query) if judged.exclude_self or text is None else np.arange(len(scored.ids))
        )
        dense, words = scored.dense[i, kept], scored.lexical[i, kept]
        nearest = np.argsort(-dense, kind="stable")[:CANDIDATES]
        matching = np.argsort(-words, kind="stable")[:CANDIDATES]
        pool = np.union1d(nearest, matching[words[matching] > 0])
        score = (by_length[int(scored.long[i])] if by_length else rule)(dense[pool], words[pool])
        if smooth:
            drawn = smoothing.smoothed(score.astype(np.float32), scored.directions[kept[pool]])
            score = drawn.astype(np.float64)
        run[query] = scored.ids[kept[pool[np.argsort(-score, kind="stable")[:10]]]].tolist()
    return run


def asked(judged: Judged, index: Index, mode: Any) -> dict[str, list[str]]:
    """What the index itself answers."""
    run = {}
    for query, text in judged.queries.items():
        result = index.similar(query, 11, mode=mode) if text is None else index.search(text, 11, mode=mode)
        run[query] = [hit.id for hit in result.hits if not (judged.exclude_self and hit.id == query)][:10]
    return run


def margins(judged: Judged, encoder: Encoder) -> dict[str, dict[str, float]]:
    with opened(judged, encoder) as index:
        found = {mode: per_query(asked(judged, index, mode), judged.qrels) for mode in MODES}
    row = {}
    for mode in ("dense", "lexical"):
        gains = found["hybrid"] - found[mode]
        drawn = np.random.default_rng(0).integers(0, len(gains), (2000, len(gains)))
        low, high = np.percentile(gains[drawn].mean(axis=1), (2.5, 97.5))
        values = {"mean": gains.mean(), "low": low, "high": high}
        row[f"hybrid - {mode}"] = {name: round(float(value), 4) for name, value in values.items()}
    return row


def smoothed(judged: Judged, encoder: Encoder) -> dict[str, dict[str, float]]:
    """Of queries of one passage, ``short``, and of longer ones; the number of each is under ``queries``."""
    with opened(judged, encoder) as index:
        scored = all_scores(judged, index)
    settings = {"none": (1, 0.0)} | {f"{n} neighbours, {share:g}": (n, share) for n in NEIGHBOURS for share in DRAWN}
    row: dict[str, dict[str, float]] = {"short": {}, "long": {}}
    for name, (count, share) in settings.items():
        with mock.patch.multiple(smoothing, NEIGHBOURS=count, SHARE=share):
            run = fused(judged, scored, lambda dense, words: dense, by_length=SPLIT, smooth=True)
        for kind, long in (("short", False), ("long", True)):
            qrels = {
                query: judged.qrels[query] for query, is_long in zip(run, scored.long, strict=True) if is_long == long
            }
            if qrels:
                row[kind] |= {"queries": len(qrels), name: round(ndcg_at_10(run, qrels), 4)}
    return row


def terms(judged: Judged, encoder: Encoder) -> dict[str, float]:
    row = {"bm25s": ndcg_at_10(bm25s_run(judged), judged.qrels)}
    for count in TERMS:
        row[f"{count} terms"] = lexical_ndcg(judged, encoder, MOST_TERMS=count)
    for share in EXACT:
        row[f"{share:g} for the very word"] = lexical_ndcg(judged, encoder, EXACT=share)
    for power in REPEATED:
        row[f"n^{power:g}"] = lexical_ndcg(judged, encoder, REPEATED=power)
    return {name: round(value, 4) for name, value in row.items()}


def lexical_ndcg(judged: Judged, encoder: Encoder, **changed: Any) -> float:
    """By an index that was opened anew, for an open one keeps what it has looked up."""
    with opened(judged, encoder) as index, settings(**changed):
        return ndcg_at_10(asked(judged, index, "lexical"), judged.qrels)


@contextmanager
def settings(**changed: Any) -> Any:
    with ExitStack() as stack:
        for name, value in changed.items():
            stack.enter_context(mock.patch.object(HOMES[name], name, value))
        yield


def bm25s_run(judged: Judged) -> dict[str, list[str]]:
    """BM25 of another library, asked with the whole text of the query."""
    import bm25s
    import Stemmer

    def tokens(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)

    found = documents(judged)
    searcher = bm25s.BM25()
    searcher.index(tokens([f"{one.title}\n{one.text}" for one in found]), show_progress=False)
    texts = [f"{one.title}\n{one.text}" for one in query_documents(judged)]
    places, _ = searcher.retrieve(tokens(texts), k=11, show_progress=False)
    run = {}
    for (query, text), row in zip(judged.queries.items(), places.tolist(), strict=True):
        alike = judged.exclude_self or text is None
        run[query] = [found[i].id for i in row if not (alike and found[i].id == query)][:10]
    return run


def probes(judged: Judged, encoder: Encoder) -> dict[str, Any]:
    """Mean reciprocal rank at which a document's second half is found by its first half, and by its title, by share.

    Up to 1,500 documents, 200 questions.
    """
    chosen = [one for one in documents(judged) if len(one.text) >= 200]
    chosen = random.Random(0).sample(chosen, min(1500, len(chosen)))
    halves = [len(one.text) // 2 for one in chosen]
    targets = [Document(one.id, one.text[half:]) for one, half in zip(chosen, halves, strict=True)]
    asked_by = {
        "first half": [Document(one.id, one.text[:half]) for one, half in zip(chosen, halves, strict=True)][:200],
        "title": [Document(one.id, one.title or one.text[:60]) for one in chosen[:200]],
    }
    with Index.create(KEPT / "probes" / encoder.fingerprint[:12] / judged.name, encoder=encoder) as index:
        index.sync(targets)
        return {kind: reciprocal_ranks(index, questions) for kind, questions in asked_by.items()}


def reciprocal_ranks(index: Index, questions: list[Document]) -> dict[str, float]:
    judged = Judged("probe", [], {one.id: one.text for one in questions}, {}, exclude_self=False)
    scored = all_scores(judged, index)
    found: dict[str, list[float]] = {f"{share:g}": [] for share in (0, *SHARES, 1)}
    for i, question in enumerate(questions):
        own = int(np.flatnonzero(scored.ids == question.id)[0])
        for share, ranks in found.items():
            score = blend(z, float(share))(scored.dense[i], scored.lexical[i])
            ranks.append(1 / (1 + int((score > score[own]).sum())))
    return {share: round(float(np.mean(ranks)), 4) for share, ranks in found.items()}


PARTS: dict[str, Callable[[Judged, Encoder], dict[str, Any]]] = {
    "fusion": fusion,
    "margins": margins,
    "smoothing": smoothed,
    "terms": terms,
    "probes": probes,
}


if __name__ == "__main__":
    main()
