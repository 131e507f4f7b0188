"""Probes: validation measures of a tower on texts that it was not trained on; one number, higher is better.

    HalvesProbe     documents without labels: mean reciprocal rank at which half of a document finds its other half
    QuestionsProbe  the same, and how well questions that people asked find the documents that they opened
    ExamplesProbe   labelled examples: Spearman's correlation, mean reciprocal rank, or share of triplets in order

A probe decides when training stops and which weights are kept, so it should measure what matters for search. The halves
of a document share names and phrases, by which every encoder could match them. Half of the tokens that both halves
contain are therefore removed from one of them. Of the probes tried, this one predicted judged results best
(docs/research/training.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from docsim.training.data.batch_layout import Floats, Ids, InputFormat, epoch_order
from docsim.training.data.corpus import NEAR_DUPLICATE, TokenizedCorpus
from docsim.training.data.document_pairs import without_shared
from docsim.training.data.labelled_examples import Examples
from docsim.training.data.used_questions import UsedPair

__all__ = ["EmbeddedSample", "ExamplesProbe", "HalvesProbe", "Probe", "QuestionsProbe", "Similarities", "embedded"]

_MAX_DOCUMENTS = 3000  # whose halves are searched; more would take longer and change little
_MAX_TOKENS = 256  # of a half
_MAX_SAMPLED = 1000
_STRIKE = 0.5  # probability that a shared token is removed from one half
_BATCH_TOKENS = 1 << 15  # padded tokens embedded at once: 32 MB of token vectors with 256 components


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of texts, for a histogram.

    Attributes:
        positives: Cosines of texts that belong together, float32 ``(any,)``.
        negatives: Cosines of texts that do not, float32 ``(any,)``.
    """

    positives: Floats
    negatives: Floats


@dataclass(frozen=True, slots=True)
class EmbeddedSample:
    """Some embedded texts, for a map.

    Attributes:
        rows: Embeddings, float32 ``(texts, dim)``, unit rows.
        groups: Group of each text for the legend: the folder of its document, or its side of a pair.
    """

    rows: Floats
    groups: tuple[str, ...]


class Probe(Protocol):
    """Measures a tower on held-out texts."""

    name: str
    """What is measured, for display."""

    def sample(self, tower: keras.Model) -> EmbeddedSample:
        """Return up to 1,000 embedded texts."""
        ...

    def measure(self, tower: keras.Model) -> float:
        """Return the mean of ``values``; higher is better."""
        ...

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return what was measured of each held-out document or example, float64 ``(held out,)``, in a fixed order.

        A correlation is a single value.
        """
        ...

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of texts that belong together and of texts that do not."""
        ...


