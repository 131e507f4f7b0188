"""Retrieval: the documents that may answer a query, found by their embeddings, their words, or both, and scored.

Candidates come in tiers. The first tier holds what is nearest, which is enough for nearly every question; a wider one
is looked for only when more hits are asked for. Each tier is ranked by itself and comes after the ones before it, so
the first hits never depend on how many are wanted, and pages neither overlap nor leave gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot, TextMatches
from docsim.engine.records import Numbers, QueryTerm
from docsim.errors import EncoderError
from docsim.filters.condition import Condition, narrowed
from docsim.models import Correction, Document, Mode
from docsim.search import scoring, smoothing, vocabulary
from docsim.search.fusion import EVEN, Circumstances, Fusion
from docsim.search.query_terms import QueryTerms, is_sentence, query_terms
from docsim.search.scoring import Scored

__all__ = ["CANDIDATES", "Asked", "Candidate", "Query", "share_for", "tiers"]

CANDIDATES = 100
"""The first tier is taken from this many nearest passages of each query embedding, and best matching documents."""

_WIDER = 4
"""Each tier is taken from this many times more than the one before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question was taken for; see ``docsim.search.questions``. Whatever else is no question.

    Attributes:
        text: Its words, as they are encoded and searched for.
        conditions: What its operators ask of documents.
        terms: What its operators search for, beside its words.
        operators: The operators, as they were written.
        corrections: What was corrected in it.
    """

    text: str = ""
    conditions: tuple[Condition, ...] = ()
    terms: tuple[QueryTerm, ...] = ()
    operators: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        name: The query's name in the answer.
        document: The text whose words are searched for.
        vectors: Embeddings of its passages, ``float32 (passages, dim)``, unit rows, at least one.
        exclude: Numbers of documents that must not be returned, ascending.
        asked: What a question was taken for.
    """

    name: str
    document: Document
    vectors: NDArray[np.float32]
    exclude: tuple[int, ...] = ()
    asked: Asked = Asked()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that was found.

    Attributes:
        number: The document's number.
        score: What ranks it, lowered where needed so that it is never above that of a candidate before it.
        relevance: The score before it was lowered.
        similarities: ``float32 (passages,)``: each passage's inner product with its best match in the query.
    """

    number: int
    score: float
    relevance: float
    similarities: NDArray[np.float32]

    @property
    def similarity(self) -> float:
        """The inner product of the best pair of passages of query and document."""
        return float(self.similarities.max())


@dataclass(frozen=True, slots=True)
class _Reach:
    """The documents found by looking a certain depth; those of a smaller depth are among them.

    Attributes:
        documents: Their numbers, ``int64 (n,)``, ascending.
        beyond: No document that was not reached is more similar to the query than this, if the search was exact.
        words: How well documents match the words of the query; None in dense mode.
    """

    documents: Numbers
    beyond: float
    words: TextMatches | None = None


def tiers(
    snapshot: Snapshot,
    query: Query,
    mode: Mode,
    *,
    where: Condition | None = None,
    min_similarity: float | None = None,
) -> Iterator[list[Candidate]]:
    """Yield candidates tier by tier, each tier best first, until none are left.

    Dense and hybrid mode find every document; lexical mode finds only those that hold a term of the query.

    Args:
        snapshot: What is searched.
        query: The query, encoded by the snapshot's encoder.
        mode: What ranks.
        where: What documents have to meet, beside what the query itself asks of them.
        min_similarity: Stop when no document that is left can be this similar. The search is then exact, because an
            approximate one may leave out documents that are.
    """
    seen, where = np.array(query.exclude, np.int64), narrowed(where, *query.asked.conditions)
    share = share_for(snapshot, query.document, long=len(query.vectors) > 1) if mode == "hybrid" else EVEN
    scorer, highest = _Scoring(mode, long=len(query.vectors) > 1, share=share), np.inf
    for reach in _reaches(snapshot, query, mode, where, exact=min_similarity is not None):
        numbers = np.setdiff1d(reach.documents, seen, assume_unique=True)
        seen = _united(seen, numbers)
        rows = snapshot.embeddings(numbers)
        found = scoring.scored(query.vectors, rows)
        matching = None if reach.words is None else reach.words.of(numbers)
        tier = _tier(numbers, scorer.scores(found, matching), found.similarities, highest)
        if tier:
            highest = tier[-1].score
            yield tier
        if min_similarity is not None and reach.beyond < min_similarity:
            return


def share_for(snapshot: Snapshot, document: Document, *, long: bool) -> float:
    """Return the weight of lexical scores for a query, in [0, 1].

    Args:
        snapshot: What is searched.
        document: The query.
        long: Whether it has several passages.
    """
    try:
        encoder = snapshot.encoder
        unknown = vocabulary.unknown_in_index(snapshot)
    except EncoderError:  # an indexed document finds others by stored embeddings, even if the encoder is lost
        return EVEN
    return Circumstances(
        long=long,
        sentence=is_sentence(document),
        contextual=encoder.is_contextual,
        adapted=encoder.is_adapted,
        unknown=unknown,
        unasked=vocabulary.unknown_in(snapshot, document),
    ).share


@dataclass(slots=True)
class _Scoring:
    """What ranks the candidates of one query, tier by tier.

    Attributes:
        mode: What ranks.
        long: Whether the query has several passages.
        share: The weight of lexical scores in hybrid mode.
        fusion: Fitted on the first tier.
    """

    mode: Mode
    long: bool
    share: float
    fusion: Fusion | None = None

    def scores(self, found: Scored, matching: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Return the scores of one more tier, ``float32 (n,)``; ``matching`` is its BM25, None in dense mode."""
        if matching is None:
            return found.scores
        if self.mode == "lexical":
            return matching
        if self.fusion is not None:
            return self.fusion.scores(found.scores, matching)
        self.fusion = Fusion.fitted(found.scores, matching, share=self.share)
        fused = self.fusion.scores(found.scores, matching)
        return fused if self.long else smoothing.smoothed(fused, found.directions)


