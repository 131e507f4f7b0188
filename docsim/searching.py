"""Searching: what one committed state answers, whichever generation's view it is asked of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from docsim import passages, ranking
from docsim.encoder import Encoder
from docsim.errors import UsageError
from docsim.generations import View
from docsim.records import DEFAULT_MODE, MODES, Document, Hit, Mode, PassageHit, Ranking, SearchResult
from docsim.store import Shown, Store

__all__ = ["CANDIDATES", "PASSAGES_PER_HIT", "Query", "Request", "answers", "encoded"]

PASSAGES_PER_HIT = 3
"""A hit shows at most this many of its document's passages."""

CANDIDATES = 100
"""Nearest passages of each query vector, at least, whose documents are scored."""


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
class Request:
    """How queries are to be answered.

    Attributes:
        k: Hits to return, at least 1.
        mode: What ranks.
        ranking: How hits are chosen from what is found.

    Raises:
        UsageError: ``k`` is below 1, or there is no such mode.
    """

    k: int = 10
    mode: Mode = DEFAULT_MODE
    ranking: Ranking = field(default_factory=Ranking)

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"expected k of at least 1, got {self.k}")
        if self.mode not in MODES:
            raise UsageError(f"expected a mode of {', '.join(MODES)}; got {self.mode!r}")


def encoded(encoder: Encoder, documents: Sequence[Document]) -> list[NDArray[np.float32]]:
    """Return the embeddings of each document's passages, ``float32 (passages, dim)``, made as indexed ones are."""
    texts = [passages.inputs(document, passages.split(document.text)) for document in documents]
    ends = np.cumsum([len(each) for each in texts], dtype=np.int64)
    vectors = encoder.encode([text for each in texts for text in each])
    return [vectors[end - len(each) : end] for each, end in zip(texts, ends, strict=True)]


def answers(
    store: Store, view: View, queries: Sequence[Query], request: Request, *, started: float | None = None
) -> list[SearchResult]:
    """Return the documents of a view that are most like each query, best first.

    To be called inside ``store.reading()``, which has to see the state that the view is of.

    Args:
        store: What hits are shown from.
        view: The vectors to search.
        queries: Encoded by the encoder of the view's generation.
        request: How many hits, and what ranks and chooses them.
        started: ``time.perf_counter()`` when the question came; now, when not given.
    """
    started = time.perf_counter() if started is None else started
    results = []
    for query in queries:
        hits = tuple(_hits(store, view, query, request))
        took = (time.perf_counter() - started) * 1000
        results.append(
            SearchResult(query.name, request.mode, view.generation.number, view.generation.fingerprint, took, hits)
        )
    return results


def _hits(store: Store, view: View, query: Query, request: Request) -> list[Hit]:
    k = request.k
    places = _candidates(view, query, k)
    ranked = ranking.rank(query.vectors, view.rows(places), k)
    numbers = [int(view.documents[places[one.position], 1]) for one in ranked]
    shown = store.shown(numbers)
    if any(len(one.similarities) != shown[number].passages for one, number in zip(ranked, numbers, strict=True)):
        raise store.damaged()
    best = [np.argsort(-one.similarities, kind="stable")[:PASSAGES_PER_HIT].tolist() for one in ranked]
    wanted = [shown[number].first_passage + i for number, each in zip(numbers, best, strict=True) for i in each]
    spans = store.spans(wanted)
    return [
        _hit(rank, one, shown[number], [spans[shown[number].first_passage + i] for i in each], each)
        for rank, (one, number, each) in enumerate(zip(ranked, numbers, best, strict=True), start=1)
    ]


def _candidates(view: View, query: Query, k: int) -> NDArray[np.int64]:
    """Return the places of at least ``k`` documents, if there are as many, that hold the nearest passages."""
    probes = query.vectors
    if len(probes) > 1:
        probes = np.vstack([probes, ranking.centroid(probes)])
    n = max(CANDIDATES, 10 * k)
    while True:
        places = view.documents_of(view.vectors.search(probes, n).ids)
        places = places[view.documents[places, 1] != query.exclude] if query.exclude is not None else places
        if len(places) >= k or n >= len(view.vectors):
            return places
        n *= 4


def _hit(rank: int, ranked: ranking.Ranked, shown: Shown, spans: list[tuple[int, int]], best: list[int]) -> Hit:
    found = tuple(
        PassageHit(start, end, shown.text[start:end], float(ranked.similarities[i]))
        for (start, end), i in zip(spans, best, strict=True)
    )
    return Hit(rank, shown.id, shown.title, ranked.score, found[0].similarity, shown.metadata, found)
