"""Answering: whether an index answers a question at all, or only has pages that are least unlike it.

No score tells that by itself: scores are high for words that everything here is about, and low for questions in other
words than the pages'. Three things together do:

    covered     how much of what the question asks for the leading documents hold, by the rarity of words
    known       how much of it any document holds
    unusual     how rarely a random text of this length is as similar to a document as the question is to the best hit

Their weights come from questions of judged sets, half of which had their answers taken out of the index
(``benchmarks/gaps.py``). A question that is answered in other words altogether looks like one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from docsim.engine.base import Snapshot
from docsim.engine.records import QueryTerm
from docsim.models import Hit
from docsim.text.languages import language_of
from docsim.text.tokens import words_of

__all__ = ["Signals", "signals"]

LEADING = 3
"""So many of the leading hits are looked at."""

_MOST_WORDS = 40
"""Of a longer question, the rarest words that are known, and all that are not."""

_LEAST_RARE = 1e-4  # a similarity that no random pair reaches counts as one that one in 10,000 does

_WEIGHTS = {"constant": 1.317, "covered": -1.525, "known": -0.044, "unusual": -0.214}


@dataclass(frozen=True, slots=True)
class Signals:
    """What tells whether a question is answered.

    Attributes:
        covered: Share of the question's words that one of the leading documents holds, by rarity, in [0, 1].
        known: Share of them that any document holds, in [0, 1].
        unusual: How many powers of ten rarer than random the best similarity is, in [0, 4].
        missing: The words that no document holds, in the order of the question.
    """

    covered: float
    known: float
    unusual: float
    missing: tuple[str, ...]

    @property
    def gap(self) -> float:
        """The probability that nothing answers the question, if half of all questions are not answered; in [0, 1]."""
        odds = _WEIGHTS["constant"]
        odds += sum(_WEIGHTS[name] * getattr(self, name) for name in ("covered", "known", "unusual"))
        return 1 / (1 + math.exp(-odds))


def signals(snapshot: Snapshot, question: str, hits: Sequence[Hit]) -> Signals:
    """Return what tells whether a question is answered.

    Args:
        snapshot: What was searched.
        question: The question.
        hits: What was found for it, best first.
    """
    words = list(dict.fromkeys(words_of(question)))
    language = language_of(words)
    terms = [QueryTerm((word,), language=language) for word in words]
    total = max(1, snapshot.counts().documents)
    held = snapshot.frequencies(terms)
    rarity = np.array([math.log(1 + total / (1 + count)) for count in held])
    chosen = np.argsort(-rarity, kind="stable")[:_MOST_WORDS]
    whole = float(rarity[chosen].sum()) or 1.0
    known = float(sum(rarity[place] for place in chosen if held[place]))
    numbers = [number for hit in hits[:LEADING] if (number := snapshot.number(hit.id)) is not None]
    covered = 0.0
    if numbers:
        asked = np.array(numbers, np.int64)
        found = [snapshot.text_search([terms[place]]).of(asked) > 0 for place in chosen.tolist() if held[place]]
        weights = [rarity[place] for place in chosen.tolist() if held[place]]
        covered = float((np.array(found, float).T @ weights).max()) if found else 0.0
    missing = tuple(word for word, count in zip(words, held, strict=True) if not count)
    return Signals(covered / whole, known / whole, _unusual(hits), missing)


def _unusual(hits: Sequence[Hit]) -> float:
    """Return how many powers of ten rarer than random the best similarity is; 0 where that is not known."""
    percentiles = [hit.percentile for hit in hits if hit.percentile is not None]
    return -math.log10(max(_LEAST_RARE, 1 - max(percentiles) / 100)) if percentiles else 0.0
