"""Which static encoder is best: nDCG@10 on the judged sets, and texts encoded in a second.

    python benchmarks/distillation.py --data DIR --teacher DIR [--encoder DIR] [--sets handbook18f,tldr] [--speed mdn]

Each document is one embedding of "title, newline, text"; search is exact. Compared are the shipped encoder as ONNX
Runtime runs it, model2vec's distillation of the same teacher as model2vec runs it, and variations of docsim's recipe.
model2vec's own distillation needs torch, so its published steps are applied here to the same teacher's states. Writes
benchmarks/results/distillation.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from judged import Judged, load, ndcg_at_10
from model2vec import StaticModel
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from docsim.encoding.encoder import Encoder
from docsim.training.distill.from_vocabulary import (
    DistillationRecipe,
    StudentVocabulary,
    ranks,
    reduced,
    sif_weights,
    student_vocabulary,
    weighted,
)
from docsim.training.distill.teacher import Teacher, load_teacher

RESULTS = Path(__file__).parent / "results" / "distillation.json"
SETS = "handbook18f,kubernetes,tldr,peps"
SPEED_TEXTS = 3000
ROUNDS = 7

Floats = NDArray[np.floating]
Encode = Callable[[list[str]], Floats]


@dataclass(frozen=True)
class States:
    """The teacher's states of ``[CLS] token [SEP]`` for each student token, ``(tokens, 3, width)``."""

    vocabulary: StudentVocabulary
    states: NDArray[np.float32]

    def mean(self, *positions: int) -> NDArray[np.float32]:
        return np.asarray(self.states[:, positions].mean(axis=1))


def states_of(teacher: Teacher) -> States:
    vocabulary = student_vocabulary(teacher.tokenizer)
    opening, closing = teacher.tokenizer.encode("").ids
    texts = np.array([[opening, token, closing] for token in vocabulary.teacher_ids], dtype=np.int32)
    batches = [texts[start : start + 1024] for start in range(0, len(texts), 1024)]
    return States(vocabulary, np.concatenate([teacher.states(batch) for batch in batches]))


def of_model2vec(states: States, dim: int = 256) -> StaticModel:
    """model2vec 0.10: mean over all three states, PCA, weights from the place in the vocabulary, float16."""
    share = 1 / np.arange(2, len(states.states) + 2)
    weights = 1e-4 / (1e-4 + share / share.sum())
    vectors = (
        reduced(states.mean(0, 1, 2), DistillationRecipe(dim=dim, whitening=0, unit_tokens=False)) * weights[:, None]
    )
    return StaticModel(vectors.astype(np.float16), states.vocabulary.tokenizer, normalize=True, max_length=None)


def table_of(states: States, recipe: DistillationRecipe, *, positions: Sequence[int] = (0, 1)) -> NDArray[np.float32]:
    rank = ranks(states.vocabulary.tokens)
    return weighted(reduced(states.mean(*positions), recipe), sif_weights(rank, recipe.sif))


class Bags:
    """Encodes by token counts times a table: what the ``average`` tower computes, for tables that are not saved."""

    def __init__(self, vocabulary: StudentVocabulary) -> None:
        self.vocabulary = vocabulary
        self.kept: dict[int, csr_matrix] = {}

    def count(self, texts: list[str]) -> csr_matrix:
        if id(texts) not in self.kept:
            ids = [encoding.ids or [1] for encoding in self.vocabulary.tokenizer.encode_batch_fast(texts)]
            starts = np.cumsum([0, *map(len, ids)])
            flat = np.concatenate([np.array(one, dtype=np.int32) for one in ids])
            shape = (len(texts), len(self.vocabulary.tokens))
            self.kept[id(texts)] = csr_matrix((np.ones(len(flat), np.float32), flat, starts), shape=shape)
        return self.kept[id(texts)]

    def encoder(self, table: NDArray[np.float32]) -> Encode:
        def encode(texts: list[str]) -> Floats:
            sums = self.count(texts) @ table
            return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))

        return encode

    def counted_weights(self, corpora: list[list[str]], a: float) -> NDArray[np.float64]:
        """Inverse frequencies as counted in the very corpora that are searched, instead of Zipf's law."""
        shares = [np.asarray(self.count(texts).sum(axis=0)).ravel() for texts in corpora]
        share = np.mean([one / one.sum() for one in shares], axis=0)
        return np.asarray(a / (a + share))


