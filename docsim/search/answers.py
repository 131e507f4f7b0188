"""Answers: how likely it is that the index holds an answer to a question.

There is always a nearest document, also to a question that no document answers. Two things tell: whether the first hit
holds the question's words, by how rare they are, and how rare a similarity like the hit's is in this index. They are
weighed by a logistic regression over questions whose answers were taken out of an index, and questions asked of the
index of another subject; see docs/research/ranking.md.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.filters.condition import Condition
from docsim.models import Document, Hit
from docsim.search.query_terms import rarity
from docsim.text.languages import is_small, language_of
from docsim.text.tokens import token, tokens, without_ends

__all__ = ["DOUBTFUL", "Evidence", "evidence"]

DOUBTFUL = 0.25
"""Below this likelihood, the index is said to hold probably nothing; measured, see docs/research/ranking.md."""

FEWEST_DOCUMENTS = 20
"""Fewer documents do not tell what is rare among them."""

MOST_WORDS = 12
"""A query of more different words is no question that could be judged by them."""

_LEAST = 0.05  # the rarity of a word that most documents hold
_WEIGHTS = (-2.678, 2.416, 0.851)  # of a constant, and of what ``Evidence.features`` returns


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer.

    Attributes:
        covered: The share of the question's words that the first hit holds, weighted by their rarity, in [0, 1].
        percentile: How many of 100 random pairs are less similar than the question and the first hit, [0, 100].
    """

    covered: float
    percentile: float

    @property
    def features(self) -> tuple[float, float]:
        """The numbers that are weighed; the percentile as a power of ten: 99 is 2, 99.9 is 3."""
        return self.covered, -math.log10(max(1e-4, 1 - self.percentile / 100))

    @property
    def likelihood(self) -> float:
        """How likely the index holds an answer, in [0, 1]."""
        return 1 / (1 + math.exp(-math.fsum(map(operator.mul, _WEIGHTS, (1.0, *self.features)))))


def evidence(
    snapshot: Snapshot, question: Document, first: Hit, number: int, *, visible: Condition | None = None
) -> Evidence | None:
    """Return what speaks for an answer in the first hit; None where that cannot be told.

    Args:
        snapshot: What was searched.
        question: What was asked.
        first: The first hit in hybrid mode.
        number: The number of its document.
        visible: What documents have to meet for the asker to know of them; None for all.
    """
    terms, total = _words(question), snapshot.counts().documents
    if first.percentile is None or total < FEWEST_DOCUMENTS or not 0 < len(terms) <= MOST_WORDS:
        return None
    weights = np.array([max(_LEAST, rarity(count, total)) for count in snapshot.frequencies(terms)])
    matches = [snapshot.text_search([term], where=visible) for term in terms]
    covered = [bool(found.of(np.array([number]))[0] > 0) for found in matches]
    return Evidence(float(weights[covered].sum() / weights.sum()), first.percentile)


def _words(question: Document) -> list[QueryTerm]:
    """Return the different words of a question, without small ones."""
    found = without_ends(tokens(f"{question.title}\n{question.text}"))
    language = language_of(found)
    words = dict.fromkeys(word for one in dict.fromkeys(found) for word in token(one).words)
    return [QueryTerm((word,), language=language) for word in words if not is_small(word, language)]
