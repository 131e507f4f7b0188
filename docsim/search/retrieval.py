"""Retrieval: the documents that may answer a query, found by their embeddings, their words, or both, and scored.

Candidates come in tiers. The first tier holds what is nearest, which is enough for nearly every question; a wider one
is looked for only when more hits are asked for. Each tier is ranked by itself and comes after the ones before it, so
the first hits never depend on how many are wanted, and pages neither overlap nor leave gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from docsim.engine.base import Snapshot, TextMatches
from docsim.engine.records import Neighbours, Numbers, QueryTerm
from docsim.errors import EncoderError
from docsim.filters.condition import Condition, narrowed
from docsim.models import Correction, Document, Mode
from docsim.search import scoring, smoothing, vocabulary
from docsim.search.fusion import EVEN, Circumstances, Fusion
from docsim.search.names import named_first
from docsim.search.query_terms import QueryTerms, is_sentence, query_terms
from docsim.search.scoring import Scored

__all__ = ["CANDIDATES", "Candidate", "ParsedQuestion", "Query", "Tier", "nearest", "share_for", "tiers"]

CANDIDATES = 100
"""The first tier is taken from this many nearest passages of each query embedding, and best matching documents."""

_WIDER = 4
"""Each tier is taken from this many times more than the one before."""


@dataclass(frozen=True, slots=True)
class ParsedQuestion:
    """How a question was understood; see ``docsim.search.questions``. It is empty for what is not a question.

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
        asked: How a question was understood.
    """

    name: str
    document: Document
    vectors: NDArray[np.float32]
    exclude: tuple[int, ...] = ()
    asked: ParsedQuestion = ParsedQuestion()


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


class Tier(Sequence[Candidate]):
    """Candidates, best first. Each is made when it is needed, as few of them become hits."""

    def __init__(self, numbers: Numbers, scores: NDArray[np.float32], found: Scored, highest: float) -> None:
        """Rank documents by their scores, ties by number.

        Args:
            numbers: The documents, ascending.
            scores: ``float32 (n,)``.
            found: The similarities of their passages.
            highest: No candidate's score is above this.
        """
        self._order = np.argsort(-scores, kind="stable")
        self._numbers, self._scores, self._found, self._highest = numbers, scores, found, highest

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._order)

    @overload
    def __getitem__(self, place: int) -> Candidate: ...

    @overload
    def __getitem__(self, place: slice) -> list[Candidate]: ...

    def __getitem__(self, place: int | slice) -> Candidate | list[Candidate]:
        """Return the candidate at a place, or those at some places."""
        if isinstance(place, slice):
            return [self[i] for i in range(len(self))[place]]
        i = int(self._order[place])
        score = float(self._scores[i])
        return Candidate(int(self._numbers[i]), min(score, self._highest), score, self._found.similarities[i])


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
    first: Neighbours | None = None,
    depth: int = CANDIDATES,
) -> Iterator[Tier]:
    """Yield candidates tier by tier, each tier best first, until none are left.

    Dense and hybrid mode find every document; lexical mode finds only those that hold a term of the query.

    Args:
        snapshot: What is searched.
        query: The query, encoded by the snapshot's encoder.
        mode: What ranks.
        where: What documents have to meet, beside what the query itself asks of them.
        min_similarity: Stop when no document that is left can be this similar. The search is then exact, because an
            approximate one may leave out documents that are.
        first: What ``nearest`` returned for the query with this depth, if it was called.
        depth: How many passages, and documents that match by words, the first tier looks at.
    """
    seen, where = np.array(query.exclude, np.int64), narrowed(where, *query.asked.conditions)
    share = share_for(snapshot, query.document, long=len(query.vectors) > 1) if mode == "hybrid" else EVEN
    scorer, highest = _Scoring(mode, long=len(query.vectors) > 1, share=share), np.inf
    nothing = vocabulary.nothing(snapshot)
    asks_for_name = mode == "hybrid" and query.document.id == "query"
    near = _near(snapshot, query, where, _depths(depth), exact=min_similarity is not None, first=first)
    for reach in near if mode == "dense" else _reaches(snapshot, query, mode, where, near, depth):
        numbers = np.setdiff1d(reach.documents, seen, assume_unique=True) if len(seen) else reach.documents
        seen = _united(seen, numbers)
        found = scoring.scored_stacked(query.vectors, snapshot.stacked(numbers), nothing=nothing)
        matching = None if reach.words is None else reach.words.of(numbers)
        scores = scorer.scores(found, matching)
        if asks_for_name and np.isinf(highest):
            scores = named_first(snapshot, query.document, numbers, scores)
        tier = Tier(numbers, scores, found, highest)
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


def _reaches(
    snapshot: Snapshot, query: Query, mode: Mode, where: Condition | None, near: Iterator[_Reach], first: int
) -> Iterator[_Reach]:
    """Yield ever wider reaches of a search by words, or by both; the last holds everything that can be found."""
    terms = query_terms(snapshot, query.document, query.asked.terms)
    if mode == "lexical":  # ranked by what also finds, so that no filter changes the order of what it leaves
        yield from _matching(snapshot, terms, snapshot.text_search(terms.telling, where=where), where, first)
        return
    words = snapshot.text_search(terms.telling, rest=terms.frequent, where=where)
    for depth, one in zip(_depths(first), near, strict=False):
        yield _Reach(_united(one.documents, words.best(depth)), one.beyond, words)


def nearest(
    snapshot: Snapshot,
    queries: Sequence[Query],
    *,
    where: Condition | None = None,
    exact: bool = False,
    depth: int = CANDIDATES,
) -> list[Neighbours]:
    """Return the passages nearest to each query, as many as the first tier looks at.

    One scan serves all queries that have the same conditions.

    Args:
        snapshot: What is searched.
        queries: The queries, encoded by the snapshot's encoder.
        where: What documents have to meet, beside what each query itself asks of them.
        exact: Compare every passage.
        depth: How many passages the first tier looks at.
    """
    alike: dict[Condition | None, list[int]] = {}
    for place, query in enumerate(queries):
        alike.setdefault(narrowed(where, *query.asked.conditions), []).append(place)
    near: dict[int, Neighbours] = {}
    for condition, places in alike.items():
        probes = [_probes(queries[place]) for place in places]
        found = snapshot.knn(np.concatenate(probes), depth, where=condition, exact=exact)
        end = 0
        for place, each in zip(places, probes, strict=True):
            here = slice(end, end := end + len(each))
            near[place] = Neighbours(found.similarities[here], found.documents[here], found.exhausted)
    return [near[place] for place in range(len(queries))]


def _probes(query: Query) -> NDArray[np.float32]:
    """Return what to look near: each passage of a query, and their centroid where there are several."""
    if len(query.vectors) == 1:
        return query.vectors
    return np.vstack([query.vectors, scoring.centroid(query.vectors)])


def _near(
    snapshot: Snapshot,
    query: Query,
    where: Condition | None,
    depths: Iterator[int],
    *,
    exact: bool,
    first: Neighbours | None,
) -> Iterator[_Reach]:
    """Yield the documents of the passages nearest to a query, ever more."""
    for depth in depths:
        found = first if first is not None else snapshot.knn(_probes(query), depth, where=where, exact=exact)
        first = None
        documents = _united(found.documents.ravel(), np.zeros(0, np.int64))
        if found.exhausted:
            yield _Reach(documents, -np.inf)
            return
        yield _Reach(documents, float(found.similarities[: len(query.vectors), -1].max()))


def _matching(
    snapshot: Snapshot, terms: QueryTerms, words: TextMatches, where: Condition | None, first: int
) -> Iterator[_Reach]:
    """Yield the documents that match the telling terms, and after them those that match the frequent ones."""
    reached = np.zeros(0, np.int64)
    for asked in (terms.telling, (*terms.telling, *terms.frequent)):
        if len(asked) > len(terms.telling):
            words = snapshot.text_search(asked, where=where)
        for depth in _depths(first):
            reached = _united(reached, words.best(depth))
            yield _Reach(reached, np.inf, words)
            if depth >= len(words):
                break
        if not terms.frequent:
            return


def _depths(first: int) -> Iterator[int]:
    depth = first
    while True:
        yield depth
        depth *= _WIDER


def _united(some: Numbers, others: Numbers) -> Numbers:
    """Return the numbers in either, ascending, each once; ``np.union1d`` imports ``numpy.ma`` first, for 20 ms."""
    both = np.sort(np.concatenate((some, others)))
    first = np.ones(len(both), bool)
    np.not_equal(both[1:], both[:-1], out=first[1:])
    return both[first]
