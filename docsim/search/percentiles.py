"""Percentiles: how rare a similarity is in this corpus.

A similarity of 0.6 is rare in one corpus and common in another, and two words are never as similar to a document as a
whole page is. The percentile of a similarity says how many of 100 random pairs are less similar: pairs of a text as
long as the query, taken at random from one document, and another document. At 99.9, one pair in a thousand is as
similar by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.documents import encode_texts
from docsim.engine.base import Snapshot

__all__ = ["percentile", "similarities"]

DOCUMENTS = 160
"""Documents in the sample, at most."""

PASSAGES = 800
"""Passages in the sample, at most, unless two documents have more."""

SPANS, FEWEST_SPANS = 64, 16
"""Texts as long as the query, at most and at least: up to 10,000 pairs, which the first query waits for."""

CHARACTERS = 8192
"""Characters of these texts together, unless there are only the fewest: a transformer needs time to encode them."""

SHORTEST, LONGEST = 4, 1024
"""Lengths of these texts in characters; each is a power of two, so that queries of about one length share them."""


def percentile(background: NDArray[np.float32], similarity: float) -> float | None:
    """Return what share of random pairs is less similar than this, in percent, [0, 100]; None without pairs.

    Args:
        background: ``float32 (pairs,)``, as ``similarities`` returns them.
        similarity: Of the best pair of passages of a query and a document.
    """
    if not len(background):
        return None
    return 100 * float(np.searchsorted(background, np.float32(similarity))) / len(background)


def similarities(
    snapshot: Snapshot, *, length: int | None, documents: int = DOCUMENTS, passages: int = PASSAGES
) -> NDArray[np.float32]:
    """Return how similar random pairs are, ascending, ``float32 (pairs,)``; none for fewer than two documents.

    The pairs are the same whenever the documents are. They are drawn once for a state and each length, rounded to a
    power of two.

    Args:
        snapshot: The corpus.
        length: Characters of a query that is one passage; a pair is then a text about as long and a document. None for
            a longer query; a pair is then two documents, which have more passages that may happen to be similar.
        documents: Documents in the sample, at most.
        passages: Passages in the sample, at most, unless two documents have more.
    """
    kind = None if length is None else _rounded(length)
    known = snapshot.background
    if kind not in known:
        numbers, rows = _sample(snapshot, documents, passages)
        probes = rows
        if kind is not None:
            count = min(max(CHARACTERS // kind, FEWEST_SPANS), SPANS)
            spans = _spans(snapshot, numbers[:count], kind)
            probes = [row[None] for row in encode_texts(snapshot.encoder, spans, role="query")]
        known[kind] = _pairs(probes, rows)
    return known[kind]


def _rounded(length: int) -> int:
    power = round(math.log2(max(length, 1)))
    return min(max(1 << power, SHORTEST), LONGEST)


def _sample(snapshot: Snapshot, documents: int, passages: int) -> tuple[list[int], list[NDArray[np.float32]]]:
    """Return documents from all over the corpus, and the embeddings of each, ``float32 (passages, dim)``."""
    numbers = snapshot.sample(documents)
    rows = snapshot.embeddings(numbers)
    taken, held = 0, 0
    while taken < len(rows) and (taken < 2 or held + len(rows[taken]) <= passages):
        held += len(rows[taken])
        taken += 1
    return numbers[:taken].tolist(), [one.astype(np.float32)[:passages] for one in rows[:taken]]


def _spans(snapshot: Snapshot, numbers: Sequence[int], length: int) -> list[str]:
    """Return a few words from somewhere in each document, together about ``length`` characters.

    They come from the document's beginning where there are only blanks.
    """
    pieces = snapshot.excerpts(numbers, length)
    return [_words(pieces[number][0], length) or _words(pieces[number][1], length) for number in numbers]


def _words(cut: str, length: int) -> str:
    """Return what follows the first word, which may be cut, up to the end of a word near ``length``."""
    words = cut.split()
    text = " ".join(words[1:] or words)
    end = text.find(" ", length * 3 // 4)
    end = len(text) if end < 0 else end
    if end > 2 * length:
        end = text.rfind(" ", 0, length)
    return text[: end if end > 0 else length]  # some scripts have no spaces


def _pairs(probes: Sequence[NDArray[np.float32]], rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the similarity of each probe with each document but the one it comes from, ascending.

    Args:
        probes: ``(passages, dim)`` each, at least one; probe i comes from document i.
        rows: ``(passages, dim)`` of each document, at least one; as many as there are probes, or more.
    """
    if len(rows) < 2:
        return np.zeros(0, np.float32)
    best = np.concatenate(probes) @ np.concatenate(rows).T
    best = np.maximum.reduceat(best, _starts(rows), axis=1)
    best = np.maximum.reduceat(best, _starts(probes), axis=0)
    return np.sort(best[~np.eye(len(best), len(rows), dtype=np.bool_)])


def _starts(each: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(rows) for rows in each[:-1])])
