"""Tuning: which approximate index a snapshot gets, and how broadly it is searched to find what exact search finds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import astuple, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann
from docsim.engine.local.ann import Approximate, Facts, Settings
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import EncoderError, UsageError

__all__ = ["check", "choose", "doubts", "mark", "refresh", "settings", "tuned"]

logger = logging.getLogger(__name__)

NEIGHBOURS = 10
"""Recall is measured among so many nearest passages."""

QUERIES = 400
"""Spans of stored passages that are asked for."""

SPAN = 100
"""Characters of a span: the length of a question."""

MARGIN = 0.01
"""Recall is tuned to so much more than asked for, since other queries find less than those it is tuned with."""

GROWTH = 0.3
"""When so much was added since it was tuned, what was measured may not hold any more."""


def settings(store: Store) -> Settings:
    """Return how an index is to be searched."""
    stored = dict(store.rows("SELECT key, value FROM meta WHERE key IN ('index_type', 'recall')"))
    default = Settings()
    return Settings(str(stored.get("index_type", default.kind)), float(stored.get("recall", default.recall)))


def check(kind: str | None, recall: float | None) -> None:
    """Raise ``UsageError`` unless ``choose`` takes these."""
    default = Settings()
    Settings(kind or default.kind, default.recall if recall is None else recall)


def choose(store: Store, kind: str | None = None, recall: float | None = None) -> None:
    """Store how an index is to be searched from its next snapshot on; to be called by the one writer.

    Args:
        store: Writable.
        kind: An index type, as ``Settings`` has it; what is stored stays when not given.
        recall: Share of the nearest passages to find; what is stored stays when not given.

    Raises:
        UsageError: There is no such index type or recall.
    """
    before = settings(store)
    chosen = Settings(kind or before.kind, before.recall if recall is None else recall)
    if chosen != before:
        with store.writing():
            store.execute("INSERT OR REPLACE INTO meta VALUES ('index_type', ?)", chosen.kind)
            store.execute("INSERT OR REPLACE INTO meta VALUES ('recall', ?)", chosen.recall)


def mark(generation: LocalGeneration) -> str:
    """Return what tells a generation's snapshot from all others."""
    return f"{generation.snapshot_digest}-{generation.snapshot_passage}-{generation.snapshot_deletion}"


def refresh(
    store: Store,
    snapshot: Path,
    generation: LocalGeneration,
    *,
    count: int,
    encoder: Callable[[], Encoder],
    force: bool = False,
) -> bool:
    """Make and tune the approximate index of a snapshot, where there is to be one and it is not there.

    Args:
        store: Where settings and texts are.
        snapshot: The snapshot's file; the approximate index is put beside it.
        generation: Its generation.
        count: Passages, to choose an index type by.
        encoder: Loads the generation's encoder, for the queries.
        force: Make it even when it is there.

    Returns:
        Whether it was made.

    Raises:
        OSError: It cannot be written.
        StoreError: The snapshot cannot be read.
    """
    asked, known = settings(store), ann.written(snapshot.parent)
    factory = ann.factory(asked.kind, count=count, dim=generation.dim)
    if not factory:
        ann.forget(snapshot.parent)
        return False
    if known and not force and (known.snapshot, known.kind, known.target) == (mark(generation), *astuple(asked)):
        return False
    vectors = VectorIndex.load(snapshot, digest=str(generation.snapshot_digest), dim=generation.dim)
    facts = Facts(mark(generation), asked.kind, factory, asked.recall, recall=1.0, passages=len(vectors), breadth=1)
    try:
        made = ann.build(factory, vectors.segments[0].rows)
    except UsageError as error:
        logger.warning("%s; searching exactly", error)
        ann.note(snapshot.parent, replace(facts, factory=""))
        return False
    queries = _queries(store, vectors, encoder)
    found, recall = tuned(vectors, made, queries, target=asked.recall)
    if asked.kind == "auto" and (recall < asked.recall or not found.suffices(queries)):
        logger.info("%s is no faster at a recall of %.3f; searching exactly", factory, asked.recall)
        ann.note(snapshot.parent, replace(facts, factory=""))
        return False
    ann.save(snapshot.parent, made, replace(facts, recall=recall, breadth=found.breadth))
    return True


