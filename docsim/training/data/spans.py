"""Spans: pairs that documents make of themselves, so that nobody need label anything.

    halves       a span of the first half of a document, and one of the second
    neighbours   spans on the two sides of a border between passages
    title        the title, and a span of the text
    question     a few telling tokens of a passage, as people ask who type keywords, and a span of the text

Two such texts are about the same thing and are never the same text. To a lookup of shared words most pairs would be
easy, so tokens that occur on both sides are struck out of one of them, each with a given probability: what is left must
be found by related words. The inverse cloze task of Lee, Chang and Toutanova (ACL 2019, section 4,
https://aclanthology.org/P19-1612/), which removes the sentence itself from its context, taken further; spans of one
document as positives are those of Izacard et al., "Contriever" (2022, section 3.2, https://arxiv.org/abs/2112.09118).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.errors import TrainingError
from docsim.training.data.batches import Batch, Framing, Ids, epoch_order
from docsim.training.data.material import Material, Text

__all__ = ["NEAR_DUPLICATE", "SpanBatches", "SpanRecipe", "held_out", "without_shared"]

NEAR_DUPLICATE = 0.8
"""Inner product of two documents' sketches from which on they are no negatives of each other."""

_QUESTION_TOKENS = (3, 12)
_ASKED_ABOUT = (32, 128)  # tokens that a question is drawn from
_TITLE_ASKED = 0.3  # how often the title's are among them
_LEAST_TOKENS = 3  # a side that striking out would leave shorter keeps all its tokens

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class SpanRecipe:
    """How pairs are made; the defaults are what did best in docs/training.md.

    Attributes:
        shortest: Tokens of the shortest span.
        longest: Tokens of the longest span, the title not counted.
        title_share: Share of pairs that have the title as one side, of documents that have one.
        prefix_share: Share of the other pairs that have the title before one side.
        neighbour_share: Share of the other pairs that are cut at a border between passages, not in the middle.
        question_share: Share of all pairs that are a question and a span of the text, with the title half the time.
        question_strike: Probability that a token of a question is struck out of the text that answers it.
        strike: Probability that a token on both sides is struck out of one of them.
        word_dropout: Probability that any token is dropped.
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
        """Refuse what cannot be.

        Raises:
            TrainingError: A probability is outside [0, 1], or a length below 1 or out of order.
        """
        names = ("title_share", "prefix_share", "neighbour_share", "question_share", "question_strike")
        for name in (*names, "strike", "word_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"expected {name} from 0 to 1; got {getattr(self, name)}")
        if not 1 <= self.shortest <= self.longest:
            raise TrainingError(f"expected spans of 1 token or more; got {self.shortest} to {self.longest}")


class SpanBatches:
    """Batches of pairs, at most one of each document in a batch, and at most one hard negative for each."""

    def __init__(
        self,
        material: Material,
        rows: Sequence[int],
        *,
        recipe: SpanRecipe,
        framing: Framing,
        size: int,
        seed: int,
        negatives: NDArray[np.int64] | None = None,
    ) -> None:
        """Make pairs of the texts ``rows`` of ``material``.

        Args:
            material: Documents.
            rows: Which of them to learn from.
            recipe: How pairs are made.
            framing: What the tower expects around a text.
            size: Pairs in a batch; fewer where there are fewer documents.
            seed: Seed of all that is drawn.
            negatives: For each text of ``material`` the numbers of texts that are hard negatives, ``(texts, any)``,
                -1 where there are fewer.
        """
        self._material, self._rows, self._recipe, self._framing = material, np.asarray(rows), recipe, framing
        self._seed, self._negatives = seed, negatives
        self._telling = material.inverse_frequencies() ** 2
        self._size = min(size, len(rows))
        self.per_epoch = len(rows) // self._size

    def batch(self, step: int) -> Batch:
        """Return batch number ``step``, from 0."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order(len(self._rows), seed=self._seed, epoch=epoch)
        rows = self._rows[order[place * self._size : (place + 1) * self._size]]
        random = np.random.default_rng([self._seed, 1, step])
        pairs = [self._pair(self._material.texts[row], random) for row in rows]
        sides = [self._framing.block([pair[side] for pair in pairs]) for side in range(2)]
        if self._negatives is not None:
            sides.append(self._framing.block(self._hard(rows, random)))
        sketches = self._material.sketches[rows]
        excluded = sketches @ sketches.T > NEAR_DUPLICATE
        np.fill_diagonal(excluded, val=False)
        return Batch(tuple(sides), {"excluded": excluded})

    def _pair(self, text: Text, random: Random) -> tuple[Ids, Ids]:
        """Return two sides drawn from one document, in random order."""
        asked = random.random() < self._recipe.question_share
        sides = _asked(text, self._recipe, random, self._telling) if asked else _parts(text, self._recipe, random)
        return sides if random.random() < 0.5 else sides[::-1]

    def _hard(self, rows: NDArray[np.int64], random: Random) -> list[Ids]:
        """Return a span of a hard negative of each text, or of some text's where it has none."""
        assert self._negatives is not None
        spans = []
        for row in rows:
            known = self._negatives[row][self._negatives[row] >= 0]
            if len(known):
                spans.append(_span(self._material.texts[random.choice(known)].body, self._recipe, random))
        return spans or [self._material.texts[rows[0]].body[:0]]


