"""Approximate search of large generations: an HNSW index of pgvector, searched broadly enough for the recall asked for.

It is built after loading, as that is many times as fast as adding passages one by one; what is added later goes into it
by itself. How broadly it is searched (``ef``) is found by asking it for the neighbours of spans of documents, as exact
search gives them. Filters starve such an index: it proposes passages, and few of them meet a rare condition. So few
allowed documents are compared exactly, many are proposed more broadly, and when too few are left, every passage is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_texts
from docsim.encoding.encoder import Encoder
from docsim.engine.postgres import vectors
from docsim.engine.postgres.queries import Queries
from docsim.engine.postgres.schema import embeddings_table
from docsim.engine.postgres.store import Store
from docsim.engine.records import Numbers
from docsim.errors import UsageError

__all__ = ["LARGE", "RECALL", "TYPES", "Built", "built", "check", "proposed", "refresh"]

TYPES = ("auto", "flat", "hnsw")
"""Index types: exact up to ``LARGE`` passages, always exact, and always approximate."""

RECALL = 0.99
"""The share of the ten nearest passages that an index has to find, unless it is said."""

LARGE = 100_000
"""Passages above which ``auto`` means approximate: comparing 147,239 took most of a question."""

MOST = 400
"""Neighbours that are proposed at most; more are found exactly."""

LEAST_SHARE = 0.1
"""Of the documents, where a filter allows fewer, these are compared exactly."""

GROWTH = 0.3
"""If the passages have grown by more than this share since tuning, the measured recall may no longer hold."""

_EFS = (40, 80, 160, 320, 640, 1000)
_MARGIN = 0.25  # of what is missing to 1, by which tuning aims above the recall asked for
_QUERIES, _SPAN, _NEIGHBOURS = 200, 100, 10  # spans, and their characters
_WIDEST = 4_000  # components of a halfvec that pgvector indexes
_GRAPH = "m = 24, ef_construction = 128"  # pgvector's own 16 and 64 reach .989 of win32's neighbours, at ef = 1000
_MEMORY = "1GB"  # for building, taken as far as needed

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Built:
    """An approximate index that is there.

    Attributes:
        passages: How many passages it was tuned for.
        ef: How broadly it is searched.
        recall: The recall@10 that was measured.
    """

    passages: int
    ef: int
    recall: float


def check(index_type: str | None, recall: float | None) -> None:
    """Check how an index is to be searched.

    Raises:
        UsageError: There is no such index type or recall.
    """
    if index_type is not None and index_type not in TYPES:
        raise UsageError(f"expected {', '.join(TYPES)} as the type of an index in PostgreSQL, got {index_type!r}")
    if recall is not None and not 0 < recall <= 1:
        raise UsageError(f"expected a recall above 0 and at most 1, got {recall}")


def built(queries: Store, generation: int) -> Built | None:
    """Return the approximate index of a generation, or None."""
    found = queries.setting(f"approximate {generation}")
    return Built(**json.loads(found)) if found else None


def refresh(store: Store, generation: int, encoder: Callable[[], Encoder], *, dim: int, force: bool = False) -> None:
    """Build, tune or drop the index of a generation, as was asked for; outside of a transaction.

    Only the owner of its table can; of others, it is left as it is.

    Args:
        store: Of the process that writes to the generation.
        generation: Its number.
        encoder: Gives its encoder.
        dim: Components of its embeddings.
        force: Build it again in any case.
    """
    table = embeddings_table(generation)
    kind, recall = store.setting("index_type") or "auto", float(store.setting("recall") or RECALL)
    owns = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(%s)"
    if not store.value(owns, table):
        return
    passages = store.state().passages
    known = built(store, generation)
    wanted = dim <= _WIDEST and (kind == "hnsw" or (kind == "auto" and passages > LARGE))
    if not wanted or force:
        store.execute(f"DROP INDEX IF EXISTS {table}_hnsw")
        store.execute("DELETE FROM meta WHERE key = %s", f"approximate {generation}")
    fresh = known is not None and not force and abs(passages - known.passages) <= GROWTH * known.passages
    if not wanted or not passages or (fresh and known is not None and known.recall >= recall):
        return
    store.execute(f"SET maintenance_work_mem = '{_MEMORY}'")
    how = f"USING hnsw (embedding halfvec_ip_ops) WITH ({_GRAPH})"
    store.execute(f"CREATE INDEX IF NOT EXISTS {table}_hnsw ON {table} {how}")
    store.execute("RESET maintenance_work_mem")
    tuned = _tuned(store, table, _spans(store, encoder()), passages, recall)
    store.set_setting(f"approximate {generation}", json.dumps(asdict(tuned)))


def _tuned(store: Store, table: str, asked: NDArray[np.float32], passages: int, recall: float) -> Built:
    """Return how broadly to search for a recall, and the recall that this reaches."""
    store.ef = None
    count = min(_NEIGHBOURS, passages)
    with store.connection.transaction():
        exact = [_worst(_exact(store, table, one)) for one in asked]
        found = Built(passages, _EFS[-1], 1.0)
        for ef in _EFS:
            near = [_asked(store, table, one, _NEIGHBOURS, ef) for one in asked]
            pairs = zip(near, exact, strict=True)
            reached = [sum(row[1] <= worst + 1e-6 for row in rows) / count for rows, worst in pairs]
            found = Built(passages, ef, min(1.0, float(np.mean(reached or [1.0]))))
            if found.recall >= recall + _MARGIN * (1 - recall):
                break
    return found


def _spans(store: Store, encoder: Encoder) -> NDArray[np.float32]:
    """Return the embeddings of spans of documents, about as long as questions, ``float32 (n, dim)``."""
    sql = (
        "SELECT substr(text, 1 + ((document * 2654435761) %% greatest(1, length(text) - %s))::integer, %s) FROM texts"
        " ORDER BY (document * 2654435761) %% 4294967296, document LIMIT %s"
    )
    texts = [text for (text,) in store.rows(sql, _SPAN, _SPAN, _QUERIES) if text.strip()]
    return encode_texts(encoder, texts, role="query") if texts else np.zeros((0, encoder.dim), np.float32)


def _exact(queries: Queries, table: str, query: NDArray[np.float32]) -> Rows:
    sql = f"SELECT document, (embedding <#> %s::halfvec) + 0 AS distance FROM {table} ORDER BY distance LIMIT %s"
    return queries.rows(sql, vectors.literal(query), _NEIGHBOURS)


def _worst(rows: Rows) -> float:
    return float(rows[-1][1]) if rows else 0.0


def _asked(queries: Queries, table: str, query: NDArray[np.float32], k: int, ef: int) -> Rows:
    """Return documents and distances of the passages that the index proposes, inside a transaction."""
    broadly = min(1000, max(ef, k))
    if queries.ef != broadly:  # said once a transaction, as each question to the server takes its time
        queries.rows(
            "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true),"
            " set_config('enable_seqscan', 'off', true)",
            str(broadly),
        )
        queries.ef = broadly
    distance, literal = "embedding <#> %s::halfvec", vectors.literal(query)
    sql = f"SELECT document, {distance} FROM {table} ORDER BY {distance} LIMIT %s"
    return queries.rows(sql, literal, literal, k)


def proposed(
    queries: Queries,
    table: str,
    asked: NDArray[np.float32],
    k: int,
    *,
    index: Built,
    allowed: Numbers | None,
    documents: int,
) -> list[Rows] | None:
    """Return ``k + 1`` proposed passages of each query, best first; None where they have to be found exactly.

    Args:
        queries: In the transaction of a snapshot.
        table: The table of embeddings.
        asked: ``float32 (queries, dim)``.
        k: How many are wanted.
        index: The approximate index.
        allowed: The documents that may be found, ascending; None for all.
        documents: How many documents there are.
    """
    share = 1.0 if allowed is None else len(allowed) / max(1, documents)
    if k > MOST or share < LEAST_SHARE:
        return None
    wanted = k + 1 if allowed is None else math.ceil(1.3 * (k + 1) / share)
    found = []
    for query in asked:
        rows = _asked(queries, table, query, wanted, index.ef)
        kept = rows if allowed is None else _meeting(rows, allowed)
        if len(kept) <= k:
            return None
        found.append(kept[: k + 1])
    return found


def _meeting(rows: Rows, allowed: Sequence[int] | Numbers) -> Rows:
    numbers = np.array([row[0] for row in rows], np.int64)
    return [row for row, kept in zip(rows, np.isin(numbers, allowed).tolist(), strict=True) if kept]
