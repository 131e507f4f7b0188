"""Tuning: chooses the approximate index of a FAISS file, and searches it just broadly enough to reach the recall."""

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

from docsim.encoding.documents import encode_texts
from docsim.encoding.encoder import Encoder
from docsim.engine.local import ann, ann_files
from docsim.engine.local.ann import Approximate, SearchChoice
from docsim.engine.local.ann_files import ApproximateFacts
from docsim.engine.local.store import LocalGeneration, Store
from docsim.engine.local.vectors import VectorIndex
from docsim.errors import EncoderError, UsageError

__all__ = ["check", "choose", "doubts", "mark", "refresh", "settings", "tuned"]

logger = logging.getLogger(__name__)

NEIGHBOURS = 10
"""Recall is measured among this many nearest passages."""

QUERIES = 400
"""How many spans of stored passages serve as queries."""

SPAN = 100
"""Characters in a span, which is about as long as a question."""

MARGIN = 0.01
"""Tuning aims this much above the recall asked for, because other queries find less than those used for tuning; halfway
to 1, where that is less."""

GROWTH = 0.3
"""If the number of passages has grown by more than this share since tuning, the measured recall may no longer hold."""


def settings(store: Store) -> SearchChoice:
    """Return the index type and recall that are stored for an index."""
    stored = dict(store.rows("SELECT key, value FROM meta WHERE key IN ('index_type', 'recall')"))
    default = SearchChoice()
    return SearchChoice(str(stored.get("index_type", default.kind)), float(stored.get("recall", default.recall)))


def check(kind: str | None, recall: float | None) -> None:
    """Raise ``UsageError`` unless ``choose`` accepts these values."""
    default = SearchChoice()
    SearchChoice(kind or default.kind, default.recall if recall is None else recall)


def choose(store: Store, kind: str | None = None, recall: float | None = None) -> None:
    """Store the index type and recall for future FAISS files; only the one writer may call this.

    Args:
        store: Writable.
        kind: An index type, see ``SearchChoice``; None keeps the stored one.
        recall: The share of the nearest passages to find; None keeps the stored one.

    Raises:
        UsageError: There is no such index type, or the recall is out of range.
    """
    before = settings(store)
    chosen = SearchChoice(kind or before.kind, before.recall if recall is None else recall)
    if chosen != before:
        with store.writing():
            store.set_meta("index_type", chosen.kind)
            store.set_meta("recall", chosen.recall)


def mark(generation: LocalGeneration) -> str:
    """Return a text that identifies the current FAISS file of a generation."""
    return f"{generation.snapshot_digest}-{generation.snapshot_passage}-{generation.snapshot_deletion}"


def refresh(
    store: Store,
    file: Path,
    generation: LocalGeneration,
    *,
    count: int,
    encoder: Callable[[], Encoder],
    force: bool = False,
) -> bool:
    """Build and tune the approximate index of a FAISS file if it needs one; return whether it was written.

    Args:
        store: Where settings and texts are.
        file: The FAISS file; the approximate index is put beside it.
        generation: The generation whose embeddings it holds.
        count: The number of passages, by which ``auto`` chooses an index type.
        encoder: Loads the generation's encoder, which encodes the queries.
        force: Build it even if it is there already.

    Raises:
        OSError: It cannot be written.
        StoreError: The FAISS file cannot be read.
    """
    asked, known = settings(store), ann_files.written(file.parent)
    factory = ann.factory(asked.kind, count=count, dim=generation.dim)
    if not factory:
        ann_files.forget(file.parent)
        return False
    if known and not force and (known.snapshot, known.kind, known.target) == (mark(generation), *astuple(asked)):
        return False
    vectors = VectorIndex.load(file, digest=str(generation.snapshot_digest), dim=generation.dim)
    facts = ApproximateFacts(
        mark(generation), asked.kind, factory, asked.recall, recall=1.0, passages=len(vectors), breadth=1
    )
    made = _made(store, vectors, facts, encoder)
    if made is None:
        ann_files.note(file.parent, replace(facts, factory=""))
    else:
        ann_files.save(file.parent, *made)
    return made is not None


