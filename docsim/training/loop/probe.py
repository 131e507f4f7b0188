"""Probes: how good a tower is on what it was not trained on, as one number, higher is better.

    HalvesProbe   documents without labels: reciprocal rank at which one half of a held-out document finds the other
    PairsProbe    held-out examples: Spearman's correlation, reciprocal rank, or share of triplets in order

A probe decides when training stops and which weights are kept, so it must want what searching wants. Halves of a
document share names and phrases; found by those, every encoder looks good. Half of the tokens that both halves have are
struck out of one of them: of the probes measured, that predicted judged results best (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.training.data.batches import Framing, Ids, epoch_order
from docsim.training.data.material import Material
from docsim.training.data.pairs import Examples
from docsim.training.data.spans import NEAR_DUPLICATE, without_shared

__all__ = ["HalvesProbe", "PairsProbe", "Probe", "Sample", "Similarities", "embedded"]

Floats = NDArray[np.float32]

_MOST_DOCUMENTS = 3000  # whose halves are searched; more take longer and change little
_MOST_TOKENS = 256  # of a half
_MOST_DRAWN = 1000
_STRIKE = 0.5
_BATCH_TOKENS = 1 << 15  # padded tokens that are embedded at once: 32 MB of token vectors of 256 components


@dataclass(frozen=True, slots=True)
class Similarities:
    """What a histogram shows: float32 ``(any,)`` each.

    Attributes:
        positives: Similarities of texts that belong together.
        negatives: Similarities of texts that do not.
    """

    positives: Floats
    negatives: Floats


@dataclass(frozen=True, slots=True)
class Sample:
    """Some embedded texts, to be drawn as a map.

    Attributes:
        rows: Their embeddings, float32 ``(texts, dim)``, unit rows.
        groups: What each belongs to, for people: the folder of its document, or its side of a pair.
    """

    rows: Floats
    groups: tuple[str, ...]


class Probe(Protocol):
    """Measures a tower."""

    name: str
    """What is measured, for people."""

    def sample(self, tower: keras.Model) -> Sample:
        """Return up to 1,000 embedded texts."""
        ...

    def measure(self, tower: keras.Model) -> float:
        """Return a number, higher is better: the mean of ``values``."""
        ...

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return what is measured of each held-out document or example, float64 ``(held out,)``, always in one order.

        A correlation, which is no mean, is the only value.
        """
        ...

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of texts that belong together and of texts that do not."""
        ...


def embedded(tower: keras.Model, texts: Sequence[Ids], framing: Framing) -> Floats:
    """Return a tower's embeddings of tokenised texts, float32 ``(len(texts), dim)``, unit rows, in the order given."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    rows = np.empty((len(texts), tower.output_shape[-1]), dtype=np.float32)
    while order:
        count = max(1, _BATCH_TOKENS // max(1, len(texts[order[-1]])))
        chosen, order = order[-count:], order[:-count]
        rows[chosen] = tower.predict_on_batch(framing.block([texts[row] for row in chosen]))
    return rows


class HalvesProbe:
    """One half of a held-out document must find its other half among the halves of all documents.

    The mean over both directions of 1 / rank: mean reciprocal rank, in (0, 1].
    """

    name = "halves found, MRR"

    def __init__(self, material: Material, held_out: Sequence[int], *, framing: Framing, seed: int) -> None:
        """Cut the halves; which tokens are struck out depends on ``seed`` alone."""
        self._framing, self._count = framing, len(held_out)
        random = np.random.default_rng([seed, 2])
        held = set(held_out)
        others = [row for row in epoch_order(len(material.texts), seed=seed, epoch=0).tolist() if row not in held]
        rows = [*held_out, *others[: max(0, _MOST_DOCUMENTS - len(held_out))]]
        halves = []
        for row in rows:
            body = material.texts[row].body
            middle = len(body) // 2
            first, second = body[:middle][:_MOST_TOKENS], body[middle:][:_MOST_TOKENS]
            halves.append(without_shared(first, second, probability=_STRIKE, random=random))
        self._sides = [[half[side] for half in halves] for side in range(2)]
        self._folders = tuple(material.texts[row].id.rpartition("/")[0].partition("/")[0] for row in rows)
        sketches = material.sketches[rows]
        self._alike = sketches[: self._count] @ sketches.T > NEAR_DUPLICATE
        self._alike[np.arange(self._count), np.arange(self._count)] = False

    def measure(self, tower: keras.Model) -> float:
        """Return the mean reciprocal rank."""
        return float(self.values(tower).mean())

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return each held-out document's reciprocal rank, the mean of both directions, float64 ``(held out,)``."""
        first, second = (embedded(tower, side, self._framing) for side in self._sides)
        return (self._found(first, second) + self._found(second, first)) / 2

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of the halves of one document, and of halves of two."""
        first, second = (embedded(tower, side[: self._count], self._framing) for side in self._sides)
        return _against_the_rest(first, second)

    def sample(self, tower: keras.Model) -> Sample:
        """Return the first halves of documents, grouped by the documents' outermost folders."""
        drawn = self._sides[0][:_MOST_DRAWN]
        return Sample(embedded(tower, drawn, self._framing), self._folders[: len(drawn)])

    def _found(self, asked: Floats, sought: Floats) -> NDArray[np.float64]:
        """Return the reciprocal rank of row i of ``sought`` for row i of ``asked``, near-duplicates left out."""
        similarities = asked[: self._count] @ sought.T
        own = np.diagonal(similarities)[:, None].copy()
        ranks = 1 + ((similarities > own) & ~self._alike).sum(axis=1)
        return np.asarray(1 / ranks, dtype=np.float64)


class PairsProbe:
    """Held-out examples: what their labels ask for."""

    def __init__(self, examples: Examples, ids: Sequence[Sequence[Ids]], *, framing: Framing) -> None:
        """Take examples and the ids of their texts, a list per side."""
        names = {"scored": "Spearman", "positive": "partners found, MRR", "triplet": "triplets in order"}
        self.name = names[examples.kind]
        self._examples, self._ids, self._framing = examples, ids, framing

    def measure(self, tower: keras.Model) -> float:
        """Return Spearman's correlation, the mean reciprocal rank, or the share of triplets in order."""
        return float(self.values(tower).mean())

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return Spearman's correlation ``(1,)``, or reciprocal ranks or 1 for a triplet in order ``(examples,)``."""
        sides = [embedded(tower, side, self._framing) for side in self._ids]
        cosines = (sides[0] * sides[1]).sum(axis=1)
        if self._examples.kind == "triplet":
            return np.asarray(cosines > (sides[0] * sides[2]).sum(axis=1), dtype=np.float64)
        if self._examples.scores is not None:
            return np.array([_spearman(cosines, self._examples.scores)])
        ranks = 1 + (sides[0] @ sides[1].T > cosines[:, None]).sum(axis=1)
        return np.asarray(1 / ranks, dtype=np.float64)

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of pairs that belong together (of a score in the upper half) and of others."""
        sides = [embedded(tower, side, self._framing) for side in self._ids]
        cosines = (sides[0] * sides[1]).sum(axis=1)
        if self._examples.scores is not None:
            upper = self._examples.scores > 0.5
            return Similarities(cosines[upper], cosines[~upper])
        if self._examples.kind == "triplet":
            return Similarities(cosines, (sides[0] * sides[2]).sum(axis=1))
        return _against_the_rest(sides[0], sides[1])

    def sample(self, tower: keras.Model) -> Sample:
        """Return the texts of both sides of the examples."""
        first, second = (side[: _MOST_DRAWN // 2] for side in self._ids[:2])
        groups = ("first texts",) * len(first) + ("second texts",) * len(second)
        return Sample(embedded(tower, [*first, *second], self._framing), groups)


def _spearman(cosines: Floats, scores: Floats) -> float:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]  # slow to import

    if np.ptp(cosines) == 0 or np.ptp(scores) == 0:
        return 0.0
    return float(spearmanr(cosines, scores).statistic)


def _against_the_rest(first: Floats, second: Floats) -> Similarities:
    """Split ``first @ second.T`` into its diagonal and the rest."""
    similarities = first @ second.T
    own = np.eye(len(first), dtype=bool)
    return Similarities(similarities[own], similarities[~own])