def embedded(tower: keras.Model, texts: Sequence[Ids], input_format: InputFormat, *, questions: bool = False) -> Floats:
    """Return a tower's embeddings of tokenized texts, float32 ``(len(texts), dim)``, unit rows, in the given order.

    ``questions`` tells that the texts stand for what users ask, not for documents.
    """
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    rows = np.empty((len(texts), tower.output_shape[-1]), dtype=np.float32)
    while order:
        count = max(1, _BATCH_TOKENS // max(1, len(texts[order[-1]])))
        chosen, order = order[-count:], order[:-count]
        rows[chosen] = tower.predict_on_batch(input_format.block([texts[row] for row in chosen], questions=questions))
    return rows


class HalvesProbe:
    """One half of a held-out document should find the other half among the halves of all documents.

    The measure is the mean reciprocal rank over both directions, in (0, 1].
    """

    name = "halves found, MRR"

    def __init__(
        self, corpus: TokenizedCorpus, held_out: Sequence[int], *, input_format: InputFormat, seed: int
    ) -> None:
        """Split the documents.

        Args:
            corpus: Documents.
            held_out: Numbers of the held-out documents.
            input_format: Input that the tower expects.
            seed: Random seed.
        """
        self._input_format, self._count = input_format, len(held_out)
        random = np.random.default_rng([seed, 2])
        held = set(held_out)
        others = [row for row in epoch_order(len(corpus.documents), seed=seed, epoch=0).tolist() if row not in held]
        rows = [*held_out, *others[: max(0, _MAX_DOCUMENTS - len(held_out))]]
        halves = []
        for row in rows:
            body = corpus.documents[row].body
            middle = len(body) // 2
            first, second = body[:middle][:_MAX_TOKENS], body[middle:][:_MAX_TOKENS]
            halves.append(without_shared(first, second, probability=_STRIKE, random=random))
        self._sides = [[half[side] for half in halves] for side in range(2)]
        self._folders = tuple(corpus.documents[row].id.rpartition("/")[0].partition("/")[0] for row in rows)
        sketches = corpus.sketches[rows]
        self._alike = sketches[: self._count] @ sketches.T > NEAR_DUPLICATE
        self._alike[np.arange(self._count), np.arange(self._count)] = False

    def measure(self, tower: keras.Model) -> float:
        """Return the mean reciprocal rank."""
        return float(self.values(tower).mean())

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return each held-out document's reciprocal rank, averaged over both directions, float64 ``(held out,)``."""
        first, second = (embedded(tower, side, self._input_format) for side in self._sides)
        return (self._found(first, second) + self._found(second, first)) / 2

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of halves of the same document, and of halves of different ones."""
        first, second = (embedded(tower, side[: self._count], self._input_format) for side in self._sides)
        return _against_the_rest(first, second)

    def sample(self, tower: keras.Model) -> EmbeddedSample:
        """Return the first halves of documents, grouped by the documents' top-level folders."""
        drawn = self._sides[0][:_MAX_SAMPLED]
        return EmbeddedSample(embedded(tower, drawn, self._input_format), self._folders[: len(drawn)])

    def _found(self, asked: Floats, sought: Floats) -> NDArray[np.float64]:
        """Return the reciprocal rank of row i of ``sought`` for row i of ``asked``, ignoring near-duplicates."""
        similarities = asked[: self._count] @ sought.T
        own = np.diagonal(similarities)[:, None].copy()
        ranks = 1 + ((similarities > own) & ~self._alike).sum(axis=1)
        return np.asarray(1 / ranks, dtype=np.float64)


class QuestionsProbe:
    """What another probe measures, and whether questions that people asked find the documents that they opened.

    The measure is the mean of the other probe's and of the reciprocal rank of each question's document among all
    documents, each by its title and its beginning; in (0, 1].
    """

    def __init__(
        self, other: HalvesProbe, corpus: TokenizedCorpus, pairs: Sequence[UsedPair], *, input_format: InputFormat
    ) -> None:
        """Use pairs that are not trained on, at least one."""
        self._other, self._pairs, self._input_format = other, pairs, input_format
        self.name = f"{other.name}, and questions answered, MRR"
        answers = [one.row for one in pairs]
        rest = [row for row in range(len(corpus.documents)) if row not in set(answers)]
        self._rows = np.array([*dict.fromkeys(answers), *rest[:_MAX_DOCUMENTS]])
        chosen = [corpus.documents[row] for row in self._rows]
        self._documents = [np.concatenate([one.title, one.body])[:_MAX_TOKENS] for one in chosen]

    def measure(self, tower: keras.Model) -> float:
        """Return the mean of both measures."""
        return (self._other.measure(tower) + float(self._found(tower).mean())) / 2

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return what the other probe measured, then each question's reciprocal rank, float64 ``(any,)``."""
        return np.concatenate([self._other.values(tower), self._found(tower)])

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return those of the other probe."""
        return self._other.similarities(tower)

    def sample(self, tower: keras.Model) -> EmbeddedSample:
        """Return that of the other probe."""
        return self._other.sample(tower)

    def _found(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return the reciprocal rank of each question's document; others that answer it as well do not count."""
        asked = embedded(tower, [one.question for one in self._pairs], self._input_format, questions=True)
        similarities = asked @ embedded(tower, self._documents, self._input_format).T
        ranks = []
        for one, row in zip(self._pairs, similarities, strict=True):
            own = row[int(np.flatnonzero(self._rows == one.row)[0])]
            ranks.append(1 + int(((row > own) & ~np.isin(self._rows, list(one.others))).sum()))
        return 1 / np.array(ranks, np.float64)


class ExamplesProbe:
    """Measures how well the similarities of held-out examples agree with their labels."""

    def __init__(self, examples: Examples, ids: Sequence[Sequence[Ids]], *, input_format: InputFormat) -> None:
        """Use examples and the token ids of their texts, one list per side."""
        names = {"scored": "Spearman", "positive": "partners found, MRR", "triplet": "triplets in order"}
        self.name = names[examples.kind]
        self._examples, self._ids, self._input_format = examples, ids, input_format

    def measure(self, tower: keras.Model) -> float:
        """Return Spearman's correlation, in [-1, 1], or the mean reciprocal rank or share of triplets, in [0, 1]."""
        return float(self.values(tower).mean())

    def values(self, tower: keras.Model) -> NDArray[np.float64]:
        """Return Spearman's correlation ``(1,)``, or per example the reciprocal rank, or 1 for a triplet in order."""
        sides = self._embedded(tower)
        cosines = (sides[0] * sides[1]).sum(axis=1)
        if self._examples.kind == "triplet":
            return np.asarray(cosines > (sides[0] * sides[2]).sum(axis=1), dtype=np.float64)
        if self._examples.scores is not None:
            return np.array([_spearman(cosines, self._examples.scores)])
        ranks = 1 + (sides[0] @ sides[1].T > cosines[:, None]).sum(axis=1)
        return np.asarray(1 / ranks, dtype=np.float64)

    def similarities(self, tower: keras.Model) -> Similarities:
        """Return the similarities of pairs that belong together (with a score above 0.5) and of others."""
        sides = self._embedded(tower)
        cosines = (sides[0] * sides[1]).sum(axis=1)
        if self._examples.scores is not None:
            upper = self._examples.scores > 0.5
            return Similarities(cosines[upper], cosines[~upper])
        if self._examples.kind == "triplet":
            return Similarities(cosines, (sides[0] * sides[2]).sum(axis=1))
        return _against_the_rest(sides[0], sides[1])

    def _embedded(self, tower: keras.Model) -> list[Floats]:
        """Return the embeddings of each side, float32 ``(examples, dim)``."""
        return [
            embedded(tower, side, self._input_format, questions=self._examples.is_asked(number))
            for number, side in enumerate(self._ids)
        ]

    def sample(self, tower: keras.Model) -> EmbeddedSample:
        """Return texts of both sides of the examples."""
        first, second = (side[: _MAX_SAMPLED // 2] for side in self._ids[:2])
        groups = ("first texts",) * len(first) + ("second texts",) * len(second)
        return EmbeddedSample(embedded(tower, [*first, *second], self._input_format), groups)


def _spearman(cosines: Floats, scores: Floats) -> float:
    from scipy.stats import spearmanr  # slow to import

    if np.ptp(cosines) == 0 or np.ptp(scores) == 0:
        return 0.0
    return float(spearmanr(cosines, scores).statistic)


def _against_the_rest(first: Floats, second: Floats) -> Similarities:
    """Split ``first @ second.T`` into its diagonal and the rest."""
    similarities = first @ second.T
    own = np.eye(len(first), dtype=bool)
    return Similarities(similarities[own], similarities[~own])
