"""Explanations: why two texts are similar, shown by matching passages, the words that contribute, and shared terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from docsim.analysis.attribution import Attributed, Attribution, Link, Word
from docsim.analysis.shared_terms import SharedTerm, shared_terms
from docsim.encoding.documents import Role, inputs, prefix
from docsim.engine.base import Snapshot
from docsim.errors import UsageError
from docsim.ingest import passages
from docsim.models import Document, Passage
from docsim.search import scoring, vocabulary
from docsim.search.asking import stored_document

__all__ = [
    "PAIRS",
    "ExplainedWord",
    "Explanation",
    "PassagePair",
    "Side",
    "Span",
    "Spanned",
    "explained",
    "spanned",
    "telling_words",
]

QUESTION = "query"
"""The id of a document that is a question."""

PAIRS = 3
"""The number of pairs of passages in an explanation, by default."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two texts that are compared: an indexed document or any text."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Spanned:
    """A document and its passages.

    Attributes:
        document: The document.
        passages: Its passages.
        role: Whether it is encoded as a document, or as a question.
    """

    document: Document
    passages: Sequence[Passage]
    role: Role = "document"


@dataclass(frozen=True, slots=True)
class ExplainedWord:
    """A word and its contribution to the similarity.

    Attributes:
        text: The word as it is written in the document.
        start: Offset of the first character in the document's text; None for a word of the title, which is encoded with
            every passage.
        end: Offset one past the last character; None for a word of the title.
        contribution: How much it contributes; negative if the texts would be more similar without it.
    """

    text: str
    start: int | None
    end: int | None
    contribution: float


@dataclass(frozen=True, slots=True)
class Span:
    """A passage of one side, ``document.text[start:end]``, with the words that were encoded."""

    start: int
    end: int
    text: str
    words: tuple[ExplainedWord, ...]


@dataclass(frozen=True, slots=True)
class PassagePair:
    """A passage of each side, one of which is the best match of the other.

    Attributes:
        similarity: Inner product of their embeddings. If the explanation is exact, the contributions of the words of
            ``a`` add up to it, and so do those of ``b``, together with what the encoder's own prefix contributes.
        a: The first side's passage.
        b: The second side's passage.
        links: The pairs of words that contribute most, the highest first; empty if the explanation is not exact.
    """

    similarity: float
    a: Span
    b: Span
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two texts are similar.

    Attributes:
        a: The first text, usually the query.
        b: The document that it is compared with.
        encoder: Fingerprint of the encoder.
        exact: Whether the contributions of words add up to the similarity. If not, a word's contribution is the
            similarity that is lost without it.
        score: The score of ``b`` in a dense search for ``a``.
        similarity: The similarity of the best pair of passages.
        pairs: Pairs of passages, best first.
        terms: Terms that both texts contain, rarest first.
    """

    a: Side
    b: Side
    encoder: str
    exact: bool
    score: float
    similarity: float
    pairs: tuple[PassagePair, ...]
    terms: tuple[SharedTerm, ...]


def spanned(snapshot: Snapshot, side: str | Document) -> Spanned:
    """Return any document, or the indexed one with this id, and its passages.

    A document with the id ``query`` and without a title is a question.

    Raises:
        UsageError: There is no document with this id.
    """
    if isinstance(side, Document):
        question = side.id == QUESTION and not side.title
        return Spanned(side, passages.split(side.text), "query" if question else "document")
    stored = stored_document(snapshot, side)
    return Spanned(stored.document, snapshot.passages([stored.number])[stored.number])


def explained(
    snapshot: Snapshot, attribution: Attribution, a: Spanned, b: Spanned, *, pairs: int = PAIRS
) -> Explanation:
    """Explain the similarity of two documents.

    Args:
        snapshot: The index in whose documents terms are counted.
        attribution: Attributes similarities to words, for the encoder to use.
        a: The first document, usually the query.
        b: The document that it is compared with.
        pairs: The largest number of pairs of passages to explain, at least 1.

    Raises:
        UsageError: ``pairs`` is below 1.
    """
    if pairs < 1:
        raise UsageError(f"expected at least 1 pair of passages to explain, got {pairs}")
    encoder = attribution.encoder
    texts = [inputs(encoder, side.document, side.passages, role=side.role) for side in (a, b)]
    heads = (prefix(encoder, a.role), prefix(encoder, b.role))
    rows = [encoder.encode(each) for each in texts]
    found = [
        _pair(attribution.of(texts[0][i], texts[1][j]), (a, b), (i, j), heads)
        for i, j in _matches(rows[0] @ rows[1].T, pairs)
    ]
    compared = scoring.scored(rows[0], [rows[1]], nothing=vocabulary.nothing(snapshot))
    whole = [f"{side.document.title}\n{side.document.text}" for side in (a, b)]
    return Explanation(
        Side(a.document.id, a.document.title),
        Side(b.document.id, b.document.title),
        encoder.fingerprint,
        attribution.exact,
        float(compared.scores[0]),
        min(found[0].similarity, 1.0) if compared.similarities[0].any() else 0.0,
        tuple(found),
        tuple(shared_terms(snapshot, *whole)),
    )


def telling_words(span: Span, *, share: float = 0.5) -> list[str]:
    """Return the fewest words, in lower case, that together make up ``share`` of all positive contributions.

    All occurrences of a word, in the passage and the title, are added up. The word that contributes most comes first.
    """
    totals: Counter[str] = Counter()
    for word in span.words:
        totals[word.text.casefold()] += word.contribution  # type: ignore[assignment]  # Counter is typed for int
    best = [(word, total) for word, total in totals.most_common() if total > 0 and any(map(str.isalnum, word))]
    needed = share * sum(total for _, total in best)
    sums = accumulate((total for _, total in best), initial=0.0)
    return [word for (word, _), before in zip(best, sums, strict=False) if before < needed]


def _matches(similarities: NDArray[np.float32], most: int) -> list[tuple[int, int]]:
    """Return the pairs of passages, by position, where one is the best match of the other; best first."""
    pairs = {(i, int(j)) for i, j in enumerate(similarities.argmax(axis=1))}
    pairs |= {(int(i), j) for j, i in enumerate(similarities.argmax(axis=0))}
    return sorted(pairs, key=lambda pair: (-similarities[pair], pair))[:most]


def _pair(
    found: Attributed, sides: tuple[Spanned, Spanned], positions: tuple[int, int], heads: tuple[str, str]
) -> PassagePair:
    a, b = (
        _span(side.document, side.passages[position], words, head=len(head))
        for side, position, words, head in zip(sides, positions, (found.a, found.b), heads, strict=True)
    )
    return PassagePair(found.similarity, a, b, found.links)


def _span(document: Document, passage: Passage, words: Sequence[Word], *, head: int) -> Span:
    """Return a passage with its words; offsets in the encoded text become offsets in the document's text.

    Words of the encoder's prefix, which is ``head`` characters long, are words of no document and are left out.
    """
    shift = passage.start - (len(document.title) + 1 if document.title else 0) - head
    told = tuple(
        ExplainedWord(word.text, word.start + shift, word.end + shift, word.contribution)
        if word.start + shift >= passage.start
        else ExplainedWord(word.text, None, None, word.contribution)
        for word in words
        if word.start >= head
    )
    return Span(passage.start, passage.end, document.text[passage.start : passage.end], told)
