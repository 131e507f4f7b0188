"""Does docsim know when an index holds no answer? Areas under the ROC curve (AUC), and the weights of the evidence.

    python benchmarks/answers.py --data DIR --kept DIR [--encoders default,NAME=DIR] [--sets A,B] [--queries 100]

Questions are asked three times: of their index, of the same index without all documents that answer them (``removed``),
and of the indexes of other sets (``other``). ``removed`` is the harder case, and the sets make it harder still: their
judgements are incomplete, so what is left may hold answers too. The first hit in hybrid mode is what is judged by its
similarity, its percentile, and by ``docsim.search.answers``, whose weights are fitted on all other sets. Indexes are
those of fusion_scores.py. Writes benchmarks/results/answers.json.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fusion_scores import Asked, asked, read
from judged import Judged
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.base import Snapshot
from docsim.index import Index
from docsim.models import Document
from docsim.search import percentiles
from docsim.search.answers import DOUBTFUL, answerable, evidence
from docsim.search.retrieval import Query, tiers

RESULTS = Path(__file__).parent / "results" / "answers.json"
SETS = "sample,sumo_firefox,hint3_tickets,medline,cranfield,cacm,xquad_mixed"
FOREIGN = 60
RIDGE = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A question as it was answered: its kind, similarity and percentile of the first hit, and the evidence."""

    kind: str
    similarity: float
    percentile: float
    features: tuple[float, ...]
    likelihood: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judged sets")
    parser.add_argument("--kept", type=Path, required=True, help="folder of indexes, as fusion_scores.py keeps them")
    parser.add_argument("--encoders", default="default", help="default, or NAME=DIR")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--queries", type=int, default=100, help="judged queries of a set that are asked, at most")
    options = parser.parse_args()
    sets = {name: read(name, options.data) for name in options.sets.split(",")}
    found: dict[str, Any] = {}
    for named in options.encoders.split(","):
        which, _, place = named.partition("=")
        encoder = Encoder.load(place) if place else Encoder.default()
        cases = {name: list(answered(sets, name, encoder, options.kept, options.queries)) for name in sets}
        found[which] = measured(cases)
        print(which, json.dumps(found[which], indent=1), flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def answered(sets: dict[str, Judged], name: str, encoder: Encoder, kept: Path, most: int) -> Iterator[Case]:
    """Ask an index its own questions, twice, and those of the others."""
    judged = sets[name]
    with (
        Index.open(kept / "indexes" / encoder.fingerprint[:12] / judged.name) as index,
        index.engine.snapshot(encoder=True) as snapshot,
    ):
        numbers = {one.document.id: one.number for one in snapshot.scan(characters=0)}
        for one in asked(judged, snapshot, encoder, chosen(judged, most)):
            answers = {id for id, grade in judged.qrels[one.id].items() if grade > 0}
            removed = sorted({numbers[id] for id in answers if id in numbers} | set(one.exclude))
            yield from judged_as("answered", snapshot, one)
            yield from judged_as("removed", snapshot, replace(one, exclude=tuple(removed)))
        texts = [
            other.queries[id]
            for key, other in sets.items()
            if key != name
            for id in chosen(other, FOREIGN // (len(sets) - 1))
        ]
        vectors = encoder.encode([text or "" for text in texts])
        for text, vector in zip(texts, vectors, strict=True):
            yield from judged_as("other", snapshot, Asked("", Document("query", text or ""), vector[None], ()))


def chosen(judged: Judged, most: int) -> list[str]:
    ids = sorted(id for id, text in judged.queries.items() if text)
    return sorted(random.Random(5).sample(ids, most)) if len(ids) > most else ids


def judged_as(kind: str, snapshot: Snapshot, one: Asked) -> Iterator[Case]:
    """Yield the case, unless nothing can be told of such a question."""
    if len(one.vectors) > 1:
        return
    first = next(tiers(snapshot, Query("query", one.document, one.vectors, one.exclude), "hybrid"))[0]
    background = percentiles.similarities(snapshot, length=len(one.document.text))
    rank = percentiles.percentile(background, first.similarity)
    found = evidence(snapshot, one.document, first.number, rank)
    if found is not None and answerable(snapshot, one.document, first.number, rank) is not None:
        yield Case(kind, first.similarity, found.percentile, found.features, found.likelihood)


def measured(cases: dict[str, list[Case]]) -> dict[str, Any]:
    rows = {}
    for name, own in cases.items():
        weights = fitted([each for other, each in cases.items() if other != name])
        row: dict[str, Any] = {}
        for kind in ("removed", "other"):
            some = [one for one in own if one.kind in ("answered", kind)]
            truth = np.array([one.kind == "answered" for one in some])
            scores = {
                "similarity": np.array([one.similarity for one in some]),
                "percentile": np.array([one.percentile for one in some]),
                "docsim, left out": features(some) @ weights,
                "docsim": np.array([one.likelihood for one in some]),
            }
            row[kind] = {key: round(area(truth, values), 3) for key, values in scores.items()}
        row["said to be nothing"] = {
            kind: round(float(np.mean([one.likelihood < DOUBTFUL for one in own if one.kind == kind])), 3)
            for kind in ("answered", "removed", "other")
        }
        rows[name] = row
    rounded = [round(float(weight), 3) for weight in fitted(list(cases.values()))]
    names = ("constant", "covered", "percentile")
    return {"sets": rows, "weights": dict(zip(names, rounded, strict=True))}


def features(cases: Sequence[Case]) -> Floats:
    return np.array([(1.0, *one.features) for one in cases])


def fitted(sets: Sequence[Sequence[Case]]) -> Floats:
    """Fit a logistic regression with a small ridge by Newton's method; sets and kinds count the same."""
    x = np.concatenate([features(cases) for cases in sets])
    y = np.concatenate([[float(one.kind == "answered") for one in cases] for cases in sets])
    w = np.concatenate([[weight(one, cases) for one in cases] for cases in sets])
    b, ridge = np.zeros(x.shape[1]), RIDGE * np.eye(x.shape[1])
    ridge[0, 0] = 1e-9
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ b))
        b -= np.linalg.solve((x * (w * p * (1 - p))[:, None]).T @ x + ridge, x.T @ (w * (p - y)) + ridge @ b)
    return b


def weight(one: Case, cases: Sequence[Case]) -> float:
    """Half of the weight of a set for questions that are answered, a quarter for each of the others."""
    part = 200 if one.kind == "answered" else 100
    return part / sum(other.kind == one.kind for other in cases)


def area(truth: NDArray[np.bool_], scores: Floats) -> float:
    """Return how often a question that is answered scores higher than one that is not; ties count half."""
    higher = scores[truth][:, None] - scores[~truth][None, :]
    return float(((higher > 0) + 0.5 * (higher == 0)).mean())


if __name__ == "__main__":
    main()
