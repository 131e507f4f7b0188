"""The background: how similar documents of this corpus are that have nothing to do with each other.

A similarity of 0.6 is rare in one corpus and common in another. Its percentile says how many of 100 pairs of documents,
taken at random, are less similar: at 99.9, one pair in a thousand is as similar by chance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from docsim.generations import View

__all__ = ["percentile"]

DOCUMENTS = 256
"""Documents in the sample, at most."""

PASSAGES = 1500
"""Passages in the sample, at most, unless two documents have more."""


def percentile(view: View, similarity: float, *, single: bool) -> float | None:
    """Return what share of random pairs is less similar than this, in percent, [0, 100].

    Args:
        view: Of the corpus. The sample is the same whenever the documents are; it is taken once for a view.
        similarity: Of the best pair of passages of a query and a document.
        single: Whether the query was a single passage. Each pair is then a random passage and a document, otherwise
            two documents, which have more passages that may happen to be similar.

    Returns:
        None when there are fewer than two documents.
    """
    if single not in view.known.background:
        view.known.background[single] = _similarities(_sample(view), single=single)
    background = view.known.background[single]
    if not len(background):
        return None
    return 100 * float(np.searchsorted(background, np.float32(similarity))) / len(background)


def _sample(view: View) -> list[NDArray[np.float32]]:
    """Return the embeddings of documents taken at random, ``float32 (passages, dim)`` each."""
    order = np.random.default_rng(0).permutation(len(view.documents))
    sample: list[NDArray[np.float32]] = []
    passages = 0
    for start in range(0, len(order), DOCUMENTS):
        for rows in view.rows(order[start : start + DOCUMENTS]):
            if len(sample) == DOCUMENTS or (passages + len(rows) > PASSAGES and len(sample) >= 2):
                return sample
            if len(rows):  # documents that were deleted since are still listed
                sample.append(rows[:PASSAGES].astype(np.float32))
                passages += len(rows)
    return sample


def _similarities(sample: list[NDArray[np.float32]], *, single: bool) -> NDArray[np.float32]:
    """Return the similarities of all pairs of different documents, sorted ascending, ``float32 (pairs,)``."""
    if len(sample) < 2:
        return np.zeros(0, np.float32)
    starts = np.cumsum([0, *(len(rows) for rows in sample[:-1])])
    stacked = np.concatenate(sample)
    generator = np.random.default_rng(1)
    probes = np.array([rows[generator.integers(len(rows))] for rows in sample]) if single else stacked
    best = np.maximum.reduceat(probes @ stacked.T, starts, axis=1)
    if not single:
        best = np.maximum.reduceat(best, starts, axis=0)
    return np.sort(best[~np.eye(len(sample), dtype=bool)])
