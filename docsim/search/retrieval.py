"""Candidates: the documents that may answer a query, found by their embeddings, their words, or both, and scored.

They come in tiers. The first holds what is nearest, enough for nearly every question; the next is looked for only when
somebody asks further. Each tier is ranked by itself and comes after those before it, so that whoever asks for more gets
the same documents in the same order first: a page does not depend on how many pages are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from docsim.engine.local import full_text
from docsim.engine.local.full_text import Scores, Terms
from docsim.engine.local.snapshots import Allowed, View
from docsim.engine.local.store import Store
from docsim.models import Document, Mode
from docsim.search import scoring, smoothing
from docsim.search.fusion import LONG, SHORT, Fusion
from docsim.search.scoring import Scored

__all__ = ["CANDIDATES", "Candidate", "Query", "tiers"]

CANDIDATES = 100
"""Nearest passages of each query vector, and best matching documents, in the first tier."""

_WIDER = 4
"""Each tier is taken from so many times more than the one before."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        name: Its name in the answer.
        document: The words that are asked for.
        vectors: Its passages' embeddings, ``float32 (passages, dim)``, unit rows, at least one.
        exclude: Number of the document not to return.
    """

    name: str
    document: Document
    vectors: NDArray[np.float32]
    exclude: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that was found.

    Attributes:
        number: The document's number.
        place: Its place in ``View.documents``.
        score: What ranks it, never above that of a candidate before it.
        relevance: The same, but above the score of a tier before it where it is.
        similarities: ``float32 (passages,)``: each passage's inner product with its best match in the query.
    """

    number: int
    place: int
    score: float
    relevance: float
    similarities: NDArray[np.float32]

    @property
    def similarity(self) -> float:
        """The inner product of the best pair of passages of query and document."""
        return float(self.similarities.max())


@dataclass(frozen=True, slots=True)
class _Reach:
    """Documents within reach, those of the reach before among them.

    Attributes:
        places: Their places in ``View.documents``, ``int64 (n,)``.
        beyond: No document out of reach is more similar to the query than this, if the search was exact.
        words: How well documents match the words of the query; None in dense mode.
    """

    places: NDArray[np.int64]
    beyond: float
    words: Scores | None = None


def tiers(
    store: Store,
    view: View,
    query: Query,
    mode: Mode,
    *,
    allowed: Allowed | None = None,
    min_similarity: float | None = None,
) -> Iterator[list[Candidate]]:
    """Yield candidates tier by tier, each best first, until none are left.

    Dense and hybrid find every document; lexical only those that hold a term of the query. To be consumed inside
    ``store.reading()``, which has to see the state that the view is of.

    Args:
        store: Where words are looked up.
        view: The vectors to search.
        query: Encoded by the encoder that the view's vectors are for.
        mode: What ranks.
        allowed: The documents that may be found; all when not given.
        min_similarity: End when no document that is left can be as similar as this. The search is then exact, for what
            an approximate one leaves out may be as similar.
    """
    allowed = allowed or view.allowed(store, None)
    if min_similarity is not None:
        allowed = replace(allowed, vectors=allowed.vectors.exact())
    seen = np.flatnonzero(view.documents[:, 1] == (query.exclude or 0)).astype(np.int64)
    scorer, highest = _Scoring(mode, long=len(query.vectors) > 1), np.inf
    for reach in _reaches(store, view, query, mode, allowed):
        places = np.setdiff1d(reach.places, seen, assume_unique=True)
        seen = _united(seen, places)
        rows = view.rows(places)
        if not all(map(len, rows)):
            raise store.damaged()
        found = scoring.scored(query.vectors, rows)
        matching = None if reach.words is None else reach.words.of(view.documents[places, 1])
        tier = _tier(view, places, scorer.scores(found, matching), found.similarities, highest)
        if tier:
            highest = tier[-1].score
            yield tier
        if min_similarity is not None and reach.beyond < min_similarity:
            return