def variations(states: States, bags: Bags, corpora: list[list[str]]) -> dict[str, Encode]:
    """One change of docsim's recipe at a time."""
    best = DistillationRecipe()
    tables = {
        "docsim, float32": table_of(states, best),
        "token's state only": table_of(states, best, positions=(1,)),
        "[CLS] state only": table_of(states, best, positions=(0,)),
        "mean of all three states": table_of(states, best, positions=(0, 1, 2)),
        "no whitening": table_of(states, DistillationRecipe(whitening=0)),
        "half whitening": table_of(states, DistillationRecipe(whitening=0.5)),
        "token vectors not of unit length": table_of(states, DistillationRecipe(unit_tokens=False)),
        "no whitening, not of unit length": table_of(states, DistillationRecipe(whitening=0, unit_tokens=False)),
        **{f"sif {a:g}": table_of(states, DistillationRecipe(sif=a)) for a in (1e-5, 1e-4, 1e-3, 1e-2)},
        **{f"{dim} components": table_of(states, DistillationRecipe(dim=dim)) for dim in (64, 128, 192, 384)},
        "first component dropped": weighted(
            _unit(reduced(states.mean(0, 1), DistillationRecipe(dim=257, unit_tokens=False))[:, 1:]),
            sif_weights(ranks(states.vocabulary.tokens), best.sif),
        ),
        "rank by place, single characters too": weighted(
            reduced(states.mean(0, 1), best), sif_weights(np.arange(1, len(states.states) + 1), best.sif)
        ),
        "pieces of words at half weight": _halved_pieces(table_of(states, best), states.vocabulary.tokens),
        "frequencies counted in the corpora": weighted(
            reduced(states.mean(0, 1), best), bags.counted_weights(corpora, best.sif)
        ),
    }
    return {name: bags.encoder(table) for name, table in tables.items()}


def _unit(vectors: Floats) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


def _halved_pieces(table: NDArray[np.float32], tokens: Sequence[str]) -> NDArray[np.float32]:
    pieces = np.array([token.startswith("##") for token in tokens])
    return np.where(pieces[:, None], table / 2, table)


class Texts:
    """A set with its documents' and queries' texts, each list made once."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self.documents = [f"{one['title']}\n{one['text']}" for one in judged.documents]
        place = {one["id"]: number for number, one in enumerate(judged.documents)}
        self.queries = [self.documents[place[id]] if text is None else text for id, text in judged.queries.items()]

    def score(self, encode: Encode) -> float:
        similarities = np.asarray(encode(self.queries) @ encode(self.documents).T, dtype=np.float32)
        ids = [one["id"] for one in self.judged.documents]
        run = {}
        for query, row in zip(self.judged.queries, similarities, strict=True):
            best = [ids[place] for place in np.argsort(-row, kind="stable")[:11]]
            left_out = query if self.judged.exclude_self else None
            run[query] = [id for id in best if id != left_out][:10]
        return ndcg_at_10(run, self.judged.qrels)


def quality(encoders: dict[str, Encode], sets: list[Texts]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for name, encode in encoders.items():
        scores = {one.judged.name: one.score(encode) for one in sets}
        table[name] = {**scores, "mean": statistics.mean(scores.values())}
        print(f"{name:38}", *(f"{set_} {score:.4f}" for set_, score in table[name].items()), flush=True)
    return table


def speed(encoders: dict[str, Encode], texts: list[str]) -> dict[str, dict[str, float]]:
    """Median seconds of wall clock and processor, encoders in turn so that other load falls on all alike."""
    sentence = ["How do I rotate the signing keys of a service that runs in two regions?"]
    passages = [[text[:1200]] for text in texts[:200]]
    spent: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in encoders}
    for _ in range(ROUNDS):
        for name, encode in encoders.items():
            wall, processor = time.perf_counter(), time.process_time()
            encode(texts)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            start = time.perf_counter()
            for _ in range(200):
                encode(sentence)
            alone = (time.perf_counter() - start) / 200 * 1e6
            start = time.perf_counter()
            for passage in passages:
                encode(passage)
            spent[name].append((wall, processor, alone, (time.perf_counter() - start) / 200 * 1e6))
    names = ("wall_s", "processor_s", "sentence_us", "passage_us")
    table = {
        name: {key: statistics.median(column) for key, column in zip(names, zip(*rows, strict=True), strict=True)}
        for name, rows in spent.items()
    }
    for name, row in table.items():
        print(f"{name:38}", *(f"{key} {value:.2f}" for key, value in row.items()), flush=True)
    return table


def given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, help="default: the one that docsim ships")
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--speed", default="mdn", help="the set whose first texts are encoded for time")
    return parser.parse_args()


def main() -> None:
    options = given()
    encoder = Encoder.load(options.encoder) if options.encoder else Encoder.default()
    states = states_of(load_teacher(options.teacher))
    rival = of_model2vec(states)
    fast = StaticModel(rival.embedding.astype(np.float32), states.vocabulary.tokenizer, normalize=True, max_length=None)
    encoders: dict[str, Encode] = {
        "docsim, shipped": encoder.encode,
        "model2vec": lambda texts: rival.encode(texts, max_length=None),
    }
    sets = [Texts(load(options.data / name)) for name in options.sets.split(",")]
    bags = Bags(states.vocabulary)
    varied = variations(states, bags, [one.documents for one in sets])
    timed = Texts(load(options.data / options.speed)).documents[:SPEED_TEXTS]
    rivals = {**encoders, "model2vec, float32": lambda texts: fast.encode(texts, max_length=None)}
    result = {
        "encoder": encoder.fingerprint,
        "quality": quality({**encoders, **varied}, sets),
        "speed": {"texts": len(timed), "characters": sum(map(len, timed)), **speed(rivals, timed)},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
