"""How good an instant upgrade was: what the adapter found, beside what the new generation finds once it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docsim.index import Index

__all__ = ["Instant", "measured"]

_K = 10
_QUERIES = 200
_TOGETHER = 50  # queries that are encoded together


@dataclass(frozen=True, slots=True)
class Instant:
    """Recall of the documents that the new generation finds.

    Attributes:
        queries: How many were asked.
        k: Hits of each.
        recall: Share of the new generation's hits that the new encoder found through the adapter, in [0, 1].
        before: Share of them that the old encoder finds.
        passages: Passages that the adapter was learnt from.
    """

    queries: int
    k: int
    recall: float
    before: float
    passages: int


def measured(live: Index, new: Index, texts: Sequence[str]) -> Instant | None:
    """Ask the live generation, with and without its adapter, and the new one the same.

    Args:
        live: Opened at the live generation.
        new: Opened at the generation that was built.
        texts: What to ask; the id of a document stands for its text. Without any, some documents are asked for.

    Returns:
        What was found; None where there is nothing to ask or no adapter that can be read.
    """
    row = live.store.adapter()
    chosen = texts[:_QUERIES] or [id for (id,) in live.store.rows("SELECT id FROM documents LIMIT ?", _QUERIES)]
    asked = [live.document(text).document.text if live.has(text) else text for text in chosen]
    asked = [text for text in asked if text.strip()]
    if row is None or not asked:
        return None
    with Index.open(live.path) as between:
        mapped = _found(between, asked, adapter=True)
    wanted = _found(new, asked)
    if mapped is None or wanted is None:
        return None
    return Instant(len(asked), _K, _recall(mapped, wanted), _recall(_found(live, asked) or [], wanted), row.passages)


def _found(index: Index, texts: Sequence[str], *, adapter: bool = False) -> list[set[str]] | None:
    """Return the ids of each text's hits; None when they were not found as asked for, through an adapter or not."""
    found = []
    for start in range(0, len(texts), _TOGETHER):
        for result in index.search_many(texts[start : start + _TOGETHER], _K):
            if result.adapter != adapter:
                return None
            found.append({hit.id for hit in result.hits})
    return found


def _recall(found: list[set[str]], wanted: list[set[str]]) -> float:
    shares = [len(one & other) / len(other) for one, other in zip(found, wanted, strict=True) if other]
    return sum(shares) / len(shares) if shares else 0.0
