"""Explanations: why two texts are similar: passages that match, words that carry the match, terms in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from docsim.analysis.attribution import Attributed, Attribution, Link, Word
from docsim.analysis.shared_terms import SharedTerm, shared_terms
from docsim.engine.base import Snapshot
from docsim.ingest import passages
from docsim.models import Document, Passage
from docsim.search import scoring

__all__ = [
    "PAIRS",
    "ExplainedWord",
    "Explanation",
    "PassagePair",
    "Side",
    "Span",
    "Spanned",
    "explained",
    "telling_words",
]

PAIRS = 3
"""Pairs of passages that an explanation tells of."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: an indexed document, or a text that was asked for."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Spanned:
    """A document and how it is cut."""

    document: Document
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True)
class ExplainedWord:
    """A word and its share of the similarity.

    Attributes:
        text: As the document has it.
        start: First character in the document's text; None for a word of its title, which counts in every passage.
        end: One past the last character; None likewise.
        contribution: Its share of the similarity; negative if it speaks against it.
    """

    text: str
    start: int | None
    end: int | None
    contribution: float


@dataclass(frozen=True, slots=True)
class Span:
    """A passage of one side, ``document.text[start:end]``, with the words it was compared by."""

    start: int
    end: int
    text: str
    words: tuple[ExplainedWord, ...]


@dataclass(frozen=True, slots=True)
class PassagePair:
    """A passage of each side, one of them the other's best match.

    Attributes:
        similarity: Inner product of their embeddings; where the explanation is exact, the sum of the contributions of
            the words of ``a``, and of those of ``b``.
        a: The first side's passage.
        b: The second side's passage.
        links: The pairs of words that contribute most, best first; only where the explanation is exact.
    """

    similarity: float
    a: Span
    b: Span
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two texts are similar.

    Attributes:
        a: The text that was asked for.
        b: The document it is compared with.
        encoder: Fingerprint of the encoder.
        exact: Whether contributions of words sum to similarities; otherwise each is what leaving the word out costs.
        score: What ranks ``b`` in a dense search for ``a``.
        similarity: That of the best pair of passages.
        pairs: Best first.
        terms: What the two share for the full-text index, rarest first.
    """

    a: Side
    b: Side
    encoder: str
    exact: bool
    score: float
    similarity: float
    pairs: tuple[PassagePair, ...]
    terms: tuple[SharedTerm, ...]


def explained(
    snapshot: Snapshot, attribution: Attribution, a: Spanned, b: Spanned, *, pairs: int = PAIRS
) -> Explanation:
    """Explain the similarity of two documents.

    Args:
        snapshot: The index whose documents terms are counted in.
        attribution: Of the encoder that compares them.
        a: What was asked for.
        b: What it is compared with.
        pairs: Pairs of passages to tell of, at most, at least 1.
    """
    texts = [passages.inputs(side.document, side.passages) for side in (a, b)]
    rows = [attribution.encoder.encode(each) for each in texts]
    found = [
        _pair(attribution.of(texts[0][i], texts[1][j]), (a, b), (i, j)) for i, j in _matches(rows[0] @ rows[1].T, pairs)
    ]
    whole = [f"{side.document.title}\n{side.document.text}" for side in (a, b)]
    return Explanation(
        Side(a.document.id, a.document.title),
        Side(b.document.id, b.document.title),
        attribution.encoder.fingerprint,
        attribution.exact,
        scoring.rank(rows[0], [rows[1]])[0].score,
        min(found[0].similarity, 1.0),
        tuple(found),
        tuple(shared_terms(snapshot, *whole)),
    )


def telling_words(span: Span, *, share: float = 0.5) -> list[str]:
    """Return the words, lower-cased, that together contribute ``share`` of what all that speak for the match do.

    The one that contributes most, wherever it stands in the passage or its title, comes first.
    """
    totals: Counter[str] = Counter()
    for word in span.words:
        totals[word.text.casefold()] += word.contribution  # type: ignore[assignment]  # Counter is typed for int
    best = [(word, total) for word, total in totals.most_common() if total > 0 and any(map(str.isalnum, word))]
    needed = share * sum(total for _, total in best)
    sums = accumulate((total for _, total in best), initial=0.0)
    return [word for (word, _), before in zip(best, sums, strict=False) if before < needed]


def _matches(similarities: NDArray[np.float32], most: int) -> list[tuple[int, int]]:
    """Return the pairs of passages of which one is the other's best match, best first."""
    pairs = {(i, int(j)) for i, j in enumerate(similarities.argmax(axis=1))}
    pairs |= {(int(i), j) for j, i in enumerate(similarities.argmax(axis=0))}
    return sorted(pairs, key=lambda pair: (-similarities[pair], pair))[:most]


def _pair(found: Attributed, sides: tuple[Spanned, Spanned], places: tuple[int, int]) -> PassagePair:
    a, b = (
        _span(side.document, side.passages[place], words)
        for side, place, words in zip(sides, places, (found.a, found.b), strict=True)
    )
    return PassagePair(found.similarity, a, b, found.links)


def _span(document: Document, passage: Passage, words: Sequence[Word]) -> Span:
    """Return a passage with its words, whose offsets in what was encoded become those in the document's text."""
    shift = passage.start - (len(document.title) + 1 if document.title else 0)
    told = tuple(
        ExplainedWord(word.text, word.start + shift, word.end + shift, word.contribution)
        if word.start + shift >= passage.start
        else ExplainedWord(word.text, None, None, word.contribution)
        for word in words
    )
    return Span(passage.start, passage.end, document.text[passage.start : passage.end], told)
