"""Answers: how likely it is that the index holds an answer to a question.

There is always a nearest document, also to a question that no document answers. The estimate depends on two things: how
many of the question's words the first hit contains, weighted by their rarity, and how rare a similarity like the hit's
is in this index. Their weights come from a logistic regression over questions whose answers were taken out of an index,
and questions on a subject that the index does not cover; see docs/research/ranking.md. A question that is answered in
completely different words looks like one that is not answered.

``answerable`` gives the estimate for a question that is being asked, if enough is known. ``evidence`` gives it for any
question, for lists that somebody reads, such as that of gaps.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.models import Document
from docsim.search.query_terms import rarity
from docsim.text.languages import is_small, language_of
from docsim.text.tokens import token, tokens, without_ends

__all__ = ["DOUBTFUL", "FEWEST_DOCUMENTS", "MOST_WORDS", "Evidence", "answerable", "evidence"]

DOUBTFUL = 0.25
"""Below this likelihood, the index is said to hold probably nothing; measured, see docs/research/ranking.md."""

FEWEST_DOCUMENTS = 20
"""With fewer documents, it is not known which words are rare."""

MOST_WORDS = 12
"""A query of more different words is no question that could be judged by them."""

_WEIGHED = 40  # of a question with more words, those that are rarest
_LEAST = 0.05  # the rarity of a word that most documents hold
_WEIGHTS = (-2.678, 2.416, 0.851)  # of a constant, and of what ``Evidence.features`` returns


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer.

    Attributes:
        covered: The share of the question's words that the first hit holds, weighted by their rarity, in [0, 1].
        percentile: How many of 100 random pairs are less similar than the question and the first hit, [0, 100].
        missing: The words of the question that no document holds, in its order.
    """

    covered: float
    percentile: float
    missing: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[float, float]:
        """The inputs of the regression; the percentile as a power of ten: 99 is 2, 99.9 is 3."""
        return self.covered, -math.log10(max(1e-4, 1 - self.percentile / 100))

    @property
    def likelihood(self) -> float:
        """How likely the index holds an answer, in [0, 1]."""
        return 1 / (1 + math.exp(-math.fsum(map(operator.mul, _WEIGHTS, (1.0, *self.features)))))


def answerable(
    snapshot: Snapshot,
    question: Document,
    number: int,
    percentile: float | None,
) -> float | None:
    """Return how likely it is that the index holds an answer, in [0, 1]; None if it is not estimated.

    There is no estimate for an index of few documents, for a question of many words or none, or without a percentile.

    Args:
        snapshot: What was searched.
        question: What was asked.
        number: The number of the document that is the first hit in hybrid mode.
        percentile: How many of 100 random pairs are less similar than the two, in [0, 100].
    """
    is_enough = percentile is not None and snapshot.counts().documents >= FEWEST_DOCUMENTS
    terms = _words(question) if is_enough else []
    if not 0 < len(terms) <= MOST_WORDS:
        return None
    return _evidence(snapshot, terms, number, percentile).likelihood


def evidence(snapshot: Snapshot, question: Document, number: int, percentile: float | None) -> Evidence | None:
    """Return what speaks for an answer to any question; None for one without words.

    The arguments are those of ``answerable``; without a percentile, only the words count.
    """
    terms = _words(question)
    return _evidence(snapshot, terms, number, percentile) if terms else None


def _evidence(snapshot: Snapshot, terms: list[QueryTerm], number: int, percentile: float | None) -> Evidence:
    total, held = snapshot.counts().documents, snapshot.frequencies(terms)
    weights = np.array([max(_LEAST, rarity(count, total)) for count in held])
    chosen = np.argsort(-weights, kind="stable")[:_WEIGHED].tolist()
    covered = weights[chosen][snapshot.holds(number, [terms[place] for place in chosen])]
    missing = tuple(term.words[0] for term, count in zip(terms, held, strict=True) if not count)
    return Evidence(float(covered.sum() / weights[chosen].sum()), percentile or 0.0, missing)


def _words(question: Document) -> list[QueryTerm]:
    """Return the different words of a question, without small ones."""
    found = without_ends(tokens(f"{question.title}\n{question.text}"))
    language = language_of(found)
    words = dict.fromkeys(word for one in dict.fromkeys(found) for word in token(one).words)
    return [QueryTerm((word,), language=language) for word in words if not is_small(word, language)]