@dataclass(slots=True)
class _Scoring:
    """What ranks the candidates of one query, tier by tier.

    Attributes:
        mode: What ranks.
        long: Whether the query has several passages.
        fusion: Fitted on the first tier.
    """

    mode: Mode
    long: bool
    fusion: Fusion | None = None

    def scores(self, found: Scored, matching: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the scores of one more tier, ``float32 (n,)``, whose BM25 is ``matching`` but in dense mode."""
        if matching is None:
            return found.scores
        if self.mode == "lexical":
            return matching
        if self.fusion is not None:
            return self.fusion.scores(found.scores, matching)
        self.fusion = Fusion.fitted(found.scores, matching, share=LONG if self.long else SHORT)
        fused = self.fusion.scores(found.scores, matching)
        return fused if self.long else smoothing.smoothed(fused, found.directions)


def _tier(
    view: View,
    places: NDArray[np.int64],
    scores: NDArray[np.float32],
    similarities: list[NDArray[np.float32]],
    highest: float,
) -> list[Candidate]:
    """Return candidates best first, ties by place, no score above the highest."""
    numbers = view.documents[places, 1].tolist()
    order = np.argsort(-scores, kind="stable").tolist()
    values = scores.tolist()
    return [Candidate(numbers[i], int(places[i]), min(values[i], highest), values[i], similarities[i]) for i in order]


def _reaches(store: Store, view: View, query: Query, mode: Mode, allowed: Allowed) -> Iterator[_Reach]:
    """Yield ever wider reaches, the last of which holds all that can be found."""
    if mode == "dense":
        yield from _near(view, query, allowed)
        return
    terms = full_text.terms(store, query.document, view.known.lexicon)
    words = full_text.scores(store, terms.telling, view.known.lexicon, allowed=allowed.numbers)
    if mode == "lexical":
        yield from _matching(store, view, terms, words, allowed)
        return
    for depth, near in zip(_depths(), _near(view, query, allowed), strict=False):
        places = _united(near.places, _places(store, view, words.best(depth)))
        yield _Reach(places, near.beyond, words)


def _near(view: View, query: Query, allowed: Allowed) -> Iterator[_Reach]:
    """Yield the documents that hold the passages nearest to each passage of the query and to their centroid."""
    probes = query.vectors
    if len(probes) > 1:
        probes = np.vstack([probes, scoring.centroid(probes)])
    for depth in _depths():
        found = allowed.vectors.search(probes, depth)
        if depth >= len(allowed.vectors):
            yield _Reach(view.documents_of(found.ids), -np.inf)
            return
        yield _Reach(view.documents_of(found.ids), float(found.similarities[: len(query.vectors), -1].max()))


def _matching(store: Store, view: View, terms: Terms, words: Scores, allowed: Allowed) -> Iterator[_Reach]:
    """Yield the documents that match the telling terms, and only then those that match the frequent ones."""
    reached = np.zeros(0, np.int64)
    for asked in (terms.telling, (*terms.telling, *terms.frequent)):
        if len(asked) > len(terms.telling):
            words = full_text.scores(store, asked, view.known.lexicon, allowed=allowed.numbers)
        for depth in _depths():
            reached = _united(reached, _places(store, view, words.best(depth)))
            yield _Reach(reached, np.inf, words)
            if depth >= len(words.documents):
                break
        if not terms.frequent:
            return


def _depths() -> Iterator[int]:
    depth = CANDIDATES
    while True:
        yield depth
        depth *= _WIDER


def _places(store: Store, view: View, documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of documents by number, ascending.

    Raises:
        StoreError: One of them has no embeddings.
    """
    places = view.places(documents)
    if not np.array_equal(view.documents[places, 1], documents):
        raise store.damaged()
    return np.sort(places)


def _united(some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers in either, ascending, each once; ``np.union1d`` imports ``numpy.ma`` first, for 20 ms."""
    both = np.sort(np.concatenate((some, others)))
    return both[np.diff(both, prepend=-1) > 0]
