"""Sampling: draws documents from all over an index, and pieces of their texts; the same index gives the same sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from docsim.engine import document_row
from docsim.engine.local import notices
from docsim.engine.local.generations import View
from docsim.engine.local.store import Store
from docsim.engine.records import Numbers

__all__ = ["excerpts", "sample"]

_LONGEST_WORD = 64
_CHECKED = 1 << 16  # characters of the longest text that is compared with its digest: a longer one takes too long
_DAMAGED = (
    "document {} is damaged: its text, title or metadata is not what was stored; percentiles count an empty text in "
    "its place; mend it with docsim repair, then index its source again"
)
_BLANKS = "\t\n\r "
_SHOWN = re.compile(r"[^\t\n\r ]")
_STEP = 2654435761  # a prime: where in its text a document is cut
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


def sample(view: View, most: int) -> Numbers:
    """Return up to ``most`` documents of a view in an order as if random, ``int64 (n,)``."""
    taken: list[int] = []
    for places in _shuffled(len(view.documents), few=2 * most):
        for place, rows in zip(places.tolist(), view.rows(places), strict=True):
            if len(taken) == most:
                return np.array(taken, np.int64)
            if len(rows):  # documents that were deleted since the FAISS file was written are still listed
                taken.append(int(view.documents[place, 1]))
    return np.array(taken, np.int64)


def excerpts(store: Store, numbers: Sequence[int], characters: int) -> dict[int, tuple[str, str]]:
    """Return a piece of title and text from somewhere in each document, and its beginning without leading blanks.

    Of a document that is damaged the pieces are empty, and it is noted, unless its text is so long that comparing it
    with its digest would take too long.

    Args:
        store: Where the texts are.
        numbers: The documents.
        characters: About how many characters are wanted; a piece has room for two cut words more.
    """
    window = characters + _LONGEST_WORD
    found = {}
    for number in dict.fromkeys(numbers):  # one after the other, as SQLite would hold each text several times
        for row in store.rows("SELECT id, text, title, metadata, digest FROM documents WHERE number = ?", number):
            is_sound = _is_sound(*row)
            notices.note(f"document {number}", "" if is_sound else _DAMAGED.format(row[0]))
            _, text, title, *_ = row
            found[number] = _pieces(f"{title}\n", text, number * _STEP, window) if is_sound else ("", "")
    if len(found) < len(set(numbers)):
        raise store.damaged()
    return found


def _is_sound(id: str, text: str, title: str, metadata: str, digest: str) -> bool:
    try:
        found = document_row.document(id, text, title, metadata)
    except (TypeError, ValueError, RecursionError):
        return False
    return len(text) > _CHECKED or found.digest() == digest


def _pieces(head: str, text: str, step: int, window: int) -> tuple[str, str]:
    """Return what stands at some place of a title and a text, and at their beginning."""
    place = step % max(1, len(text) - window)
    beyond = place - len(head)
    somewhere = text[beyond : beyond + window] if beyond >= 0 else (head + text[:window])[place : place + window]
    if beginning := head.lstrip(_BLANKS):
        return somewhere, (beginning + text[:window])[:window]
    first = _SHOWN.search(text)
    return somewhere, text[first.start() : first.start() + window] if first else ""


def _shuffled(n: int, *, few: int) -> Iterator[NDArray[np.int64]]:
    """Yield the first ``n`` numbers in an order that is always the same, as if random, in two parts.

    The first part, ``few`` numbers, is nearly always enough, and sorting all of a million takes longer than a query.
    Numbers are scattered by a multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4). ``numpy.random``
    would do as well, but takes as long to import as a query takes.
    """
    keys = (np.arange(1, n + 1, dtype=np.uint64) * _SCATTER) >> np.uint64(11)
    first = np.argpartition(keys, few)[:few] if n > few else np.arange(n)
    yield first[np.argsort(keys[first])]
    if n > few:
        yield np.argsort(keys)[few:]