def _tier(
    numbers: Numbers, scores: NDArray[np.float32], similarities: list[NDArray[np.float32]], highest: float
) -> list[Candidate]:
    """Return candidates best first, ties by number, no score above the highest."""
    order = np.argsort(-scores, kind="stable").tolist()
    values = scores.tolist()
    return [Candidate(int(numbers[i]), min(values[i], highest), values[i], similarities[i]) for i in order]


def _reaches(snapshot: Snapshot, query: Query, mode: Mode, where: Condition | None, *, exact: bool) -> Iterator[_Reach]:
    """Yield ever wider reaches; the last holds everything that can be found."""
    if mode == "dense":
        yield from _near(snapshot, query, where, exact=exact)
        return
    terms = query_terms(snapshot, query.document, query.asked.terms)
    if mode == "lexical":  # ranked by what also finds, so that no filter changes the order of what it leaves
        yield from _matching(snapshot, terms, snapshot.text_search(terms.telling, where=where), where)
        return
    words = snapshot.text_search(terms.telling, rest=terms.frequent, where=where)
    for depth, near in zip(_depths(), _near(snapshot, query, where, exact=exact), strict=False):
        yield _Reach(_united(near.documents, words.best(depth)), near.beyond, words)


def _near(snapshot: Snapshot, query: Query, where: Condition | None, *, exact: bool) -> Iterator[_Reach]:
    """Yield the documents of the passages nearest to each passage of the query and to their centroid."""
    probes = query.vectors
    if len(probes) > 1:
        probes = np.vstack([probes, scoring.centroid(probes)])
    for depth in _depths():
        found = snapshot.knn(probes, depth, where=where, exact=exact)
        documents = _united(found.documents.ravel(), np.zeros(0, np.int64))
        if found.exhausted:
            yield _Reach(documents, -np.inf)
            return
        yield _Reach(documents, float(found.similarities[: len(query.vectors), -1].max()))


def _matching(snapshot: Snapshot, terms: QueryTerms, words: TextMatches, where: Condition | None) -> Iterator[_Reach]:
    """Yield the documents that match the telling terms, and after them those that match the frequent ones."""
    reached = np.zeros(0, np.int64)
    for asked in (terms.telling, (*terms.telling, *terms.frequent)):
        if len(asked) > len(terms.telling):
            words = snapshot.text_search(asked, where=where)
        for depth in _depths():
            reached = _united(reached, words.best(depth))
            yield _Reach(reached, np.inf, words)
            if depth >= len(words):
                break
        if not terms.frequent:
            return


def _depths() -> Iterator[int]:
    depth = CANDIDATES
    while True:
        yield depth
        depth *= _WIDER


def _united(some: Numbers, others: Numbers) -> Numbers:
    """Return the numbers in either, ascending, each once; ``np.union1d`` imports ``numpy.ma`` first, for 20 ms."""
    both = np.sort(np.concatenate((some, others)))
    return both[np.diff(both, prepend=-1) > 0]
