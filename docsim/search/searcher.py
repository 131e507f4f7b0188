"""Searching: what one committed state answers, whichever generation's view it is asked of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local.snapshots import View
from docsim.engine.local.store import Shown, Store
from docsim.errors import UsageError
from docsim.ingest import passages
from docsim.models import DEFAULT_MODE, MODES, MOST, Document, Hit, Mode, PassageHit, Ranking, SearchResult
from docsim.search import percentiles, rerank
from docsim.search.retrieval import Candidate, Query, tiers

if TYPE_CHECKING:
    from docsim.filters.condition import Condition

__all__ = ["PASSAGES_PER_HIT", "Query", "Request", "answers", "encoded"]

PASSAGES_PER_HIT = 3
"""A hit shows at most this many of its document's passages."""


@dataclass(frozen=True, slots=True)
class Request:
    """How queries are to be answered.

    Attributes:
        k: Hits to return, at least 1.
        mode: What ranks.
        ranking: How hits are chosen from what is found.
        filter: What documents have to meet; None for all.

    Raises:
        UsageError: ``k`` is no whole number or out of range, or there is no such mode.
    """

    k: int = 10
    mode: Mode = DEFAULT_MODE
    ranking: Ranking = field(default_factory=Ranking)
    filter: Condition | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or not 1 <= self.k <= MOST:
            raise UsageError(f"expected k as a whole number from 1 to {MOST:,}, got {self.k}")
        if self.mode not in MODES:
            raise UsageError(f"expected a mode of {', '.join(MODES)}; got {self.mode!r}")


def encoded(encoder: Encoder, documents: Sequence[Document]) -> list[NDArray[np.float32]]:
    """Return the embeddings of each document's passages, ``float32 (passages, dim)``, made as indexed ones are."""
    texts = [passages.inputs(document, passages.split(document.text)) for document in documents]
    ends = np.cumsum([len(each) for each in texts], dtype=np.int64)
    vectors = encoder.encode([text for each in texts for text in each])
    return [vectors[end - len(each) : end] for each, end in zip(texts, ends, strict=True)]


def answers(
    store: Store,
    view: View,
    queries: Sequence[Query],
    request: Request,
    *,
    encoder_of: Callable[[View], Encoder],
    started: float | None = None,
) -> list[SearchResult]:
    """Return the documents of a view that are most like each query, best first.

    To be called inside ``store.reading()``, which has to see the state that the view is of.

    Args:
        store: What hits are shown from.
        view: The vectors to search.
        queries: Encoded by the encoder that the view's vectors are for.
        request: How many hits, and what ranks and chooses them.
        encoder_of: Gives the encoder that a view's vectors are for; called only when it is needed.
        started: ``time.perf_counter()`` when the question came; now, when not given.
    """
    started = time.perf_counter() if started is None else started
    results = []
    for query in queries:
        hits = tuple(_hits(store, view, query, request, encoder_of))
        took = (time.perf_counter() - started) * 1000
        mapped = view.adapted is not None
        results.append(
            SearchResult(query.name, request.mode, view.generation.number, view.fingerprint, took, hits, adapter=mapped)
        )
    return results


def _hits(store: Store, view: View, query: Query, request: Request, encoder_of: Callable[[View], Encoder]) -> list[Hit]:
    how = request.ranking
    allowed = view.allowed(store, request.filter)
    found = tiers(store, view, query, request.mode, allowed=allowed, min_similarity=how.min_similarity)
    candidates = list(islice(rerank.chosen(store, view, found, how), how.offset, how.offset + request.k))
    if not candidates:
        return []
    shown = store.shown([one.number for one in candidates])
    if any(len(one.similarities) != shown[one.number].passages for one in candidates):
        raise store.damaged()
    best = [np.argsort(-one.similarities, kind="stable")[:PASSAGES_PER_HIT].tolist() for one in candidates]
    wanted = [shown[one.number].first_passage + i for one, each in zip(candidates, best, strict=True) for i in each]
    spans = store.spans(wanted)
    random = _background(store, view, query, encoder_of)
    hits = []
    for rank, (one, each) in enumerate(zip(candidates, best, strict=True), start=how.offset + 1):
        document = shown[one.number]
        passages = [_passage(document, spans[document.first_passage + i], one.similarities[i]) for i in each]
        hits.append(_hit(rank, one, document, passages, percentiles.percentile(random, one.similarity)))
    return hits


def _background(store: Store, view: View, query: Query, encoder_of: Callable[[View], Encoder]) -> NDArray[np.float32]:
    """Return how similar documents are to random texts of the query's length, ascending, ``float32 (pairs,)``."""
    length = len(f"{query.document.title} {query.document.text}".strip()) if len(query.vectors) == 1 else None
    return percentiles.similarities(store, view, encoder_of, length=length)


def _passage(document: Shown, span: tuple[int, int], similarity: np.float32) -> PassageHit:
    start, end = span
    return PassageHit(start, end, document.text[start:end], float(similarity))


def _hit(rank: int, one: Candidate, document: Shown, passages: list[PassageHit], percentile: float | None) -> Hit:
    return Hit(
        rank,
        document.id,
        document.title,
        score=one.score,
        similarity=one.similarity,
        percentile=percentile,
        metadata=document.metadata,
        passages=tuple(passages),
    )
