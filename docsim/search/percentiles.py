"""The background: how similar documents of this corpus are to texts that have nothing to do with them.

A similarity of 0.6 is rare in one corpus and common in another, and two words are never as similar to a document as a
page is. The percentile of a similarity says how many of 100 pairs are less similar, of a text as long as the query,
taken at random from one document, and another document: at 99.9, one pair in a thousand is as similar by chance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.encoding.encoder import Encoder
from docsim.engine.local.snapshots import View
from docsim.engine.local.store import Store

__all__ = ["percentile", "similarities"]

DOCUMENTS = 160
"""Documents in the sample, at most, with which texts are compared."""

PASSAGES = 800
"""Passages in the sample, at most, unless two documents have more."""

SPANS, FEWEST_SPANS = 64, 16
"""Texts, at most and at least, that are as long as a query: up to 10,000 pairs, which the first query waits for."""

CHARACTERS = 8192
"""Of those texts together, unless they are the fewest: a transformer needs time to encode them."""

SHORTEST, LONGEST = 4, 1024
"""Characters of those texts; each length is a power of two, so that queries of about one length share them."""

_FEW = 2 * DOCUMENTS
_LONGEST_WORD = 64
_STEP = 2654435761  # a prime: where in its text a document is cut
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


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
    store: Store, view: View, encoder_of: Callable[[View], Encoder], *, length: int | None
) -> NDArray[np.float32]:
    """Return how similar random pairs are, ascending, ``float32 (pairs,)``; none for fewer than two documents.

    The pairs are the same whenever the documents are. They are taken once for a view and each length, rounded to a
    power of two. To be called inside ``store.reading()``, which has to see the state that the view is of.

    Args:
        store: Where texts are read.
        view: Of the corpus.
        encoder_of: Gives the encoder that a view's vectors are for; called only when it is needed.
        length: Characters of a query that is one passage; each pair is then a text about as long and a document. None
            for a longer one: each pair is then two documents, which have more passages that may happen to be similar.
    """
    kind = None if length is None else _rounded(length)
    if kind not in view.known.background:
        places = _places(view)
        rows = [one.astype(np.float32)[:PASSAGES] for one in view.rows(places)]
        probes = rows
        if kind is not None:
            count = min(max(CHARACTERS // kind, FEWEST_SPANS), SPANS)
            spans = _spans(store, view.documents[places[:count], 1], kind)
            probes = [row[None] for row in encoder_of(view).encode(spans)]
        view.known.background[kind] = _pairs(probes, rows)
    return view.known.background[kind]


def _rounded(length: int) -> int:
    power = round(math.log2(max(length, 1)))
    return min(max(1 << power, SHORTEST), LONGEST)


def _places(view: View) -> NDArray[np.int64]:
    """Return the places in ``View.documents`` of documents from all over the corpus."""
    if view.known.sample is None:
        view.known.sample = np.array(_taken(view, _shuffled(len(view.documents))), np.int64)
    return view.known.sample


def _taken(view: View, shuffled: Iterable[NDArray[np.int64]]) -> list[int]:
    taken: list[int] = []
    passages = 0
    for places in shuffled:
        for place, rows in zip(places.tolist(), view.rows(places), strict=True):
            if len(taken) == DOCUMENTS or (passages + len(rows) > PASSAGES and len(taken) >= 2):
                return taken
            if len(rows):  # documents that were deleted since are still listed
                taken.append(place)
                passages += len(rows)
    return taken


def _spans(store: Store, numbers: NDArray[np.int64], length: int) -> list[str]:
    """Return some words, of about ``length`` characters together, from somewhere in each of some documents.

    They come from its beginning where there is nothing but blanks.
    """
    sql = (
        "SELECT number, substr(title || char(10) || text, 1 + (number * ?) % max(1, length(text) - ?), ?),"
        " substr(ltrim(title || char(10) || text, char(9, 10, 13, 32)), 1, ?)"
        " FROM documents WHERE number IN (SELECT value FROM json_each(?))"
    )
    window = length + _LONGEST_WORD
    rows = store.rows(sql, _STEP, window, window, window, json.dumps(numbers.tolist()))
    cut = {number: _words(here, length) or _words(first, length) for number, here, first in rows}
    if len(cut) < len(numbers):
        raise store.damaged()
    return [cut[number] for number in numbers.tolist()]


def _words(cut: str, length: int) -> str:
    """Return what follows the first word, which may not be whole, up to the end of a word near ``length``."""
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


def _shuffled(n: int) -> Iterator[NDArray[np.int64]]:
    """Yield the first ``n`` numbers in an order that is always the same, as if random, in two parts.

    The first part is what is nearly always enough, for sorting all of a million takes longer than a query. Numbers are
    scattered as Knuth has it (The Art of Computer Programming 3, 6.4); ``numpy.random`` would do as well, but takes as
    long to import as a query takes.
    """
    keys = (np.arange(1, n + 1, dtype=np.uint64) * _SCATTER) >> np.uint64(11)
    few = np.argpartition(keys, _FEW)[:_FEW] if n > _FEW else np.arange(n)
    yield few[np.argsort(keys[few])]
    if n > _FEW:
        yield np.argsort(keys)[_FEW:]