def held_out(material: Material, *, seed: int, share: float = 0.1, least: int = 10, most: int = 500) -> list[int]:
    """Return which texts to hold out of training, ascending: a tenth, at least 10 and at most 500, drawn by lot."""
    count = min(most, max(least, int(len(material.texts) * share)))
    return sorted(epoch_order(len(material.texts), seed=seed, epoch=0)[:count].tolist())


def without_shared(first: Ids, second: Ids, *, probability: float, random: Random) -> tuple[Ids, Ids]:
    """Strike tokens that occur on both sides out of one of them.

    Args:
        first: Ids ``(tokens,)``.
        second: Ids ``(tokens,)``.
        probability: Of each shared token to be struck out; the side is drawn by lot.
        random: Where lots are drawn from.

    Returns:
        The two sides; one that would keep fewer than three tokens keeps all.
    """
    shared = np.intersect1d(first, second)
    struck = shared[random.random(len(shared)) < probability]
    if not len(struck):
        return first, second
    side = random.random(len(struck)) < 0.5
    short_first, short_second = _without(first, struck[side]), _without(second, struck[~side])
    return (
        short_first if len(short_first) >= _LEAST_TOKENS else first,
        short_second if len(short_second) >= _LEAST_TOKENS else second,
    )


def _without(ids: Ids, struck: Ids) -> Ids:
    """Return ids but for some, which are few: comparing all with all is then the fastest way."""
    found: NDArray[np.bool_] = (ids[:, None] == struck[None, :]).any(axis=1)
    return ids[~found]


def _parts(text: Text, recipe: SpanRecipe, random: Random) -> tuple[Ids, Ids]:
    """Return two parts of a document, or its title and a part, without most of the tokens that they share."""
    if len(text.title) and random.random() < recipe.title_share:
        first, second = text.title, _span(text.body, recipe, random)
    else:
        border = _border(text, recipe, random)
        first, second = _span(text.body[:border], recipe, random), _span(text.body[border:], recipe, random)
        if len(text.title) and random.random() < recipe.prefix_share:
            first = np.concatenate([text.title, first])
    first, second = without_shared(first, second, probability=recipe.strike, random=random)
    return _thinned(first, recipe.word_dropout, random), _thinned(second, recipe.word_dropout, random)


def _asked(text: Text, recipe: SpanRecipe, random: Random, telling: NDArray[np.float32]) -> tuple[Ids, Ids]:
    """Return a few different tokens of a passage, telling ones more often, and a span of the text."""
    about = _run(text.body, _ASKED_ABOUT, random)
    if len(text.title) and random.random() < _TITLE_ASKED:
        about = np.concatenate([text.title, about])
    tokens = np.unique(about)
    lots = telling[tokens] / telling[tokens].sum()
    count = min(len(tokens), int(random.integers(_QUESTION_TOKENS[0], _QUESTION_TOKENS[1] + 1)))
    question = random.choice(tokens, size=count, replace=False, p=lots)
    answer = _span(text.body, recipe, random)
    if len(text.title) and random.random() < recipe.prefix_share:
        answer = np.concatenate([text.title, answer])
    rest = _without(answer, question[random.random(count) < recipe.question_strike])
    return question, _thinned(rest if len(rest) >= _LEAST_TOKENS else answer, recipe.word_dropout, random)


def _border(text: Text, recipe: SpanRecipe, random: Random) -> int:
    """Return where to cut a text in two: at a border between passages, or in the middle."""
    fit = text.borders[(text.borders >= recipe.shortest) & (text.borders <= len(text.body) - recipe.shortest)]
    if recipe.neighbour_share and len(fit) and random.random() < recipe.neighbour_share:
        return int(random.choice(fit))
    return len(text.body) // 2


def _span(ids: Ids, recipe: SpanRecipe, random: Random) -> Ids:
    """Return a run of ids of random length and place."""
    return _run(ids, (recipe.shortest, recipe.longest), random)


def _run(ids: Ids, lengths: tuple[int, int], random: Random) -> Ids:
    """Return a run of ids at a random place, its length drawn from a range."""
    length = min(len(ids), int(random.integers(lengths[0], lengths[1] + 1)))
    start = int(random.integers(0, len(ids) - length + 1))
    return ids[start : start + length]


def _thinned(ids: Ids, dropout: float, random: Random) -> Ids:
    """Return ids without a random share of them; at least one is left."""
    if not dropout:
        return ids
    kept = ids[random.random(len(ids)) >= dropout]
    return kept if len(kept) else ids