def _queries(store: Store, vectors: VectorIndex, encoder: Callable[[], Encoder]) -> NDArray[np.float32]:
    """Return embeddings of spans of the texts, or stored ones of passages where the encoder is damaged."""
    try:
        return encoder().encode(_spans(store, vectors))
    except EncoderError:
        rows = vectors.segments[0].rows
        return rows[:: max(1, len(rows) // QUERIES)].astype(np.float32)


def _spans(store: Store, vectors: VectorIndex) -> list[str]:
    """Return the beginnings of passages taken at random, as short as questions are."""
    ids = np.concatenate([segment.ids for segment in vectors.segments])
    chosen = np.random.default_rng(0).choice(ids, min(QUERIES, len(ids)), replace=False)
    sql = 'SELECT document, start, "end" FROM passages WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number'
    spans: list[str] = []
    for number, rows in groupby(store.rows(sql, json.dumps(chosen.tolist())), key=itemgetter(0)):
        text = str(store.value("SELECT text FROM documents WHERE number = ?", number))  # once, as it may be huge
        spans += [text[start : min(start + SPAN, end)] for _, start, end in rows]
    return spans


def tuned(
    vectors: VectorIndex, index: faiss.Index, queries: NDArray[np.float32], *, target: float
) -> tuple[Approximate, float]:
    """Return an approximate index that is searched no more broadly than ``target`` needs, and its recall@10.

    Args:
        vectors: A snapshot, whose rows are those of ``index``.
        index: What ``approximate.build`` made of it.
        queries: ``float32 (n, dim)``, unit rows.
        target: The recall to reach. Where none of the breadths that are faster than exact search does, the broadest
            of them is returned. What is not proposed well enough is searched exactly, and so counts as found.
    """
    farthest = vectors.with_approximate(None).search(queries, NEIGHBOURS).similarities[:, -1:] - 1e-5

    def recall(breadth: int) -> float:
        found = vectors.with_approximate(Approximate(index, breadth)).search(queries, NEIGHBOURS)
        return float((found.similarities >= farthest).mean())  # so that equals of the last one count

    def useful(breadth: int) -> float:
        return recall(breadth) if Approximate(index, breadth).suffices(queries) else 0.0

    breadth = _narrowest(useful, min(1.0, target + MARGIN), broadest=Approximate(index, 1).broadest)
    return Approximate(index, breadth), recall(breadth)


def _narrowest(recall: Callable[[int], float], target: float, *, broadest: int) -> int:
    """Return about the least breadth that reaches a recall, by doubling and then halving."""
    below, enough = 0, 1
    while enough < broadest and recall(enough) < target:
        below, enough = enough, min(2 * enough, broadest)
    while enough - below > max(1, enough // 16):
        middle = (below + enough) // 2
        below, enough = (below, middle) if recall(middle) >= target else (middle, enough)
    return enough


def doubts(facts: Facts | None, passages: int) -> list[str]:
    """Return why an approximate index should be made anew, a sentence each.

    Args:
        facts: What is known of it; None when there is none.
        passages: How many the index holds now.
    """
    if facts is None:
        return []
    if not facts.factory:
        why = (
            f"an index of type {facts.kind} cannot be made of these {facts.passages:,} passages, so all are searched "
            "exactly; use another index type"
        )
        return [] if facts.kind == "auto" else [why]
    found = []
    if facts.recall < facts.target:
        found.append(
            f"the approximate index {facts.factory} finds {facts.recall:.3f} of the nearest passages where "
            f"{facts.target:.3f} were asked for; use another index type"
        )
    if passages > (1 + GROWTH) * facts.passages:
        found.append(
            f"the approximate index was tuned for {facts.passages:,} passages, and there are {passages:,} now; "
            "repair the index to tune it again"
        )
    return found