def _made(
    store: Store, vectors: VectorIndex, facts: ApproximateFacts, encoder: Callable[[], Encoder]
) -> tuple[faiss.Index, ApproximateFacts] | None:
    """Build and tune an approximate index and measure its recall; None if exact search is better, which is logged."""
    try:
        index = ann.build(facts.factory, vectors.segments[0].rows)
    except UsageError as error:
        logger.warning("%s; searching exactly", error)
        return None
    queries = _queries(store, vectors, encoder)
    is_early = facts.kind == "auto" and len(vectors) < ann.LISTS_FROM
    target = max(facts.target, ann.AUTO_RECALL) if is_early else facts.target
    found, recall = tuned(vectors, index, queries, target=target)
    if facts.kind == "auto" and (recall < target or not found.suffices(queries)):
        logger.info("%s is no faster than exact search at a recall of %.3f; searching exactly", facts.factory, target)
        return None
    return index, replace(facts, recall=recall, breadth=found.breadth)


def _queries(store: Store, vectors: VectorIndex, encoder: Callable[[], Encoder]) -> NDArray[np.float32]:
    """Return embeddings of spans of texts or, if the encoder is damaged, stored embeddings of passages."""
    try:
        return encode_texts(encoder(), _spans(store, vectors), role="query")
    except EncoderError:
        rows = vectors.segments[0].rows
        return rows[:: max(1, len(rows) // QUERIES)].astype(np.float32)


def _spans(store: Store, vectors: VectorIndex) -> list[str]:
    """Return the beginnings of random passages, about as long as questions."""
    ids = np.concatenate([segment.ids for segment in vectors.segments])
    chosen = np.random.default_rng(0).choice(ids, min(QUERIES, len(ids)), replace=False)
    sql = 'SELECT document, start, "end" FROM passages WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number'
    spans: list[str] = []
    for number, rows in groupby(store.rows(sql, json.dumps(chosen.tolist())), key=itemgetter(0)):
        text = str(store.value("SELECT text FROM documents WHERE number = ?", number))  # once: it may be huge
        spans += [text[start : min(start + SPAN, end)] for _, start, end in rows]
    return spans


def tuned(
    vectors: VectorIndex, index: faiss.Index, queries: NDArray[np.float32], *, target: float
) -> tuple[Approximate, float]:
    """Find the least breadth that reaches a recall; return the index with it, and the recall@10 measured.

    What the index cannot propose well enough is searched exactly, and so counts as found.

    Args:
        vectors: A FAISS file; its rows are those of ``index``.
        index: What ``ann.build`` made of it.
        queries: ``float32 (n, dim)``, unit rows.
        target: The recall to reach. If no breadth that is faster than exact search reaches it, the largest such breadth
            is used.
    """
    farthest = vectors.with_approximate(None).search(queries, NEIGHBOURS).similarities[:, -1:] - 1e-5

    def recall(breadth: int) -> float:
        found = vectors.with_approximate(Approximate(index, breadth)).search(queries, NEIGHBOURS)
        return float((found.similarities >= farthest).mean())  # passages as similar as the last one count too

    def useful(breadth: int) -> float:
        return recall(breadth) if Approximate(index, breadth).suffices(queries) else 0.0

    aimed, broadest = target + min(MARGIN, (1 - target) / 2), Approximate(index, 1).broadest
    step = ann.PROPOSED if ann.is_codes(index) else 1  # how many codes are proposed hardly changes how long it takes
    breadth = _narrowest(useful, aimed, step=step, broadest=broadest)
    return Approximate(index, breadth), recall(breadth)


def _narrowest(recall: Callable[[int], float], target: float, *, step: int, broadest: int) -> int:
    """Return about the least breadth that reaches a recall, found by doubling and then bisecting."""
    below, enough = 0, min(step, broadest)
    while enough < broadest and recall(enough) < target:
        below, enough = enough, min(2 * enough, broadest)
    while enough - below > max(step, enough // 16):
        middle = (below + enough) // 2
        below, enough = (below, middle) if recall(middle) >= target else (middle, enough)
    return enough


def doubts(facts: ApproximateFacts | None, passages: int) -> list[str]:
    """Return why an approximate index should be built again, one sentence per reason.

    Args:
        facts: What is known about it; None if there is none.
        passages: How many passages there are now.
    """
    if facts is None:
        return []
    if not facts.factory:
        why = (
            f"{facts.passages:,} passages are too few for an index of type {facts.kind}, so search is exact; "
            "the index type auto chooses one that fits"
        )
        return [] if facts.kind == "auto" else [why]
    found = []
    if facts.recall < facts.target:
        found.append(
            f"the approximate index {facts.factory} has a recall of {facts.recall:.3f}, and {facts.target:.3f} was "
            "asked for; the index type flat searches exactly instead"
        )
    if passages > (1 + GROWTH) * facts.passages:
        found.append(
            f"the approximate index was tuned for {facts.passages:,} passages, and there are {passages:,} now; "
            "repair the index to tune it again"
        )
    return found
