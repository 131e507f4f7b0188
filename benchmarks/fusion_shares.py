"""Which share should words have in a query's fused score? Rules compared on the scores that ``fusion_scores.py`` kept.

    python benchmarks/fusion_shares.py --kept DIR

``fixed`` is the share that docsim used before, for any encoder: 0.5 for a query of one passage, 0.3 for a longer one.
``docsim`` is the rule of ``docsim.search.fusion``. ``left out`` is that rule with its numbers chosen anew on all other
sets, among ``GRID``, so it tells what the rule does on a set that had no part in choosing. Sets of one origin are left
out together. Writes benchmarks/results/fusion_shares.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from docsim.search import fusion, smoothing
from docsim.search.fusion import Circumstances

RESULTS = Path(__file__).parent / "results" / "fusion_shares.json"
SHARES = np.linspace(0, 1, 21)
GRID = {"EVEN": (0.4, 0.5, 0.6), "LESS": (0.0, 0.1, 0.2), "MOST_UNKNOWN": (0.01, 0.02, 0.04, 0.08, 1e9)}
TOP = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The candidates of one set under one encoder, ``(queries, most candidates)``, padded where ``mask`` is false."""

    dense: Floats
    lexical: Floats
    mask: NDArray[np.bool_]
    grades: Floats
    around: NDArray[np.int64]
    weights: Floats
    ideal: Floats
    long: NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """One set under one encoder: nDCG@10 of each query by share, ``(shares, queries)``, and what is known of it."""

    name: str
    encoder: str
    by_share: Floats
    dense: float
    lexical: float
    queries: Sequence[Circumstances]

    @property
    def origin(self) -> str:
        return self.name.partition("_")[0] if self.name.startswith(("sample", "kubernetes")) else self.name

    def mean(self, shares: Floats) -> float:
        """Return the mean nDCG@10 with a share for each query, between those measured by linear interpolation."""
        place = np.clip(shares, 0, 1) * (len(SHARES) - 1)
        low = np.minimum(place.astype(int), len(SHARES) - 2)
        rest, each = place - low, np.arange(len(shares))
        return float((self.by_share[low, each] * (1 - rest) + self.by_share[low + 1, each] * rest).mean())

    def by_rule(self) -> float:
        return self.mean(np.array([one.share for one in self.queries]))

    def fixed(self) -> float:
        return self.mean(np.array([0.3 if one.long else 0.5 for one in self.queries]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kept", type=Path, required=True, help="where fusion_scores.py kept the scores")
    options = parser.parse_args()
    measured = [read(file) for file in sorted(options.kept.glob("*.npz"))]
    rows: dict[str, Any] = {}
    for one, left_out in zip(measured, left_outs(measured), strict=True):
        found = {"dense": one.dense, "lexical": one.lexical, "fixed": one.fixed(), "docsim": one.by_rule()}
        row = {name: round(value, 4) for name, value in (found | {"left out": left_out}).items()}
        curve = [round(float(one.by_share[i].mean()), 4) for i in range(0, len(SHARES), 2)]
        rows.setdefault(one.encoder, {})[one.name] = row | {"queries": len(one.queries), "by share": curve}
        print(one.name, one.encoder, json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def left_outs(measured: Sequence[Measured]) -> list[float]:
    """Return what the rule reaches on each set with numbers that were chosen on the sets of other origins."""
    settings = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    found = np.array([[one.by_rule() for one in measured] for _ in changed(settings)])
    results = []
    for place, one in enumerate(measured):
        others = [i for i, other in enumerate(measured) if other.origin != one.origin]
        results.append(float(found[int(found[:, others].mean(axis=1).argmax()), place]))
    return results


def changed(settings: Sequence[Mapping[str, float]]) -> Iterator[None]:
    for values in settings:
        with ExitStack() as stack:
            for name, value in values.items():
                stack.enter_context(mock.patch.object(fusion, name, value))
            yield


def read(file: Path) -> Measured:
    with np.load(file) as held:
        found = {name: held[name] for name in held.files}
    scores = padded(found)
    name, encoder = file.stem.rsplit(".", 1)
    facts = ("sentence", "contextual", "adapted", "unknown_in_index", "unknown")
    queries = [
        Circumstances(bool(long), bool(sentence), bool(contextual), bool(adapted), float(unknown), float(unasked))
        for long, sentence, contextual, adapted, unknown, unasked in zip(
            scores.long, *(found[fact] for fact in facts), strict=True
        )
    ]
    by_share = np.array([ndcg(scores, fused(scores, share)) for share in SHARES])
    words = np.where(scores.lexical > 0, scores.lexical, -1)
    dense, lexical = (float(ndcg(scores, side).mean()) for side in (scores.dense, words))
    return Measured(name, encoder, by_share, dense, lexical, queries)


def padded(found: Mapping[str, NDArray[Any]]) -> Scores:
    lengths = np.diff(found["starts"])
    mask = np.arange(int(lengths.max())) < lengths[:, None]

    def block(name: str, kind: type) -> NDArray[Any]:
        values = found[name]
        held = np.zeros((*mask.shape, *values.shape[1:]), kind)
        held[mask] = values
        return held

    return Scores(
        dense=block("dense", np.float64),
        lexical=block("lexical", np.float64),
        mask=mask,
        grades=block("grade", np.float64),
        around=block("around", np.int64),
        weights=block("weights", np.float64),
        ideal=found["ideal_linear"],
        long=found["passages"] > 1,
    )


def fused(scores: Scores, share: float) -> Floats:
    """Return the fused scores of all candidates, smoothed where docsim smooths."""
    score = (1 - share) * standard(scores.dense, scores.mask) + share * standard(scores.lexical, scores.mask)
    rows, total = np.arange(len(score))[:, None, None], scores.weights.sum(axis=2)
    around = (scores.weights * score[rows, scores.around]).sum(axis=2) / np.where(total > 0, total, 1)
    drawn = (1 - smoothing.SHARE) * score + smoothing.SHARE * around
    best = np.where(scores.mask, score, -np.inf).max(axis=1, keepdims=True)
    return np.where(scores.long[:, None] | (score >= best) | (total == 0), score, drawn)


def standard(values: Floats, mask: NDArray[np.bool_]) -> Floats:
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    mean = np.where(mask, values, 0).sum(axis=1, keepdims=True) / count
    deviation = np.sqrt(np.where(mask, (values - mean) ** 2, 0).sum(axis=1, keepdims=True) / count)
    return np.asarray((values - mean) / np.where(deviation > 1e-4, deviation, 1))


def ndcg(scores: Scores, values: Floats) -> Floats:
    """Return nDCG@10 of each query, with linear gains as ``judged.py`` has them."""
    order = np.argsort(-np.where(scores.mask, values, -np.inf), axis=1, kind="stable")[:, :TOP]
    gains = np.take_along_axis(scores.grades, order, axis=1) / np.log2(np.arange(2, 2 + order.shape[1]))
    return np.asarray(gains.sum(axis=1) / np.where(scores.ideal > 0, scores.ideal, 1))


if __name__ == "__main__":
    main()
