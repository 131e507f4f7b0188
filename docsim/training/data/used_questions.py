"""Questions that people asked, as pairs to train on beside those made from documents.

    positive    a question, and the passage that answers it best of a document that people opened or called good
    negative    a passage of a document that was looked at for the same question and passed over, or called bad

How often a pair is drawn depends on how sure its judgement is. Documents that are held out of training stay out, and so
do the questions that the gate decides by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.training.data.batch_layout import Batch, BatchOptions, Floats, Ids, tokenize
from docsim.training.data.corpus import NEAR_DUPLICATE, TokenizedCorpus, TokenizedDocument
from docsim.training.data.document_pairs import SpanBatches, SpanRecipe
from docsim.training.towers.saving import EncoderParts
from docsim.use.held_out_questions import Part
from docsim.use.judgements import Judged, JudgedQuestion

__all__ = ["BatchesWithQuestions", "UsedPair", "UsedPairs", "used_pairs"]

QUESTION_SHARE = 0.25
"""At most so many pairs of questions come to the pairs of a batch that are made from documents."""

_RANDOM_SPAN = 0.3  # the probability that a document answers with any of its spans instead of the best passage

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class UsedPair:
    """A question and a document that answers it.

    Attributes:
        question: Token ids of the question.
        number: Tells questions apart.
        row: Number of the document in the corpus.
        passage: Token ids of its best passage, with the title before it.
        weight: How sure it is that the document answers the question, in (0, 1).
        negatives: Numbers of documents that do not answer it.
        others: Numbers of all documents that do.
    """

    question: Ids
    number: int
    row: int
    passage: Ids
    weight: float
    negatives: tuple[int, ...]
    others: frozenset[int]


@dataclass(frozen=True, slots=True)
class UsedPairs:
    """What is learned from use, and what tells when learning ends.

    Attributes:
        learn: Pairs to train on.
        probe: Pairs of other questions, by which the best weights are chosen.
        digest: SHA-256 (64 hex digits) of the judgements.
    """

    learn: tuple[UsedPair, ...]
    probe: tuple[UsedPair, ...]
    digest: str


def used_pairs(judged: Judged, corpus: TokenizedCorpus, parts: EncoderParts, *, without: Sequence[int]) -> UsedPairs:
    """Return the pairs from judgements of documents that are in a corpus.

    Args:
        judged: Judgements from use.
        corpus: Documents.
        parts: The encoder whose tokenizer is used.
        without: Numbers of the documents that are held out.
    """
    held = set(without)
    rows = {one.id: row for row, one in enumerate(corpus.documents) if row not in held}
    rarity = corpus.inverse_frequencies()

    def pairs(part: Part) -> tuple[UsedPair, ...]:
        asked = [one for one in judged.questions if one.part == part]
        tokens = tokenize([one.text for one in asked], parts) if asked else []
        numbered = enumerate(zip(asked, tokens, strict=True))
        return tuple(pair for number, (one, ids) in numbered for pair in _pairs(one, ids, number, rows, corpus, rarity))

    return UsedPairs(pairs("learn"), pairs("probe"), judged.digest())


def _pairs(
    asked: JudgedQuestion,
    ids: Ids,
    number: int,
    rows: Mapping[str, int],
    corpus: TokenizedCorpus,
    rarity: Floats,
) -> list[UsedPair]:
    negatives = tuple(rows[one.document] for one in asked.negative if one.document in rows)
    positives = [one for one in asked.positive if one.document in rows]
    others = frozenset(rows[one.document] for one in positives)
    found = []
    for one in positives:
        row = rows[one.document]
        passage = best_passage(corpus.documents[row], ids, rarity)
        found.append(UsedPair(ids, number, row, passage, one.confidence, negatives, others))
    return found


def best_passage(document: TokenizedDocument, question: Ids, rarity: Floats) -> Ids:
    """Return the passage that shares most with a question, by the rarity of tokens, with the title before it."""
    parts = np.split(document.body, document.borders)
    shared = [float(rarity[np.intersect1d(part, question)].sum()) for part in parts]
    return np.concatenate([document.title, parts[int(np.argmax(shared))]])


class BatchesWithQuestions:
    """Batches of pairs made from documents, with pairs of questions that people asked after them."""

    def __init__(
        self,
        batches: SpanBatches,
        corpus: TokenizedCorpus,
        pairs: Sequence[UsedPair],
        *,
        recipe: SpanRecipe,
        options: BatchOptions,
    ) -> None:
        """Add pairs to batches.

        Args:
            batches: Pairs made from documents.
            corpus: The documents.
            pairs: Pairs of questions, at least one.
            recipe: How long passages are at most.
            options: Input format, batch size and seed.
        """
        self._batches, self._corpus, self._pairs = batches, corpus, pairs
        self._recipe, self._options = recipe, options
        weights = np.array([one.weight for one in pairs])
        self._chances = weights / weights.sum()
        self._rarity = corpus.inverse_frequencies()
        self._has_negatives = any(one.negatives for one in pairs) or len(batches.batch(0).sides) > 2
        self.per_epoch = batches.per_epoch

    def batch(self, step: int) -> Batch:
        """Return batch ``step``, from 0."""
        made, rows = self._batches.batch(step), self._batches.rows(step)
        random = np.random.default_rng([self._options.seed, 5, step])
        drawn = self._drawn(len(rows), random)
        format = self._options.input_format
        added = [
            format.block([one.question for one in drawn], questions=True),
            format.block([self._answer(one.row, one.passage, random) for one in drawn]),
        ]
        sides = [_stacked(side, more, format.padding_id) for side, more in zip(made.sides[:2], added, strict=True)]
        answers = np.concatenate([rows, np.array([one.row for one in drawn], np.int64)])
        labels = {**made.labels, "excluded": self._excluded(answers, drawn, made.labels["excluded"])}
        if self._has_negatives:
            wrong = [(int(random.choice(one.negatives)), one.question) for one in drawn if one.negatives]
            sides.append(self._negatives(made, [self._best(row, question) for row, question in wrong]))
            excluded = np.zeros((len(answers), len(sides[2])), dtype=bool)
            excluded[:, -1] = not wrong  # there is an empty text then, as a batch always has as many sides
            rows = np.array([row for row, _ in wrong], np.int64)
            excluded[:, excluded.shape[1] - len(wrong) :] = self._alike(answers, drawn, rows)
            labels["excluded_negatives"] = excluded
        return Batch(tuple(sides), labels)

    def _drawn(self, size: int, random: Random) -> list[UsedPair]:
        """Return pairs of different questions, the surer the more often."""
        most = max(1, min(len(self._pairs), int(size * QUESTION_SHARE)))
        chosen = random.choice(len(self._pairs), size=most, replace=False, p=self._chances)
        return list({self._pairs[place].number: self._pairs[place] for place in chosen.tolist()}.values())

    def _answer(self, row: int, passage: Ids, random: Random) -> Ids:
        """Return the best passage of a document, or sometimes any span of it, with the title before it."""
        document = self._corpus.documents[row]
        if random.random() >= _RANDOM_SPAN or len(document.body) <= self._recipe.longest:
            return passage[: self._recipe.longest]
        start = int(random.integers(0, len(document.body) - self._recipe.shortest))
        return np.concatenate([document.title, document.body[start:]])[: self._recipe.longest]

    def _best(self, row: int, question: Ids) -> Ids:
        return best_passage(self._corpus.documents[row], question, self._rarity)[: self._recipe.longest]

    def _negatives(self, made: Batch, texts: Sequence[Ids]) -> Ids:
        """Return the hard negatives of a batch, those of questions last."""
        format = self._options.input_format
        added = format.block(texts or [self._pairs[0].passage[:0]])
        return _stacked(made.sides[2], added, format.padding_id) if len(made.sides) > 2 else added

    def _excluded(
        self, answers: NDArray[np.int64], drawn: Sequence[UsedPair], made: NDArray[np.generic]
    ) -> NDArray[np.bool_]:
        """Return which rows must not be negatives of each other, bool ``(rows, rows)``."""
        excluded = self._alike(answers, drawn, answers)
        excluded |= excluded.T
        excluded[: len(made), : len(made)] = made
        np.fill_diagonal(excluded, val=False)
        return excluded

    def _alike(
        self, answers: NDArray[np.int64], drawn: Sequence[UsedPair], documents: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return where a document answers the question of a row, or is nearly the same as its own."""
        sketches = self._corpus.sketches
        alike = sketches[answers] @ sketches[documents].T > NEAR_DUPLICATE
        alike |= answers[:, None] == documents[None, :]
        for place, one in enumerate(drawn, start=len(answers) - len(drawn)):
            alike[place] |= np.isin(documents, list(one.others))
        return alike


def _stacked(first: Ids, second: Ids, padding_id: int) -> Ids:
    """Return two padded blocks as one."""
    width = max(first.shape[1], second.shape[1])
    blocks = [np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=padding_id) for one in (first, second)]
    return np.concatenate(blocks)
