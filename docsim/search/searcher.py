"""Searching: from queries to hits, over one committed state of an index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

import numpy as np

from docsim.cores import undivided
from docsim.engine.base import Snapshot
from docsim.engine.records import Neighbours, StoredDocument
from docsim.errors import UsageError
from docsim.filters.condition import Condition
from docsim.models import DEFAULT_MODE, MODES, MOST, Hit, Mode, Passage, PassageHit, Ranking, SearchResult
from docsim.search import answers, percentiles, rerank, soundness
from docsim.search.retrieval import CANDIDATES, Candidate, Query, nearest, tiers

__all__ = ["PASSAGES_PER_HIT", "Query", "Request", "search"]

PASSAGES_PER_HIT = 3
"""A hit shows at most this many passages of its document."""


@dataclass(frozen=True, slots=True)
class Request:
    """How queries are to be answered.

    Attributes:
        k: Hits to return, at least 1.
        mode: What ranks.
        ranking: How hits are chosen from the documents found.
        where: What documents have to meet; None for all.
        plain: Whether questions are taken as they are: no operators, no corrections.
        visible: What documents have to meet so that whoever asks may know their words; they have to meet ``where``,
            too.
        depth: How many passages are looked at before it is known whether more are needed.

    Raises:
        UsageError: ``k`` is no whole number or out of range, or there is no such mode.
    """

    k: int = 10
    mode: Mode = DEFAULT_MODE
    ranking: Ranking = field(default_factory=Ranking)
    where: Condition | None = None
    plain: bool = False
    visible: Condition | None = None
    depth: int = CANDIDATES

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or not 1 <= self.k <= MOST:
            raise UsageError(f"expected k as a whole number from 1 to {MOST:,}, got {self.k}")
        if self.mode not in MODES:
            raise UsageError(f"expected a mode of {', '.join(MODES)}; got {self.mode!r}")


def search(
    snapshot: Snapshot, queries: Sequence[Query], request: Request, *, started: float | None = None
) -> list[SearchResult]:
    """Return the documents most like each query, best first.

    Args:
        snapshot: What is searched.
        queries: The queries, encoded by the snapshot's encoder.
        request: How many hits are wanted, and what ranks and chooses them.
        started: ``time.perf_counter()`` when the queries came; by default now. Time that was spent on all of them
            counts for each in equal parts.
    """
    started = time.perf_counter() if started is None else started
    with undivided():
        return _searched(snapshot, queries, request, started)


def _searched(snapshot: Snapshot, queries: Sequence[Query], request: Request, started: float) -> list[SearchResult]:
    near: list[Neighbours | None] = [None] * len(queries)
    if request.mode != "lexical":
        exact = request.ranking.min_similarity is not None
        near = list(nearest(snapshot, queries, where=request.where, exact=exact, depth=request.depth))
    shared = (time.perf_counter() - started) / max(1, len(queries))
    results = []
    for query, first in zip(queries, near, strict=True):
        began = time.perf_counter()
        hits, damaged = _hits(snapshot, query, request, first)
        likelihood = _answerable(snapshot, query, request, hits)
        results.append(
            SearchResult(
                query.name,
                request.mode,
                snapshot.generation.number,
                snapshot.fingerprint,
                took_ms=(time.perf_counter() - began + shared) * 1000,
                hits=tuple(hits),
                adapter=snapshot.mapped_from is not None,
                operators=query.asked.operators,
                corrections=query.asked.corrections,
                warnings=(*snapshot.warnings, *damaged),
                answerable=likelihood,
                nothing_here=likelihood is not None and likelihood < answers.DOUBTFUL,
            )
        )
    return results


def _answerable(snapshot: Snapshot, query: Query, request: Request, hits: Sequence[Hit]) -> float | None:
    """Return how likely it is that the index holds an answer to a question; None if it is not estimated."""
    if query.document.id != "query" or request.mode != "hybrid" or len(query.vectors) > 1:
        return None
    number = snapshot.number(hits[0].id) if hits and hits[0].rank == 1 else None
    if number is None:
        return None
    return answers.answerable(snapshot, query.document, number, hits[0].percentile)


def _hits(snapshot: Snapshot, query: Query, request: Request, first: Neighbours | None) -> tuple[list[Hit], list[str]]:
    """Return the hits, and what is said of those that are damaged and therefore left out."""
    ranking = request.ranking
    least = ranking.min_similarity
    found = tiers(
        snapshot, query, request.mode, where=request.where, min_similarity=least, first=first, depth=request.depth
    )
    chosen = rerank.chosen(snapshot, found, ranking)
    candidates = list(islice(chosen, ranking.offset, ranking.offset + request.k))
    if not candidates:
        return [], []
    numbers = [one.number for one in candidates]
    documents, passages = snapshot.documents(numbers), snapshot.passages(numbers)
    named = snapshot.numbers([one.document.id for one in documents.values()])
    background = percentiles.similarities(snapshot, length=_length(query))
    hits, damaged, lines = list[Hit](), list[str](), cache(snapshot.repeated_lines)
    for rank, one in enumerate(candidates, start=ranking.offset + 1):
        stored, spans = documents.get(one.number), passages.get(one.number, [])
        flaw = soundness.flaw(stored, spans, embeddings=len(one.similarities), named=named, lines=lines)
        if stored is None or flaw:
            damaged.append(_left_out(rank, one, stored, flaw))
        else:
            best = _best_passages(one, stored, spans)
            hits.append(_hit(rank, one, stored, best, percentiles.percentile(background, one.similarity)))
    return hits, damaged


def _left_out(rank: int, one: Candidate, stored: StoredDocument | None, flaw: str) -> str:
    name = stored.document.id if stored else f"number {one.number}"
    return (
        f"hit {rank} is left out, because document {name} is damaged: {flaw}; mend it with docsim repair, then index "
        "its source again"
    )


def _length(query: Query) -> int | None:
    """Return how many characters a query of one passage has; None for a longer one."""
    return len(f"{query.document.title} {query.document.text}".strip()) if len(query.vectors) == 1 else None


def _best_passages(one: Candidate, stored: StoredDocument, passages: Sequence[Passage]) -> list[PassageHit]:
    """Return the passages of a candidate that are most like the query, best first."""
    best = np.argsort(-one.similarities, kind="stable")[:PASSAGES_PER_HIT].tolist()
    return [_passage(stored.document.text, passages[i], one.similarities[i]) for i in best]


def _passage(text: str, passage: Passage, similarity: np.float32) -> PassageHit:
    return PassageHit(passage.start, passage.end, text[passage.start : passage.end], float(similarity), passage.heading)


def _hit(
    rank: int, one: Candidate, stored: StoredDocument, passages: list[PassageHit], percentile: float | None
) -> Hit:
    return Hit(
        rank,
        stored.document.id,
        stored.document.title,
        score=one.score,
        similarity=one.similarity,
        percentile=percentile,
        metadata=stored.document.metadata,
        passages=tuple(passages),
    )
