"""Mapped recall: how much of what a finished generation finds was found by the instant upgrade before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from docsim.engine.retrying import retried
from docsim.index import Index

__all__ = ["MappedRecall", "measure"]

_K = 10
_QUERIES = 200
_TOGETHER = 50  # queries that are encoded together


@dataclass(frozen=True, slots=True)
class MappedRecall:
    """How many of the new generation's hits were found before it was built.

    Attributes:
        queries: How many were asked.
        k: Hits of each.
        recall: Share of the new generation's hits that the new encoder found among the mapped embeddings, in [0, 1].
        before: Share of them that the old encoder finds.
        passages: Passages that the alignment was learned from.
    """

    queries: int
    k: int
    recall: float
    before: float
    passages: int


def measure(index: Index, live: Index, new: Index, texts: Sequence[str]) -> MappedRecall | None:
    """Ask the live generation, with its embeddings mapped and as they are, and the new one the same.

    Args:
        index: Answers over the mapped embeddings, if they are.
        live: Opened at the live generation.
        new: Opened at the generation that was built.
        texts: What to ask; the id of a document stands for its text. Without any, some documents are asked for.

    Returns:
        What was found; None where there is nothing to ask, or no mapping that can be read.
    """
    passages = _learned_from(index)
    if passages is None:
        return None
    asked = [text for text in _asked(live, texts) if text.strip()]
    if not asked:
        return None
    mapped = _found(index, asked, mapped=True)
    wanted = _found(new, asked)
    if mapped is None or wanted is None:
        return None
    before = _recall(_found(live, asked) or [], wanted)
    return MappedRecall(len(asked), _K, _recall(mapped, wanted), before, passages)


@retried
def _learned_from(index: Index) -> int | None:
    with index.engine.snapshot() as snapshot:
        return snapshot.mapped_from


@retried
def _asked(live: Index, texts: Sequence[str]) -> list[str]:
    if texts:
        return [live.document(text).document.text if live.has(text) else text for text in texts[:_QUERIES]]
    with live.engine.snapshot() as snapshot:
        return [one.document.text for one in islice(snapshot.scan(), _QUERIES)]


def _found(index: Index, texts: Sequence[str], *, mapped: bool = False) -> list[set[str]] | None:
    """Return the ids of each text's hits; None when embeddings were not mapped though they should be, or were."""
    found = []
    for start in range(0, len(texts), _TOGETHER):
        for result in index.search_many(texts[start : start + _TOGETHER], _K):
            if result.adapter != mapped:
                return None
            found.append({hit.id for hit in result.hits})
    return found


def _recall(found: list[set[str]], wanted: list[set[str]]) -> float:
    shares = [len(one & other) / len(other) for one, other in zip(found, wanted, strict=True) if other]
    return sum(shares) / len(shares) if shares else 0.0
