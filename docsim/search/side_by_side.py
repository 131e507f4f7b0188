"""Side by side: the queries of one call are answered by as many threads as there are cores.

NumPy, FAISS and SQLite let other threads work while they do. Each thread takes a few queries at a time: so few that no
thread waits long for the last ones, and as many as one scan of the vectors can serve well. Every thread reads the index
by itself, so each looks whether it sees the state that all are to be answered from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from docsim import cores
from docsim.engine.base import Engine, Snapshot
from docsim.models import SearchResult
from docsim.search.searcher import Query, Request, search
from docsim.threads import Threads

__all__ = ["TOGETHER", "search_many"]

TOGETHER = 16
"""Queries that a thread takes at a time."""


def search_many(
    engine: Engine, snapshot: Snapshot, queries: Sequence[Query], request: Request, *, started: float
) -> list[SearchResult]:
    """Return the documents most like each query, as ``search`` does one by one.

    Args:
        engine: Keeps the index that is searched.
        snapshot: The state to answer from.
        queries: The queries, encoded by the snapshot's encoder.
        request: How many hits are wanted, and what ranks and chooses them.
        started: ``time.perf_counter()`` when the queries came. Time that was spent on all of them counts for each in
            equal parts.
    """
    shared = (time.perf_counter() - started) / max(1, len(queries))
    parts = [queries[start : start + TOGETHER] for start in range(0, len(queries), TOGETHER)]
    # The first ones find out what the others need too, such as the documents that meet a filter.
    results = [search(snapshot, part, request, started=_before(shared, part)) for part in parts[:1]]

    def answered(part: Sequence[Query]) -> list[SearchResult] | None:
        with engine.snapshot() as own:
            if (own.revision, own.generation) != (snapshot.revision, snapshot.generation):
                return None  # somebody has written meanwhile
            return search(own, part, request, started=_before(shared, part))

    workers = min(cores.available(), len(parts) - 1)
    if workers > 1:
        with Threads(workers, "docsim-search", begin=cores.use_one) as pool:
            found = list(pool.results(answered, parts[1:]))
    else:
        found = [None] * len(parts[1:])
    for part, answers in zip(parts[1:], found, strict=True):
        results.append(answers or search(snapshot, part, request, started=_before(shared, part)))
    return [one for each in results for one in each]


def _before(shared: float, part: Sequence[Query]) -> float:
    """Return when some queries would have come if they had been the only ones."""
    return time.perf_counter() - shared * len(part)
