"""Pairs made from documents themselves, for training without labels.

    halves       a span of the first half of a document, and one of the second half
    neighbours   spans on both sides of a border between passages
    title        the title, and a span of the text
    question     a few rare tokens of a passage, like a keyword query, and a span of the text

The two texts of a pair are about the same thing but never the same text. Most pairs could be matched by their shared
words alone, so each shared token is removed from one side with a given probability: the model must learn to match by
related words. This extends the inverse cloze task of Lee, Chang and Toutanova (ACL 2019, section 4,
https://aclanthology.org/P19-1612/), which removes a sentence from its context. Using spans of one document as positives
follows Izacard et al., "Contriever" (2022, section 3.2, https://arxiv.org/abs/2112.09118).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.data.batch_layout import Batch, BatchOptions, Floats, Ids, epoch_order
from docsim.training.data.corpus import NEAR_DUPLICATE, TokenizedCorpus, TokenizedDocument

__all__ = ["SpanBatches", "SpanRecipe", "without_shared"]

_QUESTION_TOKENS = (3, 12)  # fewest and most tokens of a question
_QUESTION_CONTEXT = (32, 128)  # fewest and most tokens of the run that a question is drawn from
_TITLE_IN_QUESTION = 0.3  # probability that the title is added to that run
_MIN_TOKENS = 3  # a side that would be left shorter keeps all its tokens

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class SpanRecipe:
    """How pairs are made from documents; docs/research/training.md has the measurements behind the defaults.

    Attributes:
        shortest: Tokens of the shortest span.
        longest: Tokens of the longest span, not counting a title before it.
        title_share: Share of pairs with the title as one side, among documents that have one.
        prefix_share: Share of the other pairs with the title before one side.
        neighbour_share: Share of the other pairs that are cut at a border between passages instead of in the middle.
        question_share: Share of all pairs that are a question and a span of the text.
        question_strike: Probability that a token of the question is removed from the span that answers it.
        strike: Probability that a token on both sides is removed from one of them.
        word_dropout: Probability that any token is removed.
    """

    shortest: int = 10
    longest: int = 256
    title_share: float = 0.2
    prefix_share: float = 0.5
    neighbour_share: float = 0.0
    question_share: float = 0.3
    question_strike: float = 0.5
    strike: float = 0.9
    word_dropout: float = 0.2

    def __post_init__(self) -> None:
        """Validate the numbers.

        Raises:
            TrainingError: A probability is outside [0, 1], or the lengths are below 1 or in the wrong order.
        """
        names = ("title_share", "prefix_share", "neighbour_share", "question_share", "question_strike")
        for name in (*names, "strike", "word_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"expected {name} from 0 to 1; got {getattr(self, name)}")
        if not 1 <= self.shortest <= self.longest:
            raise TrainingError(
                f"expected a shortest span of at least 1 token and a longest that is no shorter; got {self.shortest} "
                f"and {self.longest}"
            )


class SpanBatches:
    """Batches of pairs made from documents, with at most one pair and one hard negative of each document in a batch."""

    def __init__(
        self,
        corpus: TokenizedCorpus,
        rows: Sequence[int],
        *,
        recipe: SpanRecipe,
        options: BatchOptions,
        negatives: NDArray[np.int64] | None = None,
    ) -> None:
        """Make pairs of some documents of a corpus.

        Args:
            corpus: Documents.
            rows: Numbers of the documents to learn from.
            recipe: How pairs are made.
            options: Input format, batch size and seed.
            negatives: For each document of ``corpus`` the numbers of its hard negatives, int64 ``(documents, any)``,
                filled up with -1.
        """
        self._corpus, self._rows, self._recipe, self._options = corpus, np.asarray(rows), recipe, options
        self._negatives = negatives
        self._rarity = corpus.inverse_frequencies() ** 2
        self._size = min(options.size, len(rows))
        self.per_epoch = len(rows) // self._size

    def rows(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of the documents of batch ``step``, int64 ``(pairs,)``."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order(len(self._rows), seed=self._options.seed, epoch=epoch)
        chosen: NDArray[np.int64] = self._rows[order[place * self._size : (place + 1) * self._size]]
        return chosen

    def batch(self, step: int) -> Batch:
        """Return batch ``step``, from 0."""
        rows = self.rows(step)
        random = np.random.default_rng([self._options.seed, 1, step])
        pairs = [self._pair(self._corpus.documents[row], random) for row in rows]
        format = self._options.input_format
        sides = [format.block([pair[side] for pair in pairs], questions=side == 0) for side in range(2)]
        if self._negatives is not None:
            sides.append(format.block(self._hard_negatives(self._negatives, rows, random)))
        sketches = self._corpus.sketches[rows]
        excluded = sketches @ sketches.T > NEAR_DUPLICATE
        np.fill_diagonal(excluded, val=False)
        return Batch(tuple(sides), {"excluded": excluded})

    def _pair(self, document: TokenizedDocument, random: Random) -> tuple[Ids, Ids]:
        """Return a pair made from one document, in random order."""
        asked = random.random() < self._recipe.question_share
        sides = (
            _question_and_answer(document, self._recipe, random, self._rarity)
            if asked
            else _two_spans(document, self._recipe, random)
        )
        return sides if random.random() < 0.5 else sides[::-1]

    def _hard_negatives(self, negatives: NDArray[np.int64], rows: NDArray[np.int64], random: Random) -> list[Ids]:
        """Return a span of a hard negative of each document that has one; one empty text if none has."""
        spans = []
        for row in rows:
            known = negatives[row][negatives[row] >= 0]
            if len(known):
                spans.append(_span(self._corpus.documents[random.choice(known)].body, self._recipe, random))
        return spans or [self._corpus.documents[rows[0]].body[:0]]


def without_shared(first: Ids, second: Ids, *, probability: float, random: Random) -> tuple[Ids, Ids]:
    """Remove tokens that occur on both sides from one of them, chosen at random.

    Args:
        first: Ids ``(tokens,)``.
        second: Ids ``(tokens,)``.
        probability: Probability with which each shared token is removed.
        random: Source of randomness.

    Returns:
        The two sides. A side that would be left with fewer than three tokens keeps all of them.
    """
    shared = np.intersect1d(first, second)
    struck = shared[random.random(len(shared)) < probability]
    if not len(struck):
        return first, second
    side = random.random(len(struck)) < 0.5
    short_first, short_second = _remove(first, struck[side]), _remove(second, struck[~side])
    return (
        short_first if len(short_first) >= _MIN_TOKENS else first,
        short_second if len(short_second) >= _MIN_TOKENS else second,
    )


def _remove(ids: Ids, struck: Ids) -> Ids:
    """Return ids without some others. These are few, so comparing all with all is the fastest way."""
    found: NDArray[np.bool_] = (ids[:, None] == struck[None, :]).any(axis=1)
    return ids[~found]


def _two_spans(document: TokenizedDocument, recipe: SpanRecipe, random: Random) -> tuple[Ids, Ids]:
    """Return two spans of a document, or its title and a span, without most of the tokens that they share."""
    if len(document.title) and random.random() < recipe.title_share:
        first, second = document.title, _span(document.body, recipe, random)
    else:
        border = _border(document, recipe, random)
        first, second = _span(document.body[:border], recipe, random), _span(document.body[border:], recipe, random)
        if len(document.title) and random.random() < recipe.prefix_share:
            first = np.concatenate([document.title, first])
    first, second = without_shared(first, second, probability=recipe.strike, random=random)
    return _drop_tokens(first, recipe.word_dropout, random), _drop_tokens(second, recipe.word_dropout, random)


def _question_and_answer(
    document: TokenizedDocument, recipe: SpanRecipe, random: Random, rarity: Floats
) -> tuple[Ids, Ids]:
    """Return a few different tokens of a passage, preferably rare ones, and a span of the document."""
    context = _random_run(document.body, _QUESTION_CONTEXT, random)
    if len(document.title) and random.random() < _TITLE_IN_QUESTION:
        context = np.concatenate([document.title, context])
    tokens = np.unique(context)
    weights = rarity[tokens] / rarity[tokens].sum()
    count = min(len(tokens), int(random.integers(_QUESTION_TOKENS[0], _QUESTION_TOKENS[1] + 1)))
    question = random.choice(tokens, size=count, replace=False, p=weights)
    answer = _span(document.body, recipe, random)
    if len(document.title) and random.random() < recipe.prefix_share:
        answer = np.concatenate([document.title, answer])
    rest = _remove(answer, question[random.random(count) < recipe.question_strike])
    return question, _drop_tokens(rest if len(rest) >= _MIN_TOKENS else answer, recipe.word_dropout, random)


def _border(document: TokenizedDocument, recipe: SpanRecipe, random: Random) -> int:
    """Return where to cut a document in two: at a border between passages, or in the middle."""
    fit = document.borders[
        (document.borders >= recipe.shortest) & (document.borders <= len(document.body) - recipe.shortest)
    ]
    if recipe.neighbour_share and len(fit) and random.random() < recipe.neighbour_share:
        return int(random.choice(fit))
    return len(document.body) // 2


def _span(ids: Ids, recipe: SpanRecipe, random: Random) -> Ids:
    """Return a run of ids of random length and position."""
    return _random_run(ids, (recipe.shortest, recipe.longest), random)


def _random_run(ids: Ids, lengths: tuple[int, int], random: Random) -> Ids:
    """Return a run of ids at a random position, its length drawn from a range."""
    length = min(len(ids), int(random.integers(lengths[0], lengths[1] + 1)))
    start = int(random.integers(0, len(ids) - length + 1))
    return ids[start : start + length]


def _drop_tokens(ids: Ids, dropout: float, random: Random) -> Ids:
    """Return ids without a random share of them, but never without all."""
    if not dropout:
        return ids
    kept = ids[random.random(len(ids)) >= dropout]
    return kept if len(kept) else ids
